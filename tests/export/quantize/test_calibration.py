"""The images and texts that int4 weights are calibrated with."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from tiny import random_model

from mobilevlm_export.config import preset
from mobilevlm_export.demo.model import DEMO_CONFIG
from mobilevlm_export.errors import QuantizeError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.quantize import calibration
from mobilevlm_export.quantize.calibration import read_folder, scenes
from mobilevlm_export.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def model() -> MobileVLM:
    return random_model()


def test_a_folder_of_pictures(model: MobileVLM, tiny_tokenizer_model: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer(tiny_tokenizer_model)
    with pytest.raises(QuantizeError, match="got no image that can be opened"):
        read_folder(tmp_path, tokenizer, model.config)
    Image.new("RGB", (30, 20), "red").save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("no picture")
    assert len(read_folder(tmp_path, tokenizer, model.config).texts) == 1
    with pytest.raises(QuantizeError, match="no such folder"):
        read_folder(tmp_path / "none", tokenizer, model.config)


def test_of_a_large_folder_the_first_pictures_are_taken(
    model: MobileVLM, tiny_tokenizer_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "MOST_IMAGES", 2)
    for name in ("c", "a", "b"):
        Image.new("RGB", (30, 20), "red" if name == "a" else "blue").save(tmp_path / f"{name}.png")
    found = read_folder(tmp_path, Tokenizer(tiny_tokenizer_model), model.config)
    assert found.description == f"2 pictures of {tmp_path.name}"
    assert [bool(text.pixels[0].max() > 200) for text in found.texts] == [True, False]


def test_scenes_are_none_that_the_demo_is_judged_by(model: MobileVLM, tiny_tokenizer_model: Path) -> None:
    found = scenes(Tokenizer(tiny_tokenizer_model), model.config)
    assert found.description == "64 generated scenes"
    assert len(found.texts) == 64
    assert all(text.after[-1] == model.config.eos_id for text in found.texts)


def test_a_large_model_gets_fewer_images_with_more_tokens_each() -> None:
    assert calibration.image_count(preset("1.7b")) == 32
    assert calibration.image_count(DEMO_CONFIG) == 64
