"""Outputs of a tiny model's program without and with XNNPACK's weights cache, which phones use.

Computed in a process of its own, since a program that reads freed memory may end it: this file as a script, with OUTPUTS PROGRAM...
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from tiny import TINY
from torch import Tensor

from mobilevlm_host.engines.executorch import load_methods
from mobilevlm_host.engines.weights_cache import use_weights_cache

STEPS = 6


def plain_and_cached(programs: Sequence[Path]) -> list[tuple[list[Tensor], list[Tensor]]]:
    """For each program the outputs of its three methods, without the cache and with it: two pictures' embeddings and features, then
    the logits and embeddings of ``STEPS`` tokens.
    """
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder, "outputs.pt")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, __file__, str(outputs), *map(str, programs)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done
        plain, cached = torch.load(outputs, weights_only=True)
        return list(zip(plain, cached, strict=True))


def _compute(program: Path) -> list[Tensor]:
    methods = load_methods(program, ("vision_encoder", "token_embedding", "text_decoder"))
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
    computed = []
    for is_cached in (False, True):
        use_weights_cache(is_cached)
        computed.append([_compute(Path(program)) for program in sys.argv[2:]])
    torch.save(computed, sys.argv[1])
