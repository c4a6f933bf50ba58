"""Make the golden files that the tests of all three languages read: ``python tests/golden/make.py``.

Expected values come from the references themselves: pixels from Pillow, ids from SentencePiece, text from UTF-8. Formats can be read
in plain Kotlin and Swift without a library: JSON, and binary PPM for images.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mobilevlm_export import prompt
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT, DEMO_SAMPLES
from mobilevlm_export.demo.model import write_tokenizer
from mobilevlm_export.lower.token_table import read_token_table, write_token_table
from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.pixels import PAD_COLOR, square_pixels
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.recipe import make_recipe
from mobilevlm_export.tokenizer import AWKWARD_TEXTS, Tokenizer, make_tokenizer_json

COMMAND = "python tests/golden/make.py"
HERE = Path(__file__).parent
Pixels = NDArray[np.uint8]


def make(folder: Path) -> None:
    """Write every golden file into ``folder``; good manifests and tokenizer models are input and are not changed."""
    _make_pixels(folder)
    _make_profiles(folder)
    _make_prompts(folder)
    _make_manifests(folder)
    _make_text_stream(folder)
    _make_token_tables(folder)


# --- pixels: images → the square that the vision encoder reads


def _noise(width: int, height: int) -> Pixels:
    return np.random.default_rng(width * 10_007 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _extremes(width: int, height: int) -> Pixels:
    return (_noise(width, height) > 127).astype(np.uint8) * np.uint8(255)  # bicubic overshoots and must clip


def _gradient(width: int, height: int) -> Pixels:
    y, x = np.mgrid[0:height, 0:width]
    red, green = x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1)
    return np.stack([red, green, (red + green) // 2], -1).astype(np.uint8)


def _stripes(width: int, height: int) -> Pixels:
    image = np.zeros((height, width, 3), np.uint8)
    image[:, ::2] = (255, 255, 0)
    image[::3] = (0, 0, 255)
    return image


def _checker(width: int, height: int) -> Pixels:
    y, x = np.mgrid[0:height, 0:width]
    return np.repeat(((x + y) % 2 * 255).astype(np.uint8)[..., None], 3, -1)


def _dot(width: int, height: int) -> Pixels:
    image = np.zeros((height, width, 3), np.uint8)
    image[height // 2, width // 2] = 255
    return image


def _plain(*color: int) -> Callable[[int, int], Pixels]:
    return lambda width, height: np.full((height, width, 3), color, np.uint8)


def _scene(width: int, height: int) -> Pixels:
    image = Image.open(DEMO_SAMPLES / "three-things.png").convert("RGB")
    return np.array(image.crop((40, 30, 40 + width, 30 + height)))


_WHITE, _BLACK, _MEAN = _plain(255, 255, 255), _plain(0, 0, 0), _plain(*PAD_COLOR)
# name, width, height, content, side of the square
_PICTURES: tuple[tuple[str, int, int, Callable[[int, int], Pixels], int], ...] = (
    ("one-pixel", 1, 1, _plain(200, 30, 90), 336),
    ("one-white-pixel", 1, 1, _WHITE, 56),
    ("two-wide", 2, 1, _noise, 336),
    ("two-tall", 1, 2, _noise, 336),
    ("two-by-two", 2, 2, _checker, 336),
    ("three-by-three", 3, 3, _noise, 336),
    ("odd-pad-left", 63, 64, _noise, 336),
    ("odd-pad-top", 64, 63, _noise, 336),
    ("exact", 336, 336, _noise, 336),
    ("exact-demo", 168, 168, _noise, 168),
    ("one-less-wide", 335, 336, _gradient, 336),
    ("one-less-tall", 336, 335, _gradient, 336),
    ("one-more", 337, 337, _stripes, 336),
    ("half", 168, 168, _extremes, 336),
    ("double", 672, 672, _checker, 336),
    ("double-stripes", 672, 500, _stripes, 336),
    ("four-by-three", 640, 480, _gradient, 336),
    ("three-by-four", 480, 640, _gradient, 168),
    ("a-row", 336, 1, _noise, 336),
    ("a-column", 1, 336, _noise, 336),
    ("a-long-row", 1500, 1, _noise, 336),
    ("a-long-column", 1, 1500, _noise, 336),
    ("a-thin-column", 2, 333, _extremes, 168),
    ("a-banner", 1000, 17, _stripes, 336),
    ("a-tower", 17, 1000, _stripes, 336),
    ("primes", 101, 97, _noise, 336),
    ("primes-extremes", 97, 101, _extremes, 336),
    ("small-extremes", 24, 24, _extremes, 336),
    ("wide-noise", 200, 37, _noise, 336),
    ("tall-noise", 37, 200, _noise, 168),
    ("checker-odd", 255, 255, _checker, 336),
    ("dot", 65, 65, _dot, 336),
    ("dot-shrunk", 150, 140, _dot, 56),
    ("black", 40, 30, _BLACK, 336),
    ("white", 30, 40, _WHITE, 336),
    ("mean-colour", 50, 20, _MEAN, 336),
    ("scene", 250, 201, _scene, 336),
    ("scene-demo", 380, 400, _scene, 168),
)  # fmt: skip


def _make_pixels(folder: Path) -> None:
    (folder / "pixels").mkdir(exist_ok=True)
    cases = []
    for name, width, height, content, side in _PICTURES:
        picture = content(width, height)
        assert picture.shape == (height, width, 3)
        (folder / "pixels" / f"{name}.ppm").write_bytes(b"P6\n%d %d\n255\n" % (width, height) + picture.tobytes())
        pixels = square_pixels(Image.fromarray(picture), side, PAD_COLOR).numpy()
        case = {
            "file": f"{name}.ppm",
            "width": width,
            "height": height,
            "size": side,
            "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
            # To show how far off an implementation is: red, green and blue at a few places.
            "samples": [[y, x, *map(int, pixels[:, y, x])] for y, x in _places(side)],
        }
        cases.append(case)
    about = (
        "Pad FILE (binary PPM, RGB) to a square with pad_color, resize to SIZE as Pillow's bicubic does. sha256 is over all red "
        "rows, then green, then blue, one byte each; samples are [y, x, red, green, blue]."
    )
    _write(folder / "pixels" / "pixels.json", {"about": about, "pad_color": list(PAD_COLOR)}, cases)


def _places(side: int) -> Iterator[tuple[int, int]]:
    middle = side // 2
    yield from ((0, 0), (0, side - 1), (side - 1, 0), (side - 1, side - 1), (middle, middle))
    yield from ((side // 3, side // 4), (side // 5, 2 * side // 3))


# --- profiles: an image in Display P3 → sRGB, computed in floating point


def display_p3() -> bytes:
    """An ICC profile (version 4) of Display P3: its primaries, adapted to D50, and sRGB's curve."""

    def fixed(*values: float) -> bytes:
        return b"".join(round(value * 65536).to_bytes(4, "big", signed=True) for value in values)

    def text(value: str) -> bytes:
        spelled = value.encode("utf-16-be")
        return b"mluc" + struct.pack(">III2s2sII", 0, 1, 12, b"en", b"US", len(spelled), 28) + spelled

    curve = b"para" + struct.pack(">IHH", 0, 3, 0) + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    tags = {b"desc": text("Display P3"), b"cprt": text("none"), b"wtpt": b"XYZ \0\0\0\0" + fixed(*_D50)}
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), _P3_TO_D50.T, strict=True):
        tags[name] = b"XYZ \0\0\0\0" + fixed(*column)
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I4xI4s4s4s", at + len(body), 0x04000000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H4s28x", 2026, 1, 1, 0, 0, 0, b"acsp") + fixed(*_D50)
    return head.ljust(128, b"\0") + table + body


