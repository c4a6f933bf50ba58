"""Training a checkpoint on a folder of images, with one process and with two."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from golden.make import display_p3
from PIL import Image

from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import ImageError, TrainError
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.prompt import Turn
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_export.train.conversation import TrainingSample
from mobilevlm_export.train.images import ImageConversations
from mobilevlm_export.train.stage import STAGES, StageConfig
from mobilevlm_export.train.train_checkpoint import TrainConfig, train

STAGE = replace(
    STAGES["stage2"],
    batch_size=4,
    micro_batch_size=2,
    epochs=3,
    learning_rate=3e-3,
    max_tokens=256,
    bf16=False,
    workers=0,
)

# The script that torchrun starts twice: paths come from the command line, the rank from the environment.
_PROCESS = """
import json, sys
from pathlib import Path
import torch
from mobilevlm_export.train.train_checkpoint import TrainConfig, train
from mobilevlm_export.train.stage import StageConfig

torch.set_num_threads(1)
stage, data, images, checkpoint, output, report = sys.argv[1:]
folders = map(Path, (data, images, checkpoint, output))
config = TrainConfig(StageConfig(**json.loads(stage)), *folders, dtype=torch.float32)
Path(report).write_text(json.dumps(train(config)))
"""


def _config(stage: StageConfig, data: Path, images: Path, checkpoint: Path, output: Path) -> TrainConfig:
    return TrainConfig(stage, data, images, checkpoint, output, dtype=torch.float32)


@pytest.mark.parametrize("template", ["plain", "v1"])
def test_the_trained_checkpoint_answers_better(
    checkpoint: Path, data: Path, images: Path, tmp_path: Path, template: str
) -> None:
    stage = replace(STAGE, template=template, epochs=12)
    losses = train(_config(stage, data, images, checkpoint, tmp_path / "out"))
    assert len(losses) == 24
    assert sum(losses[-4:]) < 0.4 * sum(losses[:4])
    before, after = load_checkpoint(checkpoint), load_checkpoint(tmp_path / "out")
    for name, tensor in after.state_dict().items():
        assert torch.equal(tensor, before.state_dict()[name]) == name.startswith("vision_encoder.tower."), name
    assert (tmp_path / "out" / "tokenizer.model").read_bytes() == (checkpoint / "tokenizer.model").read_bytes()
    assert "24/24 loss" in (tmp_path / "out.log").read_text()
    assert not (tmp_path / "out.state").exists()


@pytest.mark.slow
def test_two_processes_compute_what_one_does(checkpoint: Path, data: Path, images: Path, tmp_path: Path) -> None:
    expected = train(_config(STAGE, data, images, checkpoint, tmp_path / "one"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = [str(place) for place in (data, images, checkpoint, tmp_path / "two")]
    processes = []
    for rank in range(2):
        command = [sys.executable, "-c", _PROCESS, json.dumps(vars(STAGE)), *places, str(tmp_path / f"{rank}.json")]
        environment = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": 2,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        processes.append(
            subprocess.Popen(
                command,
                env=os.environ | {key: str(value) for key, value in environment.items()},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    for rank in range(2):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == pytest.approx(expected, abs=2e-4)
    one, two = load_checkpoint(tmp_path / "one"), load_checkpoint(tmp_path / "two")
    for name, tensor in one.state_dict().items():
        assert torch.allclose(two.state_dict()[name], tensor, atol=1e-3), name


def test_missing_image_is_named_before_training(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(TrainError, match=r"red\.png: no such file, expected the image of entry 0"):
        train(_config(STAGE, data, empty, checkpoint, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_damaged_image_is_named(checkpoint: Path, data: Path, images: Path, tmp_path: Path) -> None:
    broken = tmp_path / "images"
    broken.mkdir()
    for path in images.iterdir():
        Image.open(path).save(broken / path.name)
    (broken / "blue.png").write_bytes(b"no picture")
    with pytest.raises(
        ImageError, match=r"blue\.png: got 10 bytes that are not an image, expected JPEG, PNG or the like"
    ):
        train(_config(STAGE, data, broken, checkpoint, tmp_path / "out"))


def test_images_are_opened_as_by_the_authors(
    small_config: MobileVLMConfig, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """Neither rotated nor color-converted, so that training data is the same as with the authors' code."""
    stored = Image.effect_noise((60, 40), 80).convert("RGB")
    turned = Image.Exif()
    turned[0x0112] = 6
    stored.save(tmp_path / "a.png", exif=turned, icc_profile=display_p3())
    samples = [TrainingSample("a.png", (Turn("What is this?", "noise"),))]
    pixels, _ = ImageConversations(samples, tmp_path, small_config, tokenizer, "v1", 256)[0]
    assert pixels is not None
    assert torch.equal(pixels, preprocess(stored, small_config))


def test_existing_output_is_kept(checkpoint: Path, data: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(TrainError, match="already exists, expected a new folder"):
        train(_config(STAGE, data, images, checkpoint, tmp_path / "out"))
