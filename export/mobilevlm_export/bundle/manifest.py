"""``manifest.json``: everything that a phone must know about a bundle. Schema version 2, see ``docs/reference/bundle-format.md``.

``tests/golden/manifests`` contains good and bad manifests for the readers in all languages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import BundleError, ConfigError
from mobilevlm_export.files.strict_json import JsonError, read_json
from mobilevlm_export.prompt import QUESTION, STOP_TEXT, Template
from mobilevlm_export.published_config import config_from_json

FORMAT_VERSION = 2
# The first format whose ExecuTorch programs work on phones; before, delegates contained constants that phones free.
EXECUTORCH_SINCE = 2
MANIFEST = "manifest.json"
RESAMPLE = "pillow-bicubic-8bit"
_SHA256 = re.compile("[0-9a-f]{64}")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
_LONGEST_PATH = 200
_LARGEST_FILE = 1 << 40  # bytes; the sum over all files that a manifest can list fits 64 bits in every language
_KINDS: dict[type, str] = {str: "a text", int: "a number", float: "a number", dict: "an object", list: "a list"}
# The fields that every reader needs; the second type is that of a list's items.
_FIELDS: dict[str, type | tuple[type, type]] = {
    "kit_version": str,
    "source": dict,
    "source.sha256": str,
    "model": dict,
    "image": dict,
    "image.size": int,
    "image.tokens": int,
    "image.mean": (list, float),
    "image.std": (list, float),
    "image.pad_color": (list, int),
    "image.resample": str,
    "prompt": dict,
    "prompt.before_image": str,
    "prompt.after_image": str,
    "prompt.follow_up": str,
    "prompt.bos_id": int,
    "prompt.stop_ids": (list, int),
    "prompt.stop_text": str,
    "tokenizer": dict,
    "tokenizer.model": str,
    "tokenizer.json": str,
    "artifacts": dict,
    "quantization": dict,
    "quantization.recipe": dict,
    "context": dict,
    "context.max_context": int,
    "context.max_prefill": int,
    "memory": dict,
    "memory.bytes": int,
    "files": list,
}
# The fields that readers of Core ML artifacts need, if there are any.
_COREML = "artifacts.coreml"
_COREML_FIELDS: dict[str, type | tuple[type, type]] = {
    "vision_encoder": dict,
    "vision_encoder.package": str,
    "text_decoder": dict,
    "text_decoder.package": str,
    "token_embedding": dict,
    "token_embedding.file": str,
    "token_embedding.form": str,
    "types": dict,
    "types.vision": str,
    "types.llm": str,
    "max_context": int,
    "prefill_chunk": int,
    "cache_positions": int,
    "compute_units": str,
}
_COREML_CHOICES = {
    "token_embedding.form": ("fp32", "int8", "int4"),
    "types.vision": ("fp16", "fp32"),
    "types.llm": ("fp16", "fp32"),
    "types.lm_head": ("fp16", "fp32"),
    "compute_units": ("cpuOnly", "cpuAndGPU", "cpuAndNeuralEngine", "all"),
}


@dataclass(frozen=True)
class FileEntry:
    """A file of the bundle: its path inside, size in bytes and SHA-256 in hexadecimal."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The parsed ``manifest.json``: ``values`` as written, ``files`` and ``config`` checked."""

    values: Mapping[str, Any]
    files: tuple[FileEntry, ...]
    config: MobileVLMConfig

    @property
    def format_version(self) -> int:
        """The schema version of the manifest."""
        return int(self.values["format_version"])

    @property
    def total_bytes(self) -> int:
        """The total size of all files except the manifest."""
        return sum(entry.bytes for entry in self.files)

    @property
    def source_sha256(self) -> str:
        """The hash of the checkpoint that the bundle was made from."""
        return str(self.values["source"]["sha256"])

    @property
    def template(self) -> Template:
        """The conversation's texts."""
        prompt = self.values["prompt"]
        return Template(prompt["before_image"], prompt["after_image"], prompt["follow_up"])

    @property
    def max_context(self) -> int:
        """The longest conversation in tokens, the image's included."""
        return int(self.values["context"]["max_context"])

    @property
    def max_prefill(self) -> int:
        """The longest input of one call of ``text_decoder``, in tokens."""
        return int(self.values["context"]["max_prefill"])


