"""Put outliers like those of trained models into a model, without changing what it computes.

Trained transformers have a few channels that are far larger than the others, always the same ones: random and small models have
none, so a recipe that is judged on them looks better than it is. Places, and where they were described:

- ``norm``: gains of CLIP's LayerNorms and LLaMA's RMSNorms. Outlier Suppression (arXiv 2209.13325, section 3) names the gain as
  what amplifies a channel; SmoothQuant (arXiv 2211.10438, section 3) shows that the channels stay the same for all tokens.
- ``value``: values of attention, which the output projection reads. Outlier Suppression+ (arXiv 2304.09145), AWQ (2306.00978).
- ``mlp``: the middle of LLaMA's MLP, up · silu(gate), which ``down_proj`` reads (QuaRot, arXiv 2404.00456, section 3).
- ``vision_mlp``: the middle of CLIP's MLP, which ``fc2`` reads (RegCache, arXiv 2510.04547). QuickGELU in between isn't linear, so
  outliers here **change the function**: only random weights get them.

Each outlier multiplies a channel where it is made and divides it where it is read. Outliers of the residual stream itself can't be
added so: every norm would see them.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch

from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.checkpoint.outlier_places import EQUIVALENT, PLACES, STRENGTH
from mobilevlm_export.checkpoint.save import save_checkpoint
from mobilevlm_export.errors import CheckpointError
from mobilevlm_export.model.links import ChannelLink, NormLink, head_link, layer_links, linked_layers
from mobilevlm_export.model.mobilellama import DecoderLayer
from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.model.vision_encoder import VisionLayer
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.tokenizer import checkpoint_tokenizer

_RARITY = 64  # one channel in so many


def add_outliers(
    model: MobileVLM, strength: float = STRENGTH, places: Collection[str] = EQUIVALENT, seed: int = 0
) -> None:
    """Multiply one channel in 64, chosen at random, with ``strength`` in all ``places`` of ``model``, in place.

    Raises:
        CheckpointError: ``strength`` is not a positive number, or a place is unknown.
    """
    require_outliers(strength, places)
    generator = torch.Generator().manual_seed(seed)
    for layer in linked_layers(model):
        for place, link in _links(layer):
            _grow(link, strength, generator, place in places)
    _grow(head_link(model.text_decoder), strength, generator, "norm" in places)


def require_outliers(strength: float, places: Collection[str]) -> None:
    """Raise CheckpointError unless ``strength`` is a positive number and all ``places`` are known."""
    if not 0 < strength < math.inf:
        raise CheckpointError(f"outliers: got a strength of {strength}, expected a positive number")
    if unknown := [place for place in places if place not in PLACES]:
        raise CheckpointError(f"places: got {unknown[0]!r:.60}, expected some of {', '.join(PLACES)}")


def copy_with_outliers(
    checkpoint: Path,
    output: Path,
    strength: float = STRENGTH,
    places: Collection[str] = EQUIVALENT,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> None:
    """Write a copy of ``checkpoint`` with outliers to the new folder ``output``, in float32: half precision would round them.

    Raises:
        CheckpointError: ``output`` exists, ``checkpoint`` can't be read, or the outliers would change what it computes.
    """
    if changing := [place for place in places if place not in EQUIVALENT]:
        raise CheckpointError(
            f"places: got {changing[0]!r:.60}, expected some of {', '.join(EQUIVALENT)}, which leave the function as it is"
        )
    model = load_checkpoint(checkpoint, progress=progress)
    add_outliers(model, strength, places, seed)
    progress("writing weights", 0, 1)
    save_checkpoint(model, output, tokenizer_model=checkpoint_tokenizer(checkpoint).path, dtype=torch.float32)
    progress("writing weights", 1, 1)


def _links(layer: DecoderLayer | VisionLayer) -> list[tuple[str, NormLink | ChannelLink]]:
    """The links of ``layer`` with the names of their places."""
    links = layer_links(layer)
    norms = [("norm", link) for link in links.norms]
    if isinstance(layer, VisionLayer):  # a checkpoint has no slopes of QuickGELU that could follow
        return [*norms, ("value", links.value), ("vision_mlp", replace(links.middle, quick_gelu=None))]
    return [*norms, ("value", links.value), ("mlp", links.middle)]


def _grow(link: NormLink | ChannelLink, strength: float, generator: torch.Generator, chosen: bool) -> None:
    """Multiply some channels of ``link`` with ``strength``; draw them even if it isn't ``chosen``, so that places are independent."""
    outliers = torch.randperm(link.channels, generator=generator)[: max(1, link.channels // _RARITY)]
    if chosen:
        scale = torch.ones(link.channels)
        scale[outliers] = 1 / strength
        link.move(scale)