# D65 primaries of Display P3 and sRGB, adapted to D50 by Bradford (columns: red, green, blue).
_D50 = (0.9642, 1.0, 0.8249)
_P3_TO_D50 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
_SRGB_TO_D50 = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])


def _p3_to_srgb(pixels: Pixels) -> Pixels:
    spelled = pixels / 255.0
    linear = np.where(spelled <= 0.04045, spelled / 12.92, ((spelled + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ (np.linalg.inv(_SRGB_TO_D50) @ _P3_TO_D50).T, 0, 1)
    spelled = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(spelled * 255), np.uint8)


def _make_profiles(folder: Path) -> None:
    (folder / "profiles").mkdir(exist_ok=True)
    picture = _gradient(32, 24)
    picture[:, ::3] = 255 - picture[:, ::3]
    picture[8:16, 8:16] = (230, 60, 40)
    for name, profile in (("display-p3", display_p3()), ("broken", b"no profile at all"), ("none", None)):
        Image.fromarray(picture).save(folder / "profiles" / f"{name}.png", icc_profile=profile)
    for name, pixels in (("in-srgb", _p3_to_srgb(picture)), ("as-stored", picture)):
        (folder / "profiles" / f"{name}.ppm").write_bytes(b"P6\n32 24\n255\n" + pixels.tobytes())


# --- prompts: questions and answers → texts and token ids

_CONVERSATIONS: tuple[tuple[tuple[str, str | None], ...], ...] = (
    (("What is this?", "A red circle."), ("How many?", None)),
    (("What is this?", "a"), ("And now?", "b"), ("Why?", "c"), ("Who?", None)),
    (("这是什么？", "一只猫。"), ("为什么？", None)),
    (("😀?", "👍🏽"), ("🇨🇳", None)),
    (("  two  spaces ", "  answer with spaces  "), (" again ", None)),
    (("line\none", "line\ntwo\n"), ("\nthree\n", None)),
    (("Is </s> the end?", "No, </s> is text."), ("<image>?", None)),
    (("Answer with nothing.", ""), ("Why?", None)),
    (("What is this?", "A red circle."),),
    (("1 + 1 = ?", "2"), ("2 + 2 = ?", "4"), ("10 × 10 = ?", "100")),
)
_QUESTIONS = (
    "What is this?", "Describe the image.", "How many people are there?", "请描述这张图片。", "<s>", "</s>", "<unk>", "<0x0A>", "<image>",
    "USER: hi ASSISTANT:", "Question?\nAnswer the question using a single word or phrase.", "ok</s>ok", "q" * 300, "你好 " * 40,
)  # fmt: skip


def _make_prompts(folder: Path) -> None:
    """Ids with two vocabularies: the demo's small one, and one with pieces of many scripts and runs of spaces."""
    models = {"demo": DEMO_CHECKPOINT / "tokenizer.model", "wide": folder / "prompts" / "wide.model"}
    (folder / "prompts").mkdir(exist_ok=True)
    if not models["wide"].exists():
        write_tokenizer(models["wide"], [*AWKWARD_TEXTS, *_QUESTIONS, prompt.SYSTEM, prompt.prefix()] * 30, 1200)
    tokenizers = {name: Tokenizer(path) for name, path in models.items()}
    # The demo's tokenizer as in a bundle of a checkpoint that isn't "legacy": prompts contain the leading space.
    modern = Tokenizer(models["demo"], legacy=False)
    models["plain"] = folder / "prompts" / "plain.model"
    modern.write_plain(models["plain"])
    for name, path in models.items():
        make_tokenizer_json(path, folder / "prompts" / f"{name}.tokenizer.json")
    single = [question for question in (*_QUESTIONS, *AWKWARD_TEXTS) if question.strip()]
    conversations = [((question, None),) for question in dict.fromkeys(single)] + list(_CONVERSATIONS)
    cases, plain = [], []
    for conversation in conversations:
        turns = [prompt.Turn(question, answer) for question, answer in conversation]
        segments = [
            segment.name if isinstance(segment, prompt.Mark) else segment for segment in prompt.text_segments(turns)
        ]
        ids = {}
        for name, tokenizer in tokenizers.items():
            before, _, after = prompt.encode_segments(tokenizer, turns)
            ids[name] = {"before_image": before, "after_image": after}
        said = [{"question": turn.question, "answer": turn.answer} for turn in turns]
        before, _, after = prompt.encode_segments(modern, turns)
        plain.append({"turns": said, "before_image": before, "after_image": after})
        cases.append(
            {
                "turns": said,
                "segments": [{"mark": s} if s in ("IMAGE", "END") else {"text": s} for s in segments],
                "ids": ids,
            }
        )
    about = (
        "The conversation template: turns → segments (texts, and the marks IMAGE and END), and the ids of all before and after the "
        "image, each text on its own, BOS first, with the tokenizers in NAME.tokenizer.json. What a user types is always text."
    )
    _write(folder / "prompts" / "prompts.json", {"about": about}, cases)
    about = (
        "Turns → ids before and after the image, with the texts in prompt and a tokenizer that adds no space: plain.*."
    )
    texts = asdict(prompt.V1.spelled_for(modern))
    _write(folder / "prompts" / "plain.json", {"about": about, "prompt": texts}, plain)


# --- manifests: good ones are kept; bad ones are demo.json with one error

_ABSENT = object()
_ONE_FILE = {"path": "model.pte", "bytes": 1, "sha256": "0" * 64}
_WRONG: dict[str, tuple[str, Any, str]] = {
    "no-format-version": ("format_version", _ABSENT, "format_version"),
    "format-version-text": ("format_version", "1", "format_version"),
    "format-version-zero": ("format_version", 0, "format_version"),
    "newer-format": ("format_version", 3, "update"),
    "no-source": ("source", _ABSENT, "source"),
    "source-hash-number": ("source.sha256", 7, "source.sha256"),
    "no-model": ("model", _ABSENT, "model"),
    "model-without-heads": ("model.num_attention_heads", _ABSENT, "num_attention_heads"),
    "model-width-text": ("model.hidden_size", "192", "hidden_size"),
    "model-heads-of-no-width": ("model.num_attention_heads", 5, "hidden_size"),
    "model-heads-odd": ("model.num_attention_heads", 64, "because RoPE"),
    "model-key-value-heads": ("model.num_key_value_heads", 4, "num_key_value_heads"),
    "model-eos-beyond": ("model.eos_token_id", 640, "eos_token_id"),
    "model-activation": ("model.hidden_act", "gelu", "hidden_act"),
    "model-rope-scaled": ("model.rope_scaling", {"type": "linear", "factor": 2.0}, "rope_scaling"),
    "tower-activation": ("model.vision_config.hidden_act", "gelu", "hidden_act"),
    "tower-heads": ("model.vision_config.num_attention_heads", 3, "hidden_size"),
    "tower-side": ("model.vision_config.image_size", 182, "image_size"),
    "tower-layer-beyond": ("model.mm_vision_select_layer", 7, "mm_vision_select_layer"),
    "tower-layer-before": ("model.mm_vision_select_layer", -7, "mm_vision_select_layer"),
    "tower-class-token": ("model.mm_vision_select_feature", "cls_patch", "mm_vision_select_feature"),
    "image-not-padded": ("model.image_aspect_ratio", "anyres", "image_aspect_ratio"),
    "no-image": ("image", _ABSENT, "image"),
    "image-size-text": ("image.size", "168", "image.size"),
    "image-size-true": ("image.size", True, "image.size"),
    "pad-color-empty": ("image.pad_color", [], "image.pad_color"),
    "pad-color-floats": ("image.pad_color", [0.5, 0.5, 0.5], "image.pad_color"),
    "image-size-other": ("image.size", 154, "image.size"),
    "projector-other": ("model.mm_projector_type", "identity", "mm_projector_type"),
    "projector-number": ("model.mm_projector_type", 2, "mm_projector_type"),
    "projector-longer": ("model.mm_projector_type", "mlp2x_gelu_", "mm_projector_type"),
    "projector-of-more-tokens": ("model.mm_projector_type", "linear", "image.tokens"),
    "image-tokens-other": ("image.tokens", 144, "image.tokens"),
    "no-mean": ("image.mean", _ABSENT, "image.mean"),
    "mean-other": ("image.mean", [0.5, 0.5, 0.5], "image.mean"),
    "std-other": ("image.std", [0.5, 0.5, 0.5], "image.std"),
    "std-texts": ("image.std", ["0.5", "0.5", "0.5"], "image.std"),
    "pad-color-other": ("image.pad_color", [0, 0, 0], "image.pad_color"),
    "resample-other": ("image.resample", "bilinear", "image.resample"),
    "image-size-zero": ("image.size", 0, "image.size"),
    "image-size-huge": ("image.size", 100_000, "image.size"),
    "pad-color-four": ("image.pad_color", [1, 2, 3, 4], "image.pad_color"),
    "pad-color-256": ("image.pad_color", [1, 2, 256], "image.pad_color"),
    "context-zero": ("context.max_context", 0, "context.max_context"),
    "prefill-zero": ("context.max_prefill", 0, "context.max_prefill"),
    "prefill-huge": ("context.max_prefill", 1 << 31, "context.max_prefill"),
    "no-resample": ("image.resample", _ABSENT, "image.resample"),
    "no-prompt": ("prompt", _ABSENT, "prompt"),
    "prompt-list": ("prompt", [], "prompt"),
    "no-stop-ids": ("prompt.stop_ids", [], "prompt.stop_ids"),
    "bos-other": ("prompt.bos_id", 3, "prompt.bos_id"),
    "stop-ids-other": ("prompt.stop_ids", [3], "prompt.stop_ids"),
    "stop-ids-more": ("prompt.stop_ids", [2, 3], "prompt.stop_ids"),
    "stop-text-other": ("prompt.stop_text", "###", "prompt.stop_text"),
    "before-image-number": ("prompt.before_image", 7, "prompt.before_image"),
    "after-image-without-question": ("prompt.after_image", "What is this?", "prompt.after_image"),
    "follow-up-without-question": ("prompt.follow_up", "USER: ASSISTANT:", "prompt.follow_up"),
    "bos-text": ("prompt.bos_id", "<s>", "prompt.bos_id"),
    "no-follow-up": ("prompt.follow_up", _ABSENT, "prompt.follow_up"),
    "no-tokenizer": ("tokenizer", _ABSENT, "tokenizer"),
    "tokenizer-not-listed": ("tokenizer.json", "other.json", "tokenizer.json"),
    "artifacts-list": ("artifacts", [], "artifacts"),
    "artifact-without-file": ("artifacts.executorch.file", _ABSENT, "artifacts.executorch"),
    "artifact-not-listed": ("artifacts.executorch.file", "other.pte", "artifacts.executorch"),
    "no-context": ("context", _ABSENT, "context"),
    "max-context-text": ("context.max_context", "1024", "context.max_context"),
    "max-prefill-null": ("context.max_prefill", None, "context.max_prefill"),
    "no-memory": ("memory.bytes", _ABSENT, "memory.bytes"),
    "no-files": ("files", _ABSENT, "files"),
    "file-a-text": ("files", ["model.pte"], "files"),
    "file-without-hash": ("files", [{"path": "model.pte", "bytes": 1}], "files"),
    "file-negative": ("files", [_ONE_FILE | {"bytes": -1}], "files"),
    "file-short-hash": ("files", [_ONE_FILE | {"sha256": "ab"}], "files"),
    "path-up": ("files", [_ONE_FILE | {"path": "../model.pte"}], "inside"),
    "path-up-later": ("files", [_ONE_FILE | {"path": "golden/../../model.pte"}], "inside"),
    "path-absolute": ("files", [_ONE_FILE | {"path": "/model.pte"}], "inside"),
    "path-drive": ("files", [_ONE_FILE | {"path": "C:model.pte"}], "inside"),
    "path-backslash": ("files", [_ONE_FILE | {"path": "..\\model.pte"}], "inside"),
    "path-empty": ("files", [_ONE_FILE | {"path": ""}], "inside"),
    "path-dot": ("files", [_ONE_FILE | {"path": "golden/./a.png"}], "inside"),
    "path-part-empty": ("files", [_ONE_FILE | {"path": "golden//a.png"}], "inside"),
    "path-folder": ("files", [_ONE_FILE | {"path": "golden/"}], "inside"),
    "path-shell": ("files", [_ONE_FILE | {"path": "golden/';touch X;'/a.png"}], "inside"),
    "path-space": ("files", [_ONE_FILE | {"path": "golden/a b.png"}], "inside"),
    "path-unicode": ("files", [_ONE_FILE | {"path": "golden/\u00fcn\u00efcode.png"}], "inside"),
    "path-newline": ("files", [_ONE_FILE | {"path": "golden/a.png\n"}], "inside"),
    "path-long": ("files", [_ONE_FILE | {"path": "a" * 201}], "inside"),
    "path-twice": ("files", [_ONE_FILE, _ONE_FILE], "twice"),
    "path-twice-by-case": ("files", [_ONE_FILE, _ONE_FILE | {"path": "MODEL.pte"}], "twice"),
    "file-huge": ("files", [_ONE_FILE | {"bytes": (1 << 40) + 1}], "files"),
}
# executorch-and-coreml.json with one error that only readers for Core ML see: Android accepts these.
_COREML = "artifacts.coreml"
_WRONG_COREML: dict[str, tuple[str, Any, str]] = {
    "no-vision-encoder": (f"{_COREML}.vision_encoder", _ABSENT, f"{_COREML}.vision_encoder"),
    "vision-encoder-a-text": (f"{_COREML}.vision_encoder", "vision_encoder.mlpackage", f"{_COREML}.vision_encoder"),
    "package-number": (f"{_COREML}.text_decoder.package", 7, f"{_COREML}.text_decoder.package"),
    "no-table": (f"{_COREML}.token_embedding.file", _ABSENT, f"{_COREML}.token_embedding.file"),
    "form-unknown": (f"{_COREML}.token_embedding.form", "int2", f"{_COREML}.token_embedding.form"),
    "no-types": (f"{_COREML}.types", _ABSENT, f"{_COREML}.types"),
    "type-unknown": (f"{_COREML}.types.llm", "bf16", f"{_COREML}.types.llm"),
    "head-type-unknown": (f"{_COREML}.types.lm_head", "int8", f"{_COREML}.types.lm_head"),
    "no-vision-type": (f"{_COREML}.types.vision", _ABSENT, f"{_COREML}.types.vision"),
    "no-chunk": (f"{_COREML}.prefill_chunk", _ABSENT, f"{_COREML}.prefill_chunk"),
    "chunk-text": (f"{_COREML}.prefill_chunk", "64", f"{_COREML}.prefill_chunk"),
    "chunk-one": (f"{_COREML}.prefill_chunk", 1, f"{_COREML}.prefill_chunk"),
    "chunk-above-context": (f"{_COREML}.prefill_chunk", 513, f"{_COREML}.prefill_chunk"),
    "context-less": (f"{_COREML}.max_context", 511, f"{_COREML}.max_context"),
    "positions-true": (f"{_COREML}.cache_positions", True, f"{_COREML}.cache_positions"),
    "positions-few": (f"{_COREML}.cache_positions", 574, f"{_COREML}.cache_positions"),
    "units-unknown": (f"{_COREML}.compute_units", "tpu", f"{_COREML}.compute_units"),
    "units-list": (f"{_COREML}.compute_units", [], f"{_COREML}.compute_units"),
    "package-not-listed": (f"{_COREML}.vision_encoder.package", "x.mlpackage", f"{_COREML}.vision_encoder"),
    "table-not-listed": (f"{_COREML}.token_embedding.file", "x.safetensors", f"{_COREML}.token_embedding"),
}
# Good manifests from before ExecuTorch programs worked on phones: only that artifact must be rejected.
_OUTDATED = dict.fromkeys(("demo", "executorch-and-coreml"), ("format_version", 1, "export it again"))
_BROKEN = {
    "not-json": "{",
    "empty": "",
    "a-list": "[]",
    "a-number": "1",
    "not-utf-8": "\udcff",
    "deep": "[" * 100_000,
    "deep-closed": "[" * 300 + "]" * 300,
    "nan": '{"format_version": NaN}',
    "infinity": '{"format_version": -Infinity}',
    "huge-number": '{"format_version": 1e999}',
    "long-number": '{"format_version": 1' + "0" * 5000 + "}",
    "key-twice": '{"format_version": 1, "format_version": 1}',
}
# Readers' messages for these differ, but all reject them.
_BROKEN_NAMES = dict.fromkeys(("huge-number", "long-number", "key-twice", "deep-closed"), "got")
_BROKEN_NAMES |= dict.fromkeys(("a-list", "a-number"), "format_version")


def _make_manifests(folder: Path) -> None:
    manifests = folder / "manifests"
    cases = _make_wrong(manifests, "bad", _WRONG, of="demo")
    for name, content in _BROKEN.items():
        (manifests / "bad" / f"{name}.json").write_bytes(content.encode("utf-8", "surrogateescape"))
        cases.append({"file": f"{name}.json", "error_names": _BROKEN_NAMES.get(name, "JSON")})
    about = "Manifests that a reader must refuse, and what its one line of error names. Those in good/ it must accept."
    _write(manifests / "bad.json", {"about": about}, cases)
    cases = _make_wrong(manifests, "bad_coreml", _WRONG_COREML, of="executorch-and-coreml")
    about = "As bad.json, but wrong in what only a reader that runs Core ML must read and refuse; others accept them."
    _write(manifests / "bad_coreml.json", {"about": about}, cases)
    cases = _make_wrong(manifests, "outdated", _OUTDATED)
    about = (
        "Manifests that a reader must accept, whose artifact for executorch must be refused when it is to be used, and what that "
        "line of error names. Their artifact for coreml is as good as ever."
    )
    _write(manifests / "outdated.json", {"about": about}, cases)


def _make_wrong(
    manifests: Path, bad: str, wrong: dict[str, tuple[str, Any, str]], of: str | None = None
) -> list[dict[str, Any]]:
    """Write into the folder ``bad``, for each of ``wrong``, the good manifest ``of`` (or of the same name) with one error;
    returns the cases.
    """
    (manifests / bad).mkdir(parents=True, exist_ok=True)
    cases = []
    for name, (field, value, named) in wrong.items():
        values = json.loads((manifests / "good" / f"{of or name}.json").read_text(encoding="utf-8"))
        *path, last = field.split(".")
        target = values
        for step in path:
            target = target[step]
        if value is _ABSENT:
            del target[last]
        else:
            target[last] = value
        (manifests / bad / f"{name}.json").write_text(json.dumps(values) + "\n", encoding="utf-8")
        cases.append({"file": f"{name}.json", "error_names": named})
    return cases


# --- text streams: pieces of single tokens → text as it may be shown


def _bytes(text: str) -> list[str]:
    return [f"<0x{byte:02X}>" for byte in text.encode()]


_SPECIALS = ["<unk>", "<s>", "</s>"]


def _stream(*steps: tuple[str, str], rest: str = "") -> dict[str, Any]:
    pieces, shown = ([step[side] for step in steps] for side in (0, 1))
    return {"specials": _SPECIALS, "pieces": pieces, "shown": shown, "rest": rest}


def _spelled(text: str) -> list[tuple[str, str]]:
    """The bytes of each character of ``text``; it is shown with its last byte."""
    steps = []
    for character in text:
        pieces = _bytes(character)
        steps += [(piece, "") for piece in pieces[:-1]] + [(pieces[-1], character)]
    return steps


_STREAMS: dict[str, dict[str, Any]] = {
    "nothing": _stream(),
    "words": _stream(("▁a", "a"), ("▁red", " red"), ("▁circle", " circle"), (".", ".")),
    "the first space is the prompt's": _stream(("▁", ""), ("▁yes", " yes")),
    "no first space": _stream(("yes", "yes"), ("▁", " "), ("▁", " ")),
    "two bytes": _stream(*_spelled("é")),
    "three bytes": _stream(*_spelled("你好")),
    "four bytes": _stream(*_spelled("😀")),
    "a family": _stream(*_spelled("👨‍👩‍👧")),
    "a flag": _stream(*_spelled("🇨🇳")),
    "text, bytes, text": _stream(("▁a", "a"), *_spelled("你"), ("▁b", " b")),
    "a newline in bytes": _stream(("▁a", "a"), ("<0x0A>", "\n"), ("b", "b")),
    "a space in bytes first": _stream(("<0x20>", ""), ("a", "a")),
    "cut at the end": _stream(("▁a", "a"), *[(piece, "") for piece in _bytes("你")[:2]], rest="\ufffd"),
    "cut by a word": _stream(("<0xE4>", ""), ("▁a", "\ufffd a")),
    "cut by another character": _stream(("<0xF0>", ""), ("<0x9F>", ""), ("<0xE4>", "\ufffd"), ("<0xBD>", ""), ("<0xA0>", "你")),
    "a lone continuation": _stream(("<0x80>", "\ufffd"), ("a", "a")),
    "never a character": _stream(("<0xFF>", "\ufffd"), ("<0xC0>", "\ufffd"), ("a", "a")),
    "looks like a byte": _stream(("<0xZZ>", "<0xZZ>"), ("<0x41>", "A"), ("<0x4>", "<0x4>"), ("▁<0x41>", " <0x41>")),
    "several spaces in a piece": _stream(("▁▁▁a", "  a"), ("b▁c", "b c")),
    "an empty piece": _stream(("", ""), ("▁a", "a")),
    "special tokens": _stream(("<s>", ""), ("▁A", "A"), ("<s>", ""), ("▁circle", " circle"), ("<unk>", ""), ("</s>", "")),
    "a special token inside a character": _stream(("<0xE4>", ""), ("<0xBD>", ""), ("<s>", ""), ("<0xA0>", "你")),
    "looks like a special token": _stream(("▁<s>", "<s>"), ("<", "<"), ("s", "s"), (">", ">"), ("<s>.", "<s>.")),
}  # fmt: skip


def _make_text_stream(folder: Path) -> None:
    about = (
        "Pieces of single tokens, the text that each may add to what is shown, and the rest that is shown at the end. A character "
        "spelled in bytes waits until it is whole; bytes that can't become one are U+FFFD, one for each longest possible beginning. "
        "Special tokens add nothing."
    )
    _write(folder / "text_stream.json", {"about": about}, [{"name": name, **case} for name, case in _STREAMS.items()])


# --- token tables: the embedding in each form → rows


def _make_token_tables(folder: Path) -> None:
    """Tables as written by the Core ML export, with rows that float16 rounds, overflows on or can hardly represent."""
    tables = folder / "token_tables"
    tables.mkdir(exist_ok=True)
    sizes = MobileVLMConfig.tiny()
    vocab_size, width = 12, sizes.llm.hidden_size
    model = MobileVLM(replace(sizes, llm=replace(sizes.llm, vocab_size=vocab_size)))
    weight = torch.from_numpy(np.random.default_rng(5).integers(-4096, 4096, (vocab_size, width)) / 1000).float()
    weight[1], weight[2], weight[3] = 0, weight[2] * 1e-6, weight[3] * 1e5
    weight[4, ::3] = 0
    cases = []
    for form in ("fp32", "int8", "int4"):
        model.token_embedding.weight = torch.nn.Parameter(weight.clone(), requires_grad=False)
        quantize(model, make_recipe("fp32", embedding=form))
        file = tables / f"{form}.safetensors"
        assert write_token_table(model.token_embedding, file) == form
        file.chmod(0o644)
        rows = read_token_table(file)
        case = {
            "file": file.name,
            "form": form,
            "vocab_size": vocab_size,
            "width": width,
            "sha256": hashlib.sha256(rows.numpy().astype("<f4").tobytes()).hexdigest(),
            "float16_sha256": hashlib.sha256(rows.half().numpy().astype("<f2").tobytes()).hexdigest(),
            # To show how far off an implementation is.
            "samples": [
                [row, column, rows[row, column].item()] for row, column in ((0, 0), (0, 33), (3, 1), (11, width - 1))
            ],
        }
        cases.append(case)
    about = "token_embedding.safetensors in each form; sha256 over all rows as float32, and rounded to float16, little-endian."
    _write(tables / "token_tables.json", {"about": about}, cases)


def _write(path: Path, head: dict[str, Any], cases: list[dict[str, Any]]) -> None:
    """Write ``head`` and ``cases``, one case per line."""
    lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases)
    begin = json.dumps({"command": COMMAND, **head}, ensure_ascii=True)[:-1]
    path.write_text(f'{begin}, "cases": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    make(HERE)
    print(f"made the golden files in {HERE}", file=sys.stderr)
