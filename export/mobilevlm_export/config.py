"""Sizes of a MobileVLM V2 model, and the published ``config.json`` they are read from.

Configs are frozen, checked once when built, and never changed. Sources: the MobileVLM V2 paper (arXiv
2402.03766, section 3), the authors' ``config.json`` and transformers' ``CLIPVisionConfig``/``LlamaConfig``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobilevlm_export.errors import ConfigError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
PROJECTOR_TYPE = "ldpnetv2"


def _require_positive(owner: str, **sizes: int | float) -> None:
    for name, size in sizes.items():
        if size <= 0:
            raise ConfigError(f"{owner}.{name}: got {size}, expected a positive number")


@dataclass(frozen=True)
class VisionConfig:
    """CLIP's vision tower. ``image_size`` and ``patch_size`` are pixels; mean and std are of RGB in [0, 1]."""

    image_size: int = 336
    patch_size: int = 14
    hidden_size: int = 1024
    intermediate_size: int = 4096
    num_layers: int = 24
    num_heads: int = 16
    layer_norm_eps: float = 1e-5
    select_layer: int = -2
    image_mean: tuple[float, float, float] = CLIP_MEAN
    image_std: tuple[float, float, float] = CLIP_STD

    def __post_init__(self) -> None:
        _require_positive(
            "vision",
            image_size=self.image_size,
            patch_size=self.patch_size,
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
        )
        if self.image_size % (2 * self.patch_size):
            raise ConfigError(
                f"vision.image_size: got {self.image_size}, expected a multiple of twice the patch size "
                f"({2 * self.patch_size}), because LDPv2 pools the patch grid by two"
            )
        if self.hidden_size % self.num_heads:
            raise ConfigError(
                f"vision.hidden_size: got {self.hidden_size}, expected a multiple of {self.num_heads} heads"
            )
        if not 0 < self.num_run_layers <= self.num_layers:
            raise ConfigError(
                f"mm_vision_select_layer: got {self.select_layer}, expected a hidden state of "
                f"{self.num_layers} layers after at least one of them"
            )
        if min(self.image_std) <= 0:
            raise ConfigError(f"vision.image_std: got {self.image_std}, expected positive numbers")

    @property
    def grid(self) -> int:
        """Patches along one side of the image."""
        return self.image_size // self.patch_size

    @property
    def num_patches(self) -> int:
        """Patches of the image: ``grid`` squared."""
        return self.grid**2

    @property
    def num_run_layers(self) -> int:
        """Encoder layers that produce ``hidden_states[select_layer]``; those after it are never run."""
        return self.num_layers + 1 + self.select_layer if self.select_layer < 0 else self.select_layer


@dataclass(frozen=True)
class ProjectorConfig:
    """LDPv2: ``input_size`` is the tower's width, ``hidden_size`` the language model's."""

    input_size: int = 1024
    hidden_size: int = 2048

    def __post_init__(self) -> None:
        _require_positive("projector", input_size=self.input_size, hidden_size=self.hidden_size)


@dataclass(frozen=True)
class LlamaConfig:
    """MobileLLaMA (or Vicuna). ``max_position_embeddings`` is the longest context in tokens."""

    vocab_size: int = 32000
    hidden_size: int = 2048
    intermediate_size: int = 5632
    num_layers: int = 24
    num_heads: int = 16
    num_kv_heads: int = 16
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    max_position_embeddings: int = 2048

    def __post_init__(self) -> None:
        _require_positive(
            "llm",
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            num_kv_heads=self.num_kv_heads,
            rope_theta=self.rope_theta,
            max_position_embeddings=self.max_position_embeddings,
        )
        if self.hidden_size % self.num_heads:
            raise ConfigError(f"hidden_size: got {self.hidden_size}, expected a multiple of {self.num_heads} heads")
        if self.head_dim % 2:
            raise ConfigError(f"head_dim: got {self.head_dim}, expected an even number, because RoPE turns pairs")
        if self.num_heads % self.num_kv_heads:
            raise ConfigError(
                f"num_key_value_heads: got {self.num_kv_heads}, expected a divisor of {self.num_heads} heads"
            )

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_heads


