"""The published ``config.json`` → :class:`MobileVLMConfig`. Keys that describe another model are rejected by name.

:mod:`config_keys` lists every key. In addition to ``config.json``, the tower's sizes may be in ``vision_config.json``, its
normalization in ``preprocessor_config.json``, and the end-of-text id in ``generation_config.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobilevlm_export.config import (
    CLIP_MEAN,
    CLIP_STD,
    TOWERS,
    LlamaConfig,
    MobileVLMConfig,
    VisionConfig,
)
from mobilevlm_export.config_keys import CONFIG, GENERATION, PREPROCESSOR, VISION
from mobilevlm_export.errors import ConfigError
from mobilevlm_export.files.strict_json import JsonError, read_json
from mobilevlm_export.files.wrong_file import not_the_file
from mobilevlm_export.llava_config import model_type_of, plain_layout, require_v1_conversation
from mobilevlm_export.projector_config import ProjectorConfig, projector_kind

_TOWER = "openai/clip-vit-large-patch14-336"
_ROPE = frozenset({"rope_theta", "rope_type", "type", "partial_rotary_factor"})


def read_config(folder: Path, vision_tower: Path | None = None) -> MobileVLMConfig:
    """The sizes of the checkpoint in ``folder`` (the published layout).

    The tower's sizes come from ``vision_tower`` (a CLIP folder) if given, else from ``vision_config.json``, else from ``vision_config``
    in ``config.json``, else from the tower's name. Its normalization comes from a ``preprocessor_config.json`` next to the
    weights, else CLIP's is used.

    Raises:
        ConfigError: a file or key is missing, malformed, or describes a model that the kit doesn't support.
    """
    path = folder / "config.json"
    published = plain_layout(read_json_object(path), path)
    model_type_of(published, path)
    _require_clip(published, path)
    CONFIG.require_fixed(published, path)
    CONFIG.require_known(published, path)
    vision = _vision_from_folder(folder, published, path, vision_tower)
    config = _compose(published, vision, path, _TOWER, _name_of(folder.resolve()))
    _require_same_end(folder / "generation_config.json", config)
    require_v1_conversation(folder, config)
    return config


def config_from_json(published: Mapping[str, Any], source: Path) -> MobileVLMConfig:
    """The inverse of :meth:`MobileVLMConfig.to_json`, for manifests; ``source`` is named in errors.

    Raises:
        ConfigError: a key is missing, malformed, or describes a model that the kit doesn't support.
    """
    model_type_of(published, source)
    CONFIG.require_fixed(published, source)
    tower = published.get("vision_config")
    if not isinstance(tower, Mapping):
        raise ConfigError(f"{source}: vision_config: got {tower!r:.60}, expected an object with the tower's sizes")
    return _compose(published, _vision_from_json(tower, published, source), source, "", "")


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``; anything else is a ConfigError that names the file."""
    try:
        loaded = read_json(path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file, expected a checkpoint's configuration") from None
    except OSError as error:
        raise ConfigError(f"{path}: got {error.strerror}, expected a JSON object") from None
    except JsonError as error:
        raise ConfigError(f"{path}: got {not_the_file(path) or error}, expected a JSON object") from None
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: got a JSON {type(loaded).__name__}, expected an object")
    return loaded


def _name_of(folder: Path) -> str:
    """The model's name: the folder's, or in the hub's cache (``models--OWNER--NAME/snapshots/COMMIT``) the repository's."""
    return folder.parent.parent.name.rsplit("--", 1)[-1] if folder.parent.name == "snapshots" else folder.name


def _require_clip(published: Mapping[str, Any], path: Path) -> None:
    for key in ("mm_vision_tower", "vision_tower"):
        if "siglip" in str(published.get(key, "")).lower():
            raise ConfigError(f"{path}: {key}: got {published[key]!r:.60}, a SigLIP tower, expected one of CLIP's")


def _projector_type(published: Mapping[str, Any], path: Path) -> str:
    projector_type = str(published.get("mm_projector_type"))
    try:
        projector_kind(projector_type)
    except ConfigError as error:
        raise _naming(path, error) from None
    return projector_type


def _compose(published: Mapping[str, Any], vision: VisionConfig, path: Path, tower: str, name: str) -> MobileVLMConfig:
    llm = _llama_from_json(published, path)
    width = _integer(published, "mm_hidden_size", path, vision.hidden_size)
    if width != vision.hidden_size:
        raise ConfigError(f"{path}: mm_hidden_size: got {width}, expected the tower's width {vision.hidden_size}")
    tied = published.get("tie_word_embeddings") or False
    if not isinstance(tied, bool):
        raise ConfigError(f"{path}: tie_word_embeddings: got {tied!r:.60}, expected true or false")
    try:
        return MobileVLMConfig(
            vision=vision,
            projector=ProjectorConfig(vision.hidden_size, llm.hidden_size, _projector_type(published, path)),
            llm=llm,
            bos_id=_integer(published, "bos_token_id", path, 1),
            eos_id=_integer(published, "eos_token_id", path, 2),
            vision_tower=str(published.get("mm_vision_tower", tower)),
            name=str(published.get("_name_or_path") or name),
            tie_word_embeddings=tied,
            model_type=model_type_of(published, path),
        )
    except ConfigError as error:
        raise _naming(path, error) from None


def _llama_from_json(published: Mapping[str, Any], path: Path) -> LlamaConfig:
    heads = _integer(published, "num_attention_heads", path)
    try:
        llm = LlamaConfig(
            vocab_size=_integer(published, "vocab_size", path),
            hidden_size=_integer(published, "hidden_size", path),
            intermediate_size=_integer(published, "intermediate_size", path),
            num_layers=_integer(published, "num_hidden_layers", path),
            num_heads=heads,
            num_kv_heads=_integer(published, "num_key_value_heads", path, heads),
            rms_norm_eps=_number(published, "rms_norm_eps", path, 1e-6),
            rope_theta=_rope_theta(published, path),
            max_position_embeddings=_integer(published, "max_position_embeddings", path, 2048),
        )
    except ConfigError as error:
        raise _naming(path, error) from None
    width = _integer(published, "head_dim", path, llm.head_dim)
    if width != llm.head_dim:
        raise ConfigError(f"{path}: head_dim: got {width}, expected hidden_size / num_attention_heads = {llm.head_dim}")
    return llm


def _rope_theta(published: Mapping[str, Any], path: Path) -> float:
    """RoPE's base: ``rope_theta``, directly or in ``rope_parameters`` (transformers 5) or ``rope_scaling``; scaling is rejected."""
    found = {"rope_theta": _number(published, "rope_theta", path)} if published.get("rope_theta") is not None else {}
    for key in ("rope_parameters", "rope_scaling"):
        values = published.get(key) or {}
        kind = values.get("rope_type", values.get("type", "default")) if isinstance(values, Mapping) else None
        is_plain = (
            isinstance(values, Mapping) and values.keys() <= _ROPE and values.get("partial_rotary_factor", 1) == 1
        )
        if kind != "default" or not is_plain:
            raise ConfigError(f"{path}: {key}: got {values!r:.90}, expected RoPE without scaling")
        if values.get("rope_theta") is not None:
            found[f"{key}.rope_theta"] = _number(values, "rope_theta", path)
    if len(set(found.values())) > 1:
        shown = ", ".join(f"{key} {theta:g}" for key, theta in found.items())
        raise ConfigError(f"{path}: got {shown}, expected a single base for RoPE")
    return next(iter(found.values()), 10000.0)


def _vision_from_folder(
    folder: Path, published: Mapping[str, Any], path: Path, vision_tower: Path | None
) -> VisionConfig:
    sizes, source = _tower_sizes(folder, published, path, vision_tower)
    preprocessor = (vision_tower or folder) / "preprocessor_config.json"
    pixels = read_json_object(preprocessor) if preprocessor.is_file() else {}
    normalization = {key: pixels[key] for key in ("image_mean", "image_std") if key in pixels}
    VISION.require_known(sizes, source)
    vision = _vision_from_json(normalization | sizes, published, source)
    PREPROCESSOR.require_fixed(pixels, preprocessor)
    for key in ("size", "crop_size"):
        sides = pixels.get(key, vision.image_size)
        if any(side != vision.image_size for side in (sides.values() if isinstance(sides, Mapping) else [sides])):
            raise ConfigError(
                f"{preprocessor}: {key}: got {pixels[key]!r:.60}, expected the tower's {vision.image_size} pixels"
            )
    return vision


def _tower_sizes(
    folder: Path, published: Mapping[str, Any], path: Path, vision_tower: Path | None
) -> tuple[dict[str, Any], Path]:
    """The tower's keys and the file that contains them."""
    if vision_tower is not None:
        own = vision_tower / "config.json"
        sizes = read_json_object(own)
        nested = sizes.get("vision_config")  # in the config of a complete CLIP
        return (dict(nested) if isinstance(nested, Mapping) else sizes), own
    own = folder / "vision_config.json"
    if own.is_file():
        return read_json_object(own), own
    tower = published.get("vision_config")
    if isinstance(tower, Mapping):
        return dict(tower), path
    name = str(published.get("mm_vision_tower", ""))
    known = TOWERS.get(name.rstrip("/").rsplit("/", 1)[-1])
    if known is None:
        raise ConfigError(
            f"{path}: mm_vision_tower: got {name!r:.60}, whose sizes are unknown; expected one of "
            f"{', '.join(TOWERS)}, a vision_config.json next to it, or --vision-tower DIR"
        )
    sizes = MobileVLMConfig(vision=known).vision_json()
    return {key: value for key, value in sizes.items() if not key.startswith("image_") or key == "image_size"}, path


def _vision_from_json(values: Mapping[str, Any], published: Mapping[str, Any], path: Path) -> VisionConfig:
    VISION.require_fixed(values, path)
    # transformers omits values equal to its defaults, which are those of CLIP ViT-B/32.
    try:
        return VisionConfig(
            image_size=_integer(values, "image_size", path, 224),
            patch_size=_integer(values, "patch_size", path, 32),
            hidden_size=_integer(values, "hidden_size", path, 768),
            intermediate_size=_integer(values, "intermediate_size", path, 3072),
            num_layers=_integer(values, "num_hidden_layers", path, 12),
            num_heads=_integer(values, "num_attention_heads", path, 12),
            layer_norm_eps=_number(values, "layer_norm_eps", path, 1e-5),
            select_layer=_integer(published, "mm_vision_select_layer", path, -2),
            image_mean=_triple(values, "image_mean", path, CLIP_MEAN),
            image_std=_triple(values, "image_std", path, CLIP_STD),
        )
    except ConfigError as error:
        raise _naming(path, error) from None


def _require_same_end(path: Path, config: MobileVLMConfig) -> None:
    """Require that ``generation_config.json``, which the reference reads if present, asks for the same end and greedy generation."""
    if not path.is_file():
        return
    values = read_json_object(path)
    GENERATION.require_fixed(values, path)
    got = values.get("eos_token_id")
    if got not in (None, config.eos_id, [config.eos_id]):
        raise ConfigError(f"{path}: eos_token_id: got {got!r:.60}, expected {config.eos_id} as in config.json")


def _naming(path: Path, error: ConfigError) -> ConfigError:
    return error if str(error).startswith(str(path)) else ConfigError(f"{path}: {error}")


def _number(values: Mapping[str, Any], key: str, path: Path, default: float | None = None) -> float:
    value = values.get(key)
    value = default if value is None else value  # null means the default, as in transformers
    if value is None:
        raise ConfigError(f"{path}: {key} is missing, expected a number")
    if not _is_number(value):
        raise ConfigError(f"{path}: {key}: got {value!r:.60}, expected a number")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _integer(values: Mapping[str, Any], key: str, path: Path, default: int | None = None) -> int:
    number = _number(values, key, path, default)
    if not number.is_integer():
        raise ConfigError(f"{path}: {key}: got {number}, expected an integer")
    return int(number)


def _triple(
    values: Mapping[str, Any], key: str, path: Path, default: tuple[float, float, float]
) -> tuple[float, float, float]:
    got = values.get(key, default)
    if not isinstance(got, (list, tuple)) or len(got) != 3 or not all(map(_is_number, got)):
        raise ConfigError(f"{path}: {key}: got {got!r:.60}, expected three numbers")
    return float(got[0]), float(got[1]), float(got[2])
