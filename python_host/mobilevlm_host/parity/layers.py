"""``mvlm parity --layers``: check each layer of the vision encoder and the text decoder in the program that ships.

Each layer is judged by what it adds to its input, compared with the fp32 layer fed the *bundle's* input: a wrong layer stands out, and
later ones don't. The report also has the distance of the states from the fp32 model's own, in which errors accumulate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mobilevlm_export import prompt
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.files.scratch import ScratchFolder
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.engines.executorch import load_methods
from mobilevlm_host.parity.metrics import Distance, distance
from mobilevlm_host.parity.run_sample import Sample
from mobilevlm_host.parity.stages import Stage
from mobilevlm_host.parity.tap import write_tapped
from mobilevlm_host.parity.thresholds import layer_limits

LayerFigures = tuple[Distance, float]  # of a layer's states to the fp32 model's; signal to noise of what the layer adds


@torch.inference_mode()
def measure_layers(
    model: MobileVLM, tokenizer: Tokenizer, bundle: Bundle, samples: Sequence[Sample], progress: Progress = silent
) -> tuple[Stage, ...]:
    """Every layer of ``bundle``'s ``model.pte``, in the order of the data path, over each image of ``samples`` once.

    The text decoder is fed the fp32 model's embeddings of the prompt, up to the length of one prefill.

    Raises:
        BundleError: the bundle has no program for ExecuTorch.
        ParityError: the program doesn't have the structure of this kit's programs.
    """
    pictures = list({id(sample.image): sample for sample in reversed(samples)}.values())[::-1]
    tower, decoder = model.vision_encoder.tower, model.text_decoder
    found: dict[str, list[LayerFigures]] = {}
    with ScratchFolder() as folder:
        program = folder / "tapped.pte"
        write_tapped(bundle.artifact("executorch"), program, len(tower.layers), len(decoder.layers))
        tapped = load_methods(program, ("vision_encoder", "text_decoder"))
        for done, sample in enumerate(pictures):
            progress("layers", done, len(pictures))
            pixels = preprocess(sample.image, model.config)[None]
            theirs = tapped["vision_encoder"](pixels)[2:]
            features, ours, rest = _walk(tower.layers, partial(model.vision_features, pixels))
            _compare("vision_encoder", tower.layers, ours, theirs, rest, found)
            before, after = prompt.first_turn_ids(tokenizer, sample.question)
            embeds = model.embed([before, model.vision_encoder.projector(features)[0], after])
            embeds = embeds[:, : bundle.manifest.max_prefill]
            theirs = [embeds, *tapped["text_decoder"](embeds, torch.tensor([0]))[1:]]
            _, ours, rest = _walk(decoder.layers, partial(decoder, embeds))
            _compare("text_decoder", decoder.layers, ours, theirs, rest, found)
        progress("layers", len(pictures), len(pictures))
    limits = layer_limits(bundle.manifest.values["quantization"]["recipe"])
    names = [sample.name for sample in pictures]
    return tuple(_stage(name, each, limits[name.partition(".")[0]], names) for name, each in found.items())


def _walk(layers: nn.ModuleList, call: Callable[[], Tensor]) -> tuple[Tensor, list[Tensor], list[Any]]:
    """The result of ``call``, the states before and between ``layers``, and each layer's other arguments."""
    states: list[Tensor] = []
    rest: list[Any] = []

    def note(_: nn.Module, inputs: Any, output: Tensor) -> None:
        states.extend([output] if states else [inputs[0], output])
        rest.append(inputs[1:])

    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        return call(), states, rest
    finally:
        for hook in hooks:
            hook.remove()


def _compare(
    method: str, layers: nn.ModuleList, ours: list[Tensor], theirs: list[Tensor], rest: list[Any], found: Any
) -> None:
    if method == "vision_encoder":
        start = distance(ours[0], theirs[0])
        found.setdefault(f"{method}.pre_layernorm", []).append((start, start.snr_db))
    for at, layer in enumerate(layers):
        given, got = theirs[at], theirs[at + 1]
        added = distance(layer(given, *rest[at]) - given, got - given)
        found.setdefault(f"{method}.layers.{at}", []).append((distance(ours[at + 1], got), added.snr_db))


def _stage(name: str, found: list[LayerFigures], limit: Any, names: list[str]) -> Stage:
    worst = min(range(len(found)), key=lambda at: found[at][1])
    states = [each for each, _ in found]
    metrics = {
        "added_snr_db": found[worst][1],
        "max_abs": max(each.max_abs for each in states),
        "max_rel": max(each.max_rel for each in states),
        "cosine": min(each.cosine for each in states),
        "snr_db": min(each.snr_db for each in states),
    }
    return Stage(name, metrics, (limit,), names[worst])
