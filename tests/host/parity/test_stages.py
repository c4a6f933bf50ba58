"""Parity finds each fault that peers have had, where it is, even within int4's limits; and none in a sound model."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from faults import IN_THE_MODEL, DroppedCacheWrite, EagerEngine, ShiftedPositions
from PIL import Image
from torch import Tensor

from mobilevlm_export import prompt
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT
from mobilevlm_export.demo.model import write_tokenizer
from mobilevlm_export.errors import ParityError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.tokenizer import Tokenizer, make_tokenizer_json
from mobilevlm_host.ask.phone_inputs import PhoneInputs
from mobilevlm_host.parity.check import check_parity
from mobilevlm_host.parity.run_sample import Sample
from mobilevlm_host.parity.stages import STAGES, ParityReport, compare

FP32 = {"llm": "fp32", "vision": "fp32", "projector": "fp32", "embedding": "fp32"}
INT4 = {"llm": "int4", "vision": "int8", "projector": "int8", "embedding": "int8"}


def _compare(
    model: MobileVLM, engine: Any, phone: PhoneInputs, samples: list[Sample], recipe: dict[str, str]
) -> ParityReport:
    return compare(
        model, Tokenizer(DEMO_CHECKPOINT / "tokenizer.model"), engine, engine.answer, phone, samples,
        recipe=recipe, max_context=512, max_prefill=512,
    )  # fmt: skip


@pytest.mark.parametrize("recipe", [FP32, INT4], ids=["fp32", "int4"])
@pytest.mark.parametrize("fault", IN_THE_MODEL)
def test_a_fault_in_the_artifact_is_found_where_it_is(
    model: MobileVLM, bundle: Bundle, samples: list[Sample], fault: str, recipe: dict[str, str]
) -> None:
    stage, inject = IN_THE_MODEL[fault]
    broken = copy.deepcopy(model)
    inject(broken)
    phone = PhoneInputs(bundle)
    report = _compare(model, EagerEngine(broken, phone), phone, samples, recipe)
    assert report.first_divergence == stage
    assert report.to_json()["verdict"] == "fail"


@pytest.mark.parametrize("recipe", [FP32, INT4], ids=["fp32", "int4"])
@pytest.mark.parametrize("engine", [ShiftedPositions, DroppedCacheWrite])
def test_a_fault_in_the_kv_cache_shows_in_decode(
    model: MobileVLM, bundle: Bundle, samples: list[Sample], engine: type[EagerEngine], recipe: dict[str, str]
) -> None:
    phone = PhoneInputs(bundle)
    report = _compare(model, engine(copy.deepcopy(model), phone), phone, samples, recipe)
    assert report.first_divergence == "decode"


def _edited(bundle: Bundle, part: str, **changes: Any) -> Bundle:
    values = dict(bundle.manifest.values) | {part: bundle.manifest.values[part] | changes}
    return Bundle(bundle.path, replace(bundle.manifest, values=MappingProxyType(values)))


@pytest.mark.parametrize(
    ("part", "changes", "stage"),
    [
        ("image", {"pad_color": [0, 0, 0]}, "pixels"),
        ("image", {"size": 154}, "pixels"),
        ("prompt", {"bos_id": 3}, "token_ids"),
        ("prompt", {"before_image": prompt.SYSTEM + " "}, "token_ids"),
        ("prompt", {"after_image": "\nUSER: {question} ASSISTANT:"}, "token_ids"),
        ("prompt", {"after_image": "{question} ASSISTANT:"}, "token_ids"),
    ],
)
def test_a_fault_in_the_manifest_is_found_where_it_is(
    model: MobileVLM, bundle: Bundle, samples: list[Sample], part: str, changes: dict[str, Any], stage: str
) -> None:
    phone = PhoneInputs(_edited(bundle, part, **changes))
    report = _compare(model, EagerEngine(model, PhoneInputs(bundle)), phone, samples, INT4)
    assert report.first_divergence == stage


def _bilinear(image: Image.Image) -> Tensor:
    side = max(image.size)
    square = Image.new("RGB", (side, side), (122, 116, 104))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return _as_pixels(square.resize((168, 168), Image.Resampling.BILINEAR))


def _stretched(image: Image.Image) -> Tensor:
    return _as_pixels(image.resize((168, 168), Image.Resampling.BICUBIC))


def _as_pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@pytest.mark.parametrize("resize", [_bilinear, _stretched])
def test_another_resize_is_found_in_the_pixels(
    model: MobileVLM, bundle: Bundle, samples: list[Sample], resize: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = PhoneInputs(bundle)
    monkeypatch.setattr(phone, "pixels", resize)
    report = _compare(model, EagerEngine(model, phone), phone, samples, INT4)
    assert report.first_divergence == "pixels"


def test_a_doubled_or_missing_bos_and_a_swapped_tokenizer_are_found_in_the_token_ids(
    model: MobileVLM, bundle: Bundle, samples: list[Sample], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    phone = PhoneInputs(bundle)
    ids = phone.ids
    with monkeypatch.context() as patch:
        patch.setattr(phone, "ids", lambda question: ([1, *ids(question)[0]], ids(question)[1]))
        assert _compare(model, EagerEngine(model, phone), phone, samples, INT4).first_divergence == "token_ids"
        patch.setattr(phone, "ids", lambda question: (ids(question)[0][1:], ids(question)[1]))
        assert _compare(model, EagerEngine(model, phone), phone, samples, INT4).first_divergence == "token_ids"
    write_tokenizer(tmp_path / "tokenizer.model", [prompt.SYSTEM, "another text altogether"] * 20, 320)
    make_tokenizer_json(tmp_path / "tokenizer.model", tmp_path / "tokenizer.json")
    monkeypatch.setattr(bundle, "tokenizer", lambda kind="model": tmp_path / f"tokenizer.{kind}")
    swapped = PhoneInputs(bundle)
    assert _compare(model, EagerEngine(model, phone), swapped, samples, INT4).first_divergence == "token_ids"


def test_a_sound_model_passes_in_every_stage(model: MobileVLM, bundle: Bundle, samples: list[Sample]) -> None:
    phone = PhoneInputs(bundle)
    report = _compare(model, EagerEngine(copy.deepcopy(model), phone), phone, samples, FP32)
    assert report.first_divergence is None
    assert tuple(stage.name for stage in report.stages) == STAGES
    tensors, logits = {"max_abs", "max_rel", "cosine", "snr_db"}, {"mean_kl", "max_kl", "top1", "top5"}
    assert {stage.name: set(stage.metrics) for stage in report.stages} == {
        **dict.fromkeys(("pixels", "vision_encoder", "projector", "token_embedding"), tensors),
        "token_ids": {"same", "flips"},
        "answer": {"same", "flips"},
        "prefill": tensors | logits,
        "decode": tensors | logits | {"own_prefill_snr_db"},
    }
    assert report.to_json()["decode_steps"] == 32
    assert report.to_json()["stages"]["pixels"]["metrics"]["snr_db"] is None  # infinite isn't JSON
    with pytest.raises(ParityError, match="got no samples"):
        _compare(model, EagerEngine(model, phone), phone, [], FP32)


def test_a_sound_int4_bundle_passes(bundle: Bundle) -> None:
    report = check_parity(DEMO_CHECKPOINT, bundle)
    assert report.first_divergence is None
    assert report.samples == 32
    measured = {stage.name: stage.metrics for stage in report.stages}
    assert 0 < measured["decode"]["mean_kl"] < 0.01
    assert measured["vision_encoder"]["snr_db"] < 60  # int8 is really what ran


def test_a_sound_fp32_bundle_of_another_model_passes(tiny_checkpoint: Path, tiny_bundle: Bundle) -> None:
    report = check_parity(tiny_checkpoint, Bundle(tiny_bundle.path, tiny_bundle.manifest))
    assert [stage.name for stage in report.stages if not stage.passed] == []


def test_another_checkpoints_bundle_is_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(ParityError, match=r"made from checkpoint .*…; --force compares them anyway"):
        check_parity(DEMO_CHECKPOINT, tiny_bundle)


def test_pictures_of_a_folder(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="no such folder"):
        check_parity(DEMO_CHECKPOINT, bundle, images=tmp_path / "none")
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ParityError, match="got no image that can be opened"):
        check_parity(DEMO_CHECKPOINT, bundle, images=tmp_path)
    Image.new("RGB", (50, 40), "red").save(tmp_path / "red.png")
    assert check_parity(DEMO_CHECKPOINT, bundle, images=tmp_path).samples == 1
