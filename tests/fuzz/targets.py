"""Fuzz targets: files to damage and their readers. A reader must succeed or fail with a one-line error."""

from __future__ import annotations

import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuzz.mutations import damaged, damaged_json
from PIL import Image
from repository import GOLDEN
from safetensors.torch import save_file

from mobilevlm_export.bundle.manifest import read_manifest
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.bundle.write import zip_bundle
from mobilevlm_export.checkpoint.weight_files import open_weights
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT
from mobilevlm_export.lower.token_table import read_token_table
from mobilevlm_export.pixels import open_image, preprocess
from mobilevlm_export.published_config import read_config
from mobilevlm_export.quantize.recipe import make_recipe
from mobilevlm_export.quantize.recipe_file import read_recipe, recipe_text
from mobilevlm_export.tokenizer import Tokenizer, make_tokenizer_json
from mobilevlm_host.evaluate import demo_questions as demo
from mobilevlm_host.evaluate.answer_file import AnswerFile, Header
from mobilevlm_host.evaluate.predictions import read_answers, read_evaluation
from mobilevlm_host.parity.thresholds import limits, require_known
from mobilevlm_host.records.capture import read_capture

_QUESTIONS = demo.load(8)

Damage = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Target:
    """``whole`` returns the valid bytes of the file ``file``; ``read`` reads the file; each time, one of ``damage`` is applied."""

    name: str
    file: str
    whole: Callable[[Path], bytes]
    read: Callable[[Path], object]
    damage: tuple[Damage, ...] = (damaged,)
    beside: Callable[[Path], object] = lambda folder: None  # other files that the reader needs


def _golden(name: str) -> Callable[[Path], bytes]:
    return lambda folder: (GOLDEN / name).read_bytes()


def _manifest(path: Path) -> None:
    manifest = read_manifest(path)
    require_known(manifest.values["quantization"]["recipe"], path)
    limits(manifest.values["quantization"]["recipe"])
    preprocess(Image.new("RGB", (3, 2)), manifest.config)


def _config(folder: Path) -> bytes:
    return (DEMO_CHECKPOINT / "config.json").read_bytes()


def _bundle(folder: Path) -> bytes:
    bundle = folder / "small.mvlm"
    (bundle / "golden").mkdir(parents=True, exist_ok=True)
    values = json.loads((GOLDEN / "manifests" / "good" / "demo.json").read_text())
    files = {
        "model.pte": bytes(range(256)),
        "tokenizer.json": b"{}",
        "tokenizer.model": b"x",
        "golden/a.png": b"y" * 50,
    }
    for name, content in files.items():
        (bundle / name).write_bytes(content)
    values["files"] = [
        {"path": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
    ]
    (bundle / "manifest.json").write_text(json.dumps(values))
    zip_bundle(bundle, folder / "small.zip")
    return (folder / "small.zip").read_bytes()


def _tokenizer(path: Path) -> None:
    tokenizer = Tokenizer(path)
    tokenizer.decode(tokenizer.encode("What is this? 你好"))
    make_tokenizer_json(path, path.with_name("tokenizer.json"))


def _picture(form: str, mode: str = "RGB", **options: Any) -> Callable[[Path], bytes]:
    def whole(folder: Path) -> bytes:
        pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(file, form, **options)
        return file.getvalue()

    return whole


def _open_picture(path: Path) -> None:
    preprocess(open_image(path), MobileVLMConfig.tiny())


def _record_damaged(data: bytes, rng: random.Random) -> bytes:
    """A capture with damaged JSON in a valid zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, damaged_json(content, rng) if name == "capture.json" else content)
    return out.getvalue()


def _tensors() -> dict[str, torch.Tensor]:
    return {"a.weight": torch.arange(40.0).reshape(5, 8), "a.bias": torch.ones(5, dtype=torch.float16)}


def _safetensors(folder: Path) -> bytes:
    save_file(_tensors(), folder / "whole")
    return (folder / "whole").read_bytes()


def _bin(folder: Path) -> bytes:
    torch.save(_tensors(), folder / "whole")
    return (folder / "whole").read_bytes()


def _weights(path: Path) -> None:
    weights = open_weights(path.parent)
    weights.verify()
    for key in weights:
        weights.read(key).float().sum()


def _index(folder: Path) -> bytes:
    return json.dumps(
        {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(_tensors(), "a.safetensors")}
    ).encode()


def _shard(folder: Path) -> None:
    save_file(_tensors(), folder / "a.safetensors")


def _predictions(folder: Path) -> bytes:
    path = folder / "whole"
    path.unlink(missing_ok=True)
    with AnswerFile(path, Header.of(_QUESTIONS, "a.mvlm", "a" * 64)) as file:
        for item in _QUESTIONS.items:
            file.add(item.id, "two")
    return path.read_bytes()


def _answers(folder: Path) -> bytes:
    return b"".join(_predictions(folder).splitlines(keepends=True)[1:])


def _score(path: Path) -> None:
    read_evaluation(path, _QUESTIONS, _QUESTIONS)


def _recipe(folder: Path) -> bytes:
    return (recipe_text(make_recipe("int4")) + 'llm_layers = "0-3=int8,5-6=fp32"\n').encode()


_JSON = (damaged, damaged_json, damaged_json)
TARGETS = (
    Target("manifest", "manifest.json", _golden("manifests/good/executorch-and-coreml.json"), _manifest, _JSON),
    Target("config", "config.json", _config, lambda path: read_config(path.parent), _JSON),
    Target("bundle zip", "a.mvlm.zip", _bundle, lambda path: Bundle.open(path).close()),
    Target(
        "tokenizer", "tokenizer.model", lambda folder: (DEMO_CHECKPOINT / "tokenizer.model").read_bytes(), _tokenizer
    ),
    *(
        Target(form.lower(), "a.png", _picture(form), _open_picture)
        for form in ("JPEG", "WEBP", "GIF", "BMP", "PPM", "AVIF")
    ),
    Target("png", "a.png", _picture("PNG"), _open_picture),
    Target("palette png", "a.png", _picture("PNG", "P", transparency=3), _open_picture),
    Target("tiff", "a.png", _picture("TIFF", compression="tiff_lzw"), _open_picture),
    Target("capture", "a.zip", _golden("capture/android.zip"), read_capture, (damaged, _record_damaged)),
    Target("recipe", "a.toml", _recipe, read_recipe),
    Target("safetensors", "model.safetensors", _safetensors, _weights),
    Target("bin", "pytorch_model.bin", _bin, _weights),
    Target("weight index", "model.safetensors.index.json", _index, _weights, _JSON, _shard),
    Target("token table", "table.safetensors", _golden("token_tables/int4.safetensors"), read_token_table),
    Target("predictions", "a.jsonl", _predictions, _score),
    Target("answers", "a.jsonl", _answers, lambda path: read_answers(path, _QUESTIONS)),
)