def read_manifest(path: Path) -> Manifest:
    """Parse and check the manifest in the file ``path``.

    Raises:
        BundleError: it is missing, malformed, of a newer format, names a path outside the bundle, or names a file without
            a hash.
    """
    try:
        values = read_json(path)
    except FileNotFoundError:
        raise BundleError(f"{path}: no such file, expected a bundle's manifest") from None
    except JsonError as error:
        raise BundleError(f"{path}: got {error}, expected a JSON object") from None
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}, expected a bundle's manifest") from None
    version = values.get("format_version") if isinstance(values, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BundleError(f"{path}: format_version: got {version!r}, expected {FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        raise BundleError(
            f"{path}: got format version {version}, expected at most {FORMAT_VERSION}: update mobilevlm-kit"
        )
    for field, kind in _FIELDS.items():
        _require(values, field, kind, path)
    _require_lengths(values, path)
    try:
        config = config_from_json(values["model"], path)
    except ConfigError as error:
        raise BundleError(str(error)) from None
    manifest = Manifest(values, tuple(_file_entry(entry, path) for entry in values["files"]), config)
    _require_fit(values, config, path)
    _require_listed(manifest, path)
    if "coreml" in values["artifacts"]:
        _require_coreml(values, path)
    return manifest


def require_inside(name: str, where: Path) -> None:
    """Raise BundleError if ``name``, a path in ``where``, could lead out of the bundle's folder on any system."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in name or "\0" in name:
        raise BundleError(f"{where}: got the path {name!r}, expected one inside the bundle")


def _require_fit(values: dict[str, Any], config: MobileVLMConfig, path: Path) -> None:
    """Raise BundleError unless the image, prompt and ids in the manifest match the model, so that no reader uses wrong ones."""
    expected = {
        "image.size": config.vision.image_size,
        "image.tokens": config.image_tokens,
        "image.mean": list(config.vision.image_mean),
        "image.std": list(config.vision.image_std),
        "image.pad_color": list(config.pad_color),
        "image.resample": RESAMPLE,
        "prompt.bos_id": config.bos_id,
        "prompt.stop_ids": [config.eos_id],
        "prompt.stop_text": STOP_TEXT,
    }
    for field, value in expected.items():
        if (got := _at(values, field)) != value:
            raise BundleError(f"{path}: {field}: got {got!r:.60}, expected {value!r:.60}, as in the model")
    for field in ("prompt.after_image", "prompt.follow_up"):
        if QUESTION not in (got := _at(values, field)):
            raise BundleError(f"{path}: {field}: got {got!r:.60}, expected a text with {QUESTION}")


def _require_plain(name: str, where: Path) -> None:
    """Raise BundleError unless ``name``, a path in the manifest ``where``, is inside the bundle and literal on every system and in every
    shell: parts of ASCII letters, digits, ``.``, ``_`` and ``-``.
    """
    plain = len(name) <= _LONGEST_PATH and _PLAIN_PATH.fullmatch(name)
    if not plain or any(set(part) == {"."} for part in name.split("/")):
        raise BundleError(
            f"{where}: files: got the path {name!r:.80}, expected one inside the bundle with letters, digits, '.', '_' and '-' only"
        )


def _require_lengths(values: dict[str, Any], path: Path) -> None:
    for field in ("context.max_context", "context.max_prefill"):
        if not 1 <= (got := _at(values, field)) < 1 << 31:
            raise BundleError(f"{path}: {field}: got {got}, expected 1 to {(1 << 31) - 1}")


def _at(values: dict[str, Any], field: str) -> Any:
    """The value of the dotted ``field`` in nested objects, or None."""
    got: Any = values
    for name in field.split("."):
        got = got.get(name)
    return got


def _require(values: dict[str, Any], field: str, kind: type | tuple[type, type], path: Path) -> None:
    got = _at(values, field)
    outer, inner = kind if isinstance(kind, tuple) else (kind, None)
    good = _is(got, outer) and (inner is None or (bool(got) and all(_is(item, inner) for item in got)))
    if not good:
        expected = _KINDS[outer] + (f" of {_KINDS[inner].split()[1]}s" if inner else "")
        raise BundleError(f"{path}: {field}: got {got!r:.60}, expected {expected}")


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)


def _file_entry(entry: Any, manifest: Path) -> FileEntry:
    fields = {"path": str, "bytes": int, "sha256": str}
    if not isinstance(entry, dict) or any(not _is(entry.get(key), kind) for key, kind in fields.items()):
        raise BundleError(f"{manifest}: files: got {entry!r:.80}, expected path, bytes and sha256")
    _require_plain(entry["path"], manifest)
    if not 0 <= entry["bytes"] <= _LARGEST_FILE or not _SHA256.fullmatch(entry["sha256"]):
        raise BundleError(f"{manifest}: files: got {entry!r:.80}, expected a size and 64 hexadecimal digits")
    return FileEntry(entry["path"], entry["bytes"], entry["sha256"])


def _require_listed(manifest: Manifest, path: Path) -> None:
    """Raise BundleError unless every file that a reader would open is listed with its hash exactly once."""
    values, listed = manifest.values, {entry.path for entry in manifest.files}
    places: set[str] = set()
    for entry in manifest.files:
        # A phone's shared storage is case-insensitive.
        if (place := entry.path.lower()) in places:
            raise BundleError(f"{path}: files: got {entry.path!r:.80} twice, expected it once")
        places.add(place)
    named = {f"tokenizer.{kind}": values["tokenizer"][kind] for kind in ("model", "json")}
    for backend, artifact in values["artifacts"].items():
        if not isinstance(artifact, dict) or not _is(artifact.get("file"), str):
            raise BundleError(f"{path}: artifacts.{backend}: got {artifact!r:.60}, expected an object with a file")
        named[f"artifacts.{backend}"] = artifact["file"]
        for part, made in artifact.items():
            if isinstance(made, dict) and _is(made.get("package"), str):
                named[f"artifacts.{backend}.{part}"] = f"{made['package']}/Manifest.json"
            elif isinstance(made, dict) and _is(made.get("file"), str):
                named[f"artifacts.{backend}.{part}"] = made["file"]
    for field, name in named.items():
        if name not in listed:
            raise BundleError(f"{path}: {field}: got {name!r}, which is not in files, expected its hash there")


def _require_coreml(values: dict[str, Any], path: Path) -> None:
    """Raise BundleError unless the parameters for running the Core ML programs are present and consistent."""
    for field, kind in _COREML_FIELDS.items():
        _require(values, f"{_COREML}.{field}", kind, path)
    made = values["artifacts"]["coreml"]
    for field, choices in _COREML_CHOICES.items():
        got = _at(made, field)
        # Older manifests, from before the output head had its own type, lack it.
        if got not in choices and not (field == "types.lm_head" and got is None):
            raise BundleError(f"{path}: {_COREML}.{field}: got {got!r:.60}, expected {' or '.join(choices)}")
    context, chunk, positions = (int(made[key]) for key in ("max_context", "prefill_chunk", "cache_positions"))
    longest = int(values["context"]["max_context"])
    if context < longest:
        raise BundleError(f"{path}: {_COREML}.max_context: got {context}, expected at least the context of {longest}")
    if not 2 <= chunk <= context:
        raise BundleError(f"{path}: {_COREML}.prefill_chunk: got {chunk}, expected 2 to the context of {context}")
    if positions < context + chunk - 1:
        raise BundleError(
            f"{path}: {_COREML}.cache_positions: got {positions}, expected at least {context + chunk - 1}: room for a "
            "chunk at the last position"
        )
