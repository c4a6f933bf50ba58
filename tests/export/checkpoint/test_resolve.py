"""A model id is downloaded from the hub; a fake hub on loopback speaks its protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from fake_hub import FakeHub, running_hub
from tiny import random_model

from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.checkpoint.resolve import resolve_checkpoint
from mobilevlm_export.checkpoint.save import save_checkpoint
from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT
from mobilevlm_export.errors import CheckpointError

NOWHERE = "http://127.0.0.1:9"  # nothing listens there


@dataclass
class Hub:
    """A hub with the model owner/tiny: its files by name, its address, and the files that were requested."""

    files: dict[str, bytes]
    endpoint: str
    server: FakeHub

    def resolve(self, cache: Path, name: str = "owner/tiny") -> Path:
        self.server.requests.clear()
        self.server.repositories["owner/tiny"] = self.files
        return resolve_checkpoint(name, endpoint=self.endpoint, cache=cache)

    @property
    def asked(self) -> list[str]:
        return self.server.downloaded("owner/tiny")


@pytest.fixture
def hub(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    files = {file.name: file.read_bytes() for file in tiny_checkpoint.iterdir()}
    with running_hub(monkeypatch) as server:
        yield Hub(files, server.endpoint, server)


SMALL = {"config.json", "tokenizer.model", "vision_config.json"}


def test_a_model_id_is_downloaded_once_and_only_what_is_needed(hub: Hub, tmp_path: Path) -> None:
    hub.files |= {
        "pytorch_model.bin": b"old",
        "README.md": b"#",
        "sub/model.safetensors": b"other",
        "sub/config.json": b"{}",
        "chat_template.jinja": b"{{ 'ASSISTANT:' }}",
    }
    folder = hub.resolve(tmp_path)
    assert load_checkpoint(folder).config.llm.hidden_size == 96
    assert set(hub.asked) == {*SMALL, "chat_template.jinja", "model.safetensors"}
    assert hub.resolve(tmp_path) == folder
    assert hub.asked == []


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_an_index_comes_with_its_shards(hub: Hub, tmp_path: Path, tiny_checkpoint: Path, form: str) -> None:
    folder = tmp_path / "sharded"
    save_checkpoint(
        random_model(), folder, tokenizer_model=tiny_checkpoint / "tokenizer.model", form=form, dtype=torch.float32,
        max_shard_bytes=200_000,
    )  # fmt: skip
    hub.files = {file.name: file.read_bytes() for file in folder.iterdir()}
    hub.files["sub/model.safetensors"] = b"safetensors of another model"
    needed = set(hub.files) - {"sub/model.safetensors"}
    found = hub.resolve(tmp_path / "cache")
    assert {file.name for file in found.iterdir()} == needed
    assert torch.equal(load_checkpoint(found).token_embedding.weight, random_model().token_embedding.weight)


def test_weights_in_a_subfolder_are_not_found(hub: Hub, tmp_path: Path) -> None:
    hub.files["sub/model.safetensors"] = hub.files.pop("model.safetensors")
    with pytest.raises(CheckpointError, match=r"owner/tiny: got no weights on the hub, expected one of model\.safe"):
        hub.resolve(tmp_path)


def test_a_cached_model_needs_no_connection(hub: Hub, tmp_path: Path) -> None:
    folder = hub.resolve(tmp_path)
    hub.endpoint = NOWHERE
    assert hub.resolve(tmp_path) == folder
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"isn't complete in the hub's cache") as caught:
        hub.resolve(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_connection_and_no_cache_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^owner/tiny: couldn't be downloaded \(.*refused\), isn't") as caught:
        resolve_checkpoint("owner/tiny", endpoint=NOWHERE, cache=tmp_path)
    assert "\n" not in str(caught.value)


def test_an_unknown_model_is_one_line(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"owner/none: refused by the hub \(.*\), and no folder") as caught:
        hub.resolve(tmp_path, "owner/none")
    assert "\n" not in str(caught.value)


def test_folders_and_the_demo_need_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_checkpoint(tmp_path) == tmp_path
    assert resolve_checkpoint("demo") == DEMO_CHECKPOINT
    for name in ("absent", "/absent/folder", "a/b/c"):
        with pytest.raises(CheckpointError, match="no such folder, expected a checkpoint, a model id"):
            resolve_checkpoint(name)
