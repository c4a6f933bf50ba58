"""Outputs of a tiny model's program without and with XNNPACK's weights cache, which phones use, in memory and in a file.

Computed in a process of its own, since a program that reads freed memory may end it: this file as a script, with OUTPUTS PROGRAM...
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from tiny import TINY
from torch import Tensor

from mobilevlm_host.engines.executorch import load_methods
from mobilevlm_host.engines.methods import METHODS
from mobilevlm_host.engines.packed_weights import weights_in
from mobilevlm_host.engines.weights_cache import use_weights_cache

STEPS = 6
# Without XNNPACK's weights cache; with it; with it in a file that is written; with the file there.
WAYS = ("plain", "cached", "written", "present")


def in_all_ways(programs: Sequence[Path]) -> list[dict[str, list[Tensor]]]:
    """For each program, by way, the outputs of its three methods: two pictures' embeddings and features, then the logits and
    embeddings of ``STEPS`` tokens.
    """
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder, "outputs.pt")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, __file__, str(outputs), *map(str, programs)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done
        found: list[dict[str, list[Tensor]]] = torch.load(outputs, weights_only=True)
        return found


def _in_way(way: str, program: Path, file: Path) -> list[Tensor]:
    if way in ("plain", "cached"):
        use_weights_cache(way == "cached")
        return _outputs(load_methods(program, METHODS))
    with weights_in(file):
        methods = load_methods(program, METHODS)
    assert str(file) in Path("/proc/self/maps").read_text(encoding="utf-8")
    outputs = _outputs(methods)
    file.chmod(0o444)
    return outputs


def _outputs(methods: Mapping[str, Callable[..., list[Tensor]]]) -> list[Tensor]:
    side, position = TINY.vision.image_size, 0
    outputs: list[Tensor] = []
    for seed in range(2):
        pixels = torch.randint(0, 256, (1, 3, side, side), generator=torch.Generator().manual_seed(seed))
        outputs += methods["vision_encoder"](pixels.to(torch.uint8))
    embeds = outputs[-2]
    for _ in range(STEPS):
        [logits] = methods["text_decoder"](embeds, torch.tensor([position]))
        position += embeds.shape[1]
        [embeds] = methods["token_embedding"](logits[0].argmax(-1, keepdim=True))
        outputs += [logits, embeds]
    return outputs


if __name__ == "__main__":
    place, *programs = map(Path, sys.argv[1:])
    found = [
        {way: _in_way(way, program, place.with_name(f"{at}.weights")) for way in WAYS}
        for at, program in enumerate(programs)
    ]
    torch.save(found, place)