@dataclass(frozen=True)
class MobileVLMConfig:
    """A whole MobileVLM V2: tower, LDPv2, language model, and the ids that begin and end a text."""

    vision: VisionConfig = field(default_factory=VisionConfig)
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    llm: LlamaConfig = field(default_factory=LlamaConfig)
    bos_id: int = 1
    eos_id: int = 2
    vision_tower: str = "openai/clip-vit-large-patch14-336"
    name: str = "MobileVLM_V2"
    tie_word_embeddings: bool = False

    def __post_init__(self) -> None:
        if self.projector.input_size != self.vision.hidden_size:
            raise ConfigError(
                f"projector.input_size: got {self.projector.input_size}, "
                f"expected the tower's width {self.vision.hidden_size}"
            )
        if self.projector.hidden_size != self.llm.hidden_size:
            raise ConfigError(
                f"projector.hidden_size: got {self.projector.hidden_size}, "
                f"expected the language model's width {self.llm.hidden_size}"
            )
        for name, token_id in (("bos_token_id", self.bos_id), ("eos_token_id", self.eos_id)):
            if not 0 <= token_id < self.llm.vocab_size:
                raise ConfigError(f"{name}: got {token_id}, expected an id below {self.llm.vocab_size}")

    @property
    def image_tokens(self) -> int:
        """Tokens an image takes in the prompt: LDPv2 pools the patch grid two by two (576 → 144)."""
        return (self.vision.grid // 2) ** 2

    @property
    def pad_color(self) -> tuple[int, int, int]:
        """The RGB colour, 0 to 255, that pads a picture to a square: the tower's mean (122, 116, 104)."""
        red, green, blue = (int(mean * 255) for mean in self.vision.image_mean)
        return red, green, blue

    @classmethod
    def tiny(cls) -> MobileVLMConfig:
        """Sizes for tests: a model that runs in milliseconds. Widths are multiples of 32 for int4 groups."""
        return cls(
            vision=VisionConfig(
                image_size=56, patch_size=14, hidden_size=64, intermediate_size=128, num_layers=3, num_heads=2
            ),
            projector=ProjectorConfig(input_size=64, hidden_size=96),
            llm=LlamaConfig(
                vocab_size=512,
                hidden_size=96,
                intermediate_size=192,
                num_layers=2,
                num_heads=3,
                num_kv_heads=3,
                max_position_embeddings=256,
            ),
            vision_tower="tiny",
            name="tiny",
        )

    @classmethod
    def from_checkpoint(cls, folder: Path, vision_tower: Path | None = None) -> MobileVLMConfig:
        """Read the sizes of the checkpoint in ``folder`` (the published layout).

        The tower's sizes come from ``vision_tower`` (a CLIP folder) if given, else from ``vision_config.json``,
        else from ``vision_config`` in ``config.json``, else from the tower's name. Normalisation comes from a
        ``preprocessor_config.json`` beside the weights, else it is CLIP's.

        Raises:
            ConfigError: a file or key is missing, malformed, or describes something that is not MobileVLM V2.
        """
        path = folder / "config.json"
        published = read_json_object(path)
        llm = _llama_from_json(published, path)
        vision = _vision_from_folder(folder, published, path, vision_tower)
        _require_published_choices(published, path)
        return cls(
            vision=vision,
            projector=ProjectorConfig(vision.hidden_size, llm.hidden_size),
            llm=llm,
            bos_id=_integer(published, "bos_token_id", path, 1),
            eos_id=_integer(published, "eos_token_id", path, 2),
            vision_tower=str(published.get("mm_vision_tower", "openai/clip-vit-large-patch14-336")),
            name=str(published.get("_name_or_path") or folder.resolve().name),
            tie_word_embeddings=bool(published.get("tie_word_embeddings", False)),
        )

    def to_json(self) -> dict[str, Any]:
        """The published ``config.json`` of this model; the tower's sizes stand in ``vision_config``."""
        return {
            "_name_or_path": self.name,
            "architectures": ["MobileLlamaForCausalLM"],
            "model_type": "mobilevlm",
            "bos_token_id": self.bos_id,
            "eos_token_id": self.eos_id,
            "vocab_size": self.llm.vocab_size,
            "hidden_act": "silu",
            "hidden_size": self.llm.hidden_size,
            "intermediate_size": self.llm.intermediate_size,
            "num_hidden_layers": self.llm.num_layers,
            "num_attention_heads": self.llm.num_heads,
            "num_key_value_heads": self.llm.num_kv_heads,
            "rms_norm_eps": self.llm.rms_norm_eps,
            "rope_theta": self.llm.rope_theta,
            "max_position_embeddings": self.llm.max_position_embeddings,
            "tie_word_embeddings": self.tie_word_embeddings,
            "mm_projector_type": PROJECTOR_TYPE,
            "mm_hidden_size": self.vision.hidden_size,
            "mm_vision_tower": self.vision_tower,
            "mm_vision_select_layer": self.vision.select_layer,
            "mm_vision_select_feature": "patch",
            "image_aspect_ratio": "pad",
            "vision_config": self.vision_json(),
        }

    def vision_json(self) -> dict[str, Any]:
        """The tower's sizes under transformers' ``CLIPVisionConfig`` names, with its normalisation."""
        return {
            "model_type": "clip_vision_model",
            "image_size": self.vision.image_size,
            "patch_size": self.vision.patch_size,
            "hidden_size": self.vision.hidden_size,
            "intermediate_size": self.vision.intermediate_size,
            "num_hidden_layers": self.vision.num_layers,
            "num_attention_heads": self.vision.num_heads,
            "layer_norm_eps": self.vision.layer_norm_eps,
            "hidden_act": "quick_gelu",
            "image_mean": list(self.vision.image_mean),
            "image_std": list(self.vision.image_std),
        }

    @classmethod
    def from_json(cls, published: Mapping[str, Any], source: Path) -> MobileVLMConfig:
        """The inverse of :meth:`to_json`; ``source`` is named in errors."""
        llm = _llama_from_json(published, source)
        tower = published.get("vision_config")
        if not isinstance(tower, Mapping):
            raise ConfigError(f"{source}: vision_config: got {tower!r}, expected an object with the tower's sizes")
        vision = _vision_from_json(tower, published, source)
        _require_published_choices(published, source)
        return cls(
            vision=vision,
            projector=ProjectorConfig(vision.hidden_size, llm.hidden_size),
            llm=llm,
            bos_id=_integer(published, "bos_token_id", source, 1),
            eos_id=_integer(published, "eos_token_id", source, 2),
            vision_tower=str(published.get("mm_vision_tower", "")),
            name=str(published.get("_name_or_path", "")),
            tie_word_embeddings=bool(published.get("tie_word_embeddings", False)),
        )


_CLIP_L_336 = VisionConfig()
_TOWERS = {
    "clip-vit-large-patch14-336": _CLIP_L_336,
    "clip-vit-large-patch14": VisionConfig(image_size=224),
}
_PRESETS = {
    "1.7b": LlamaConfig(),
    "3b": LlamaConfig(hidden_size=2560, intermediate_size=6912, num_layers=32, num_heads=32, num_kv_heads=32),
    "7b": LlamaConfig(
        hidden_size=4096,
        intermediate_size=11008,
        num_layers=32,
        num_heads=32,
        num_kv_heads=32,
        rms_norm_eps=1e-5,
        max_position_embeddings=4096,
    ),
}
PRESETS = tuple(_PRESETS)


def preset(size: str) -> MobileVLMConfig:
    """The published sizes of MobileVLM V2 ``1.7b``, ``3b`` or ``7b`` (the paper's table 1).

    Raises:
        ConfigError: no such size.
    """
    if size not in _PRESETS:
        raise ConfigError(f"model size: got {size!r}, expected one of {', '.join(PRESETS)}")
    llm = _PRESETS[size]
    projector = ProjectorConfig(_CLIP_L_336.hidden_size, llm.hidden_size)
    return MobileVLMConfig(projector=projector, llm=llm, name=f"MobileVLM_V2-{size.upper()}")


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``; anything else is a ConfigError that names the file."""
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file, expected a checkpoint's configuration") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: got {error}, expected a JSON object") from None
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: got a JSON {type(loaded).__name__}, expected an object")
    return loaded


def _number(values: Mapping[str, Any], key: str, path: Path, default: float | None = None) -> float:
    value = values.get(key, default)
    if value is None:
        raise ConfigError(f"{path}: {key} is missing, expected a number")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{path}: {key}: got {value!r}, expected a number")
    return float(value)


def _integer(values: Mapping[str, Any], key: str, path: Path, default: int | None = None) -> int:
    number = _number(values, key, path, default)
    if number != int(number):
        raise ConfigError(f"{path}: {key}: got {number}, expected a whole number")
    return int(number)


def _require_published_choices(published: Mapping[str, Any], path: Path) -> None:
    """Refuse what would load but answer wrongly: another projector, feature choice or padding."""
    expected = {
        "mm_projector_type": PROJECTOR_TYPE,
        "mm_vision_select_feature": "patch",
        "image_aspect_ratio": "pad",
        "hidden_act": "silu",
    }
    for key, value in expected.items():
        got = published.get(key, value if key != "mm_projector_type" else None)
        if got != value:
            raise ConfigError(f"{path}: {key}: got {got!r}, expected {value!r} (MobileVLM V2)")
    if published.get("rope_scaling") is not None:
        raise ConfigError(f"{path}: rope_scaling: got {published['rope_scaling']!r}, expected none (MobileVLM V2)")


def _llama_from_json(published: Mapping[str, Any], path: Path) -> LlamaConfig:
    heads = _integer(published, "num_attention_heads", path)
    try:
        return LlamaConfig(
            vocab_size=_integer(published, "vocab_size", path),
            hidden_size=_integer(published, "hidden_size", path),
            intermediate_size=_integer(published, "intermediate_size", path),
            num_layers=_integer(published, "num_hidden_layers", path),
            num_heads=heads,
            num_kv_heads=_integer(published, "num_key_value_heads", path, heads),
            rms_norm_eps=_number(published, "rms_norm_eps", path, 1e-6),
            rope_theta=_number(published, "rope_theta", path, 10000.0),
            max_position_embeddings=_integer(published, "max_position_embeddings", path, 2048),
        )
    except ConfigError as error:
        raise _naming(path, error) from None


def _naming(path: Path, error: ConfigError) -> ConfigError:
    return error if str(error).startswith(str(path)) else ConfigError(f"{path}: {error}")


def _vision_from_folder(
    folder: Path, published: Mapping[str, Any], path: Path, vision_tower: Path | None
) -> VisionConfig:
    if vision_tower is not None:
        return _vision_of_clip_folder(vision_tower, published)
    own = folder / "vision_config.json"
    normalisation = _normalisation(folder)
    if own.is_file():
        return _vision_from_json(normalisation | read_json_object(own), published, own)
    tower = published.get("vision_config")
    if isinstance(tower, Mapping):
        return _vision_from_json(normalisation | dict(tower), published, path)
    name = str(published.get("mm_vision_tower", ""))
    known = _TOWERS.get(name.rstrip("/").rsplit("/", 1)[-1])
    if known is None:
        raise ConfigError(
            f"{path}: mm_vision_tower: got {name!r}, whose sizes are not known; expected one of "
            f"{', '.join(_TOWERS)}, a vision_config.json beside it, or --vision-tower DIR"
        )
    by_name = MobileVLMConfig(vision=known).vision_json() | normalisation
    return _vision_from_json(by_name, published, path)


def _vision_of_clip_folder(tower: Path, published: Mapping[str, Any]) -> VisionConfig:
    """Sizes from a CLIP folder's ``config.json``: a vision model's own, or a whole CLIP's ``vision_config``."""
    path = tower / "config.json"
    sizes = read_json_object(path)
    nested = sizes.get("vision_config")
    if isinstance(nested, Mapping):
        sizes = dict(nested)
    return _vision_from_json(_normalisation(tower) | sizes, published, path)


def _normalisation(folder: Path) -> dict[str, Any]:
    """Mean and std of the folder's ``preprocessor_config.json``, or nothing."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return {}
    values = read_json_object(path)
    return {key: values[key] for key in ("image_mean", "image_std") if key in values}


def _vision_from_json(values: Mapping[str, Any], published: Mapping[str, Any], path: Path) -> VisionConfig:
    activation = values.get("hidden_act", "quick_gelu")
    if activation != "quick_gelu":
        raise ConfigError(f"{path}: hidden_act: got {activation!r}, expected 'quick_gelu' (OpenAI's CLIP)")
    # transformers leaves out what equals its defaults, which are those of CLIP ViT-B/32.
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


def _triple(
    values: Mapping[str, Any], key: str, path: Path, default: tuple[float, float, float]
) -> tuple[float, float, float]:
    got = values.get(key, default)
    if not isinstance(got, (list, tuple)) or len(got) != 3 or not all(isinstance(v, (int, float)) for v in got):
        raise ConfigError(f"{path}: {key}: got {got!r}, expected three numbers")
    return float(got[0]), float(got[1]), float(got[2])
