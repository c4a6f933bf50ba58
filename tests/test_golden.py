"""The golden files, read by all three languages: Python agrees with each, and their command reproduces them."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from golden import make
from PIL import Image
from repository import GOLDEN
from tokenizers import Tokenizer as JsonTokenizer

from mobilevlm_export import prompt
from mobilevlm_export.bundle.manifest import read_manifest
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import BundleError
from mobilevlm_export.pixels import open_image, square_pixels
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.ask.text_stream import TextStream


def _cases(path: str) -> list[dict[str, Any]]:
    return list(json.loads((GOLDEN / path).read_text(encoding="utf-8"))["cases"])


def test_the_command_makes_the_same_files(tmp_path: Path) -> None:
    kept = tmp_path / "golden"
    shutil.copytree(GOLDEN / "manifests" / "good", kept / "manifests" / "good")
    (kept / "prompts").mkdir()
    shutil.copy(GOLDEN / "prompts" / "wide.model", kept / "prompts")
    make.make(kept)
    made, committed = (
        {
            path.relative_to(root): path.read_bytes()
            for path in root.rglob("*")
            if path.suffix in (".json", ".ppm", ".model", ".safetensors")
        }
        for root in (kept, GOLDEN)
    )
    assert sorted(made) == sorted(committed)
    assert [path for path in made if made[path] != committed[path]] == []
    for name in (
        "pixels/pixels.json",
        "prompts/prompts.json",
        "manifests/bad.json",
        "manifests/bad_coreml.json",
        "manifests/outdated.json",
        "text_stream.json",
        "token_tables/token_tables.json",
    ):
        assert json.loads((GOLDEN / name).read_text())["command"] == "python tests/golden/make.py"


@pytest.mark.parametrize("case", _cases("pixels/pixels.json"), ids=lambda case: str(case["file"]))
def test_pixels(case: dict[str, Any]) -> None:
    image = open_image(GOLDEN / "pixels" / case["file"])
    assert image.size == (case["width"], case["height"])
    pixels = square_pixels(image, case["size"], (122, 116, 104)).numpy()
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == case["sha256"]
    for y, x, *color in case["samples"]:
        assert pixels[:, y, x].tolist() == color


def test_the_images_distinguish_resize_filters() -> None:
    cases = _cases("pixels/pixels.json")
    assert len(cases) >= 30
    missed = set()
    for case in cases:
        image = Image.open(GOLDEN / "pixels" / case["file"])
        stretched = image.resize((case["size"], case["size"]), Image.Resampling.BILINEAR)
        planes = b"".join(channel.tobytes() for channel in stretched.split())
        if hashlib.sha256(planes).hexdigest() == case["sha256"]:
            missed.add(case["file"].removesuffix(".ppm"))
    # A single color, or no resize at all.
    assert missed == {"one-pixel", "one-white-pixel", "exact", "exact-demo", "mean-colour"}


@pytest.mark.parametrize("name", ["demo", "wide"])
def test_prompts(name: str) -> None:
    cases = _cases("prompts/prompts.json")
    assert len(cases) >= 60
    tokenizer = JsonTokenizer.from_file(str(GOLDEN / "prompts" / f"{name}.tokenizer.json"))
    tokenizer.encode_special_tokens = True
    for case in cases:
        turns = [prompt.Turn(turn["question"], turn["answer"]) for turn in case["turns"]]
        segments = [
            {"mark": segment.name} if isinstance(segment, prompt.Mark) else {"text": segment}
            for segment in prompt.text_segments(turns)
        ]
        assert segments == case["segments"]
        sides: list[list[int]] = [[1]]
        for segment in segments:
            if segment.get("mark") == "IMAGE":
                sides.append([])
            elif segment.get("mark") == "END":
                sides[-1].append(2)
            else:
                sides[-1] += tokenizer.encode(segment["text"], add_special_tokens=False).ids
        assert sides == [case["ids"][name]["before_image"], case["ids"][name]["after_image"]]


def test_prompts_of_a_tokenizer_that_adds_no_space() -> None:
    golden = json.loads((GOLDEN / "prompts" / "plain.json").read_text(encoding="utf-8"))
    assert len(golden["cases"]) >= 60
    template = prompt.Template(**golden["prompt"])
    made = JsonTokenizer.from_file(str(GOLDEN / "prompts" / "plain.tokenizer.json"))
    made.encode_special_tokens = True
    read = Tokenizer(GOLDEN / "prompts" / "plain.model")
    for case in golden["cases"]:
        turns = [prompt.Turn(turn["question"], turn["answer"]) for turn in case["turns"]]
        assert prompt.encode_segments(read, turns, template) == [
            case["before_image"], prompt.IMAGE, case["after_image"]
        ]  # fmt: skip
        for segment in prompt.text_segments(turns, template):
            if isinstance(segment, str):
                assert made.encode(segment, add_special_tokens=False).ids == read.encode(segment)


@pytest.mark.parametrize("path", sorted((GOLDEN / "manifests" / "good").iterdir()), ids=lambda path: path.stem)
def test_good_manifests(path: Path) -> None:
    manifest = read_manifest(path)
    assert manifest.config.name == "MobileVLM_V2-demo"
    assert len(manifest.files) >= 3


@pytest.mark.parametrize("case", _cases("manifests/outdated.json"), ids=lambda case: str(case["file"]))
def test_outdated_manifests(case: dict[str, Any]) -> None:
    path = GOLDEN / "manifests" / "outdated" / case["file"]
    bundle = Bundle(path.parent, read_manifest(path))
    with pytest.raises(BundleError) as caught:
        bundle.artifact("executorch")
    assert case["error_names"] in str(caught.value)
    if "coreml" in bundle.manifest.values["artifacts"]:
        assert bundle.artifact("coreml").is_relative_to(path.parent)


@pytest.mark.parametrize(
    ("folder", "case"),
    [(folder, case) for folder in ("bad", "bad_coreml") for case in _cases(f"manifests/{folder}.json")],
    ids=lambda value: value if isinstance(value, str) else str(value["file"]),
)
def test_bad_manifests(folder: str, case: dict[str, Any]) -> None:
    path = GOLDEN / "manifests" / folder / case["file"]
    with pytest.raises(BundleError) as caught:
        read_manifest(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert case["error_names"] in said.removeprefix(f"{path}: ")
    assert "\n" not in said
    assert len(said) < len(str(path)) + 200


@pytest.mark.parametrize("case", _cases("text_stream.json"), ids=lambda case: str(case["name"]))
def test_text_streams(case: dict[str, Any]) -> None:
    stream = TextStream(set(case["specials"]))
    assert [stream.add(piece) for piece in case["pieces"]] == case["shown"]
    assert stream.finish() == case["rest"]
