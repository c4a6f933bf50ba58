"""One stage: what is trained, what is frozen, resuming, and several processes that compute the same as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import ConfigError, TrainError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_export.train.conversation import read_conversations
from mobilevlm_export.train.images import ImageConversations
from mobilevlm_export.train.schedule import learning_rate_scale
from mobilevlm_export.train.stage import STAGES, StageConfig, summed_loss, train_stage

STAGE = StageConfig(
    template="v1",
    batch_size=4,
    learning_rate=3e-3,
    projector_learning_rate=3e-3,
    epochs=3,
    max_tokens=256,
    micro_batch_size=2,
    bf16=False,
    workers=0,
)


@pytest.fixture
def examples(data: Path, images: Path, small_config: MobileVLMConfig, tokenizer: Tokenizer) -> ImageConversations:
    return ImageConversations(read_conversations(data), images, small_config, tokenizer, "v1", 256)


def _weights(model: MobileVLM) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def test_presets_are_the_papers() -> None:
    first, second = STAGES["stage1"], STAGES["stage2"]
    assert (first.template, first.batch_size, first.learning_rate, first.projector_learning_rate) == (
        "plain",
        256,
        2e-5,
        1e-3,
    )
    assert (second.template, second.batch_size, second.learning_rate, second.projector_learning_rate) == (
        "v1",
        128,
        4e-5,
        4e-5,
    )
    for stage in (first, second):
        assert (stage.epochs, stage.warmup, stage.weight_decay, stage.max_tokens, stage.bf16) == (
            1,
            0.03,
            0,
            2048,
            True,
        )


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    scales = [learning_rate_scale(step, 100, 0.1) for step in range(100)]
    assert scales[0] == pytest.approx(0.1)
    assert max(scales) == scales[10] == 1
    assert scales[10:] == sorted(scales[10:], reverse=True)
    assert scales[-1] < 0.001


def test_only_the_tower_is_frozen(model: MobileVLM, examples: ImageConversations, tmp_path: Path) -> None:
    before = _weights(model)
    train_stage(model, examples, replace(STAGE, epochs=1), tmp_path / "state")
    for name, tensor in model.state_dict().items():
        frozen = name.startswith("vision_encoder.tower.")
        assert torch.equal(tensor, before[name]) == frozen, name


def test_a_tiny_set_is_memorized(model: MobileVLM, examples: ImageConversations, tmp_path: Path) -> None:
    examples.samples = examples.samples[:4]
    losses = train_stage(model, examples, replace(STAGE, epochs=60, learning_rate=5e-3), tmp_path / "state")
    assert losses[0] > 3
    assert losses[-1] < 0.05


def test_resumed_equals_uninterrupted(
    small_config: MobileVLMConfig, model: MobileVLM, examples: ImageConversations, tmp_path: Path
) -> None:
    start = _weights(model)
    whole = train_stage(model, examples, STAGE, tmp_path / "whole")
    expected = _weights(model)

    model.load_state_dict(start)
    stage = replace(STAGE, save_every=2)

    def interrupt(stage: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_stage(model, examples, stage, tmp_path / "state", interrupt)
    resumed = MobileVLM(small_config)  # all of it comes from the state
    losses = train_stage(resumed, examples, stage, tmp_path / "state")
    assert losses == whole[3:]  # the interruption itself saved the third step
    for name, tensor in resumed.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_micro_batches_and_checkpointing_change_nothing(
    model: MobileVLM, examples: ImageConversations, tmp_path: Path
) -> None:
    start = _weights(model)
    whole = train_stage(
        model, examples, replace(STAGE, micro_batch_size=4, gradient_checkpointing=False), tmp_path / "whole"
    )
    model.load_state_dict(start)
    parts = train_stage(model, examples, replace(STAGE, micro_batch_size=1), tmp_path / "parts")
    assert parts == pytest.approx(whole, abs=1e-4)


def test_padding_changes_no_loss(model: MobileVLM, examples: ImageConversations) -> None:
    batch = [examples[index] for index in range(len(examples))]
    with torch.no_grad():
        together = summed_loss(model, batch)
        alone = sum(summed_loss(model, [example]) for example in batch)
    assert torch.allclose(together, torch.as_tensor(alone), rtol=1e-5)


def test_bf16_is_close_to_fp32(model: MobileVLM, examples: ImageConversations, tmp_path: Path) -> None:
    start = _weights(model)
    wide = train_stage(model, examples, replace(STAGE, epochs=1), tmp_path / "wide")
    model.load_state_dict(start)
    narrow = train_stage(model, examples, replace(STAGE, epochs=1, bf16=True), tmp_path / "narrow")
    assert narrow == pytest.approx(wide, rel=0.02)
    assert narrow != wide


def test_a_nan_loss_stops_before_the_update(model: MobileVLM, examples: ImageConversations, tmp_path: Path) -> None:
    with torch.no_grad():
        model.text_decoder.norm.weight[0] = float("nan")
    before = _weights(model)
    with pytest.raises(TrainError, match="step 1: got a loss of nan, expected a finite one"):
        train_stage(model, examples, STAGE, tmp_path / "state")
    assert not (tmp_path / "state").exists()
    assert torch.equal(model.token_embedding.weight, before["token_embedding.weight"])


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"not a state"])
def test_damaged_state_is_refused(
    model: MobileVLM, examples: ImageConversations, tmp_path: Path, damage: object
) -> None:
    path = tmp_path / "state"
    train_stage(model, examples, replace(STAGE, epochs=1), path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(TrainError, match="got a training state that doesn't fit"):
        train_stage(model, examples, STAGE, path)


def test_wrong_hyper_parameters_are_refused() -> None:
    with pytest.raises(ConfigError, match="batch_size: got 0, expected at least 1"):
        replace(STAGE, batch_size=0)
    with pytest.raises(ConfigError, match="learning_rate: got nan, expected a positive number"):
        replace(STAGE, learning_rate=float("nan"))
