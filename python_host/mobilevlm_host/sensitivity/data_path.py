"""Run samples through a model's components, layer by layer: a layer's weights are widened or dequantized once for several samples.

What the fp32 components give is kept, so a run begins at the first component that is quantized.

Letters: P patches, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from mobilevlm_export.model.mobilellama import rope_tables
from mobilevlm_host.sensitivity.channels import ChannelWatch, Ratios
from mobilevlm_host.sensitivity.components import Components, widened

_AT_ONCE = 4  # samples in one call; each takes 21 MB in the attention of CLIP's tower


@dataclass(frozen=True)
class Asked:
    """A sample's pixels uint8 [3, S, S], the ids before and after the image, and the ids that the fp32 model then decodes greedily,
    of which the first ``answered`` are the answer with its end.
    """

    pixels: Tensor
    before: list[int]
    after: list[int]
    greedy_ids: list[int]
    answered: int


@dataclass(frozen=True)
class Run:
    """What each component gave for each sample, float32 [P, D], [P / 4, D], [T, D] or [steps, V]; and the ratios of what the linears of
    the first one read.
    """

    outputs: Mapping[str, list[Tensor]]
    ratios: Mapping[str, Ratios]


class DataPath:
    """``samples`` on their way through ``parts``; ``ran`` is called after each layer."""

    def __init__(self, parts: Components, samples: Sequence[Asked], ran: Callable[[], None]) -> None:
        self._parts, self._samples, self._ran = parts, samples, ran
        self._tower: dict[str, tuple[list[Tensor], Mapping[str, Ratios]]] = {}  # every recipe has one of these
        self.reference = self._run({}, list(parts.knobs), [each.pixels for each in samples], len(parts.knobs))

    def run(self, schemes: Mapping[str, str]) -> Run:
        """Run what isn't fp32 in ``schemes``, by component, and everything behind it."""
        names, first = list(self._parts.knobs), self._parts.first(schemes)
        inputs = self.reference.outputs[names[first - 1]] if first else [each.pixels for each in self._samples]
        return self._run(schemes, names[first:], inputs, 1)

    @torch.inference_mode()
    def _run(self, schemes: Mapping[str, str], names: Sequence[str], states: list[Tensor], watched: int) -> Run:
        outputs, watch = {}, ChannelWatch()
        ratios: Mapping[str, Ratios] = {}
        for at, name in enumerate(names):
            scheme = schemes.get(name, "fp32")
            if name == "vision" and scheme in self._tower:
                states, ratios = self._tower[scheme]
                for _ in self._parts.layers(name, scheme):
                    self._ran()
            else:
                states = self._component(name, scheme, states, watch if at < watched else None)
                ratios = watch.ratios
            if name == "vision":
                self._tower[scheme] = states, ratios
            outputs[name] = states
        return Run(outputs, ratios)

    def _component(self, name: str, scheme: str, states: list[Tensor], watch: ChannelWatch | None) -> list[Tensor]:
        knob, encoder = self._parts.knobs[name], self._parts.model.vision_encoder
        if knob == "vision":
            mean, std = (torch.tensor(values).view(3, 1, 1) for values in (encoder.mean, encoder.std))
            states = [(pixels / 255 - mean) / std for pixels in states]
        elif knob == "lm_head":
            states = [each[-len(sample.greedy_ids) :] for each, sample in zip(states, self._samples, strict=True)]
        for path, stored in self._parts.layers(name, scheme):
            module = widened(stored)
            if knob == "embedding":
                states = [self._embed(module, *each) for each in zip(self._samples, states, strict=True)]
            else:
                states = self._layer(f"{knob}.{path}".rstrip("."), module, states, watch)
            self._ran()
        return [each[1:] for each in states] if knob == "vision" else states  # without the class token

    def _embed(self, embedding: nn.Module, sample: Asked, image: Tensor) -> Tensor:
        before, after = (embedding(torch.tensor(ids)) for ids in (sample.before, sample.after + sample.greedy_ids[:-1]))
        return torch.cat([before, image, after])

    def _layer(self, place: str, module: nn.Module, states: list[Tensor], watch: ChannelWatch | None) -> list[Tensor]:
        """What ``module`` makes of ``states``. Shorter ones are padded at the end, where no other token looks."""
        call: Callable[[Tensor], Tensor] = module
        if place.startswith("llm."):
            rope = rope_tables(self._parts.model.config.llm, max(map(len, states)))
            call = partial(_decode, module, rope)
        results: list[Tensor] = []
        for begin in range(0, len(states), _AT_ONCE):
            batch = states[begin : begin + _AT_ONCE]
            lengths = [len(each) for each in batch]
            padded = nn.utils.rnn.pad_sequence(batch, batch_first=True)
            with watch.watching(place, module, lengths) if watch else nullcontext():
                results += call(padded)
        if len(results[0]) == max(map(len, states)):
            results = [each[: len(before)] for each, before in zip(results, states, strict=True)]
        return results


def _decode(layer: nn.Module, rope: tuple[Tensor, Tensor], states: Tensor) -> Tensor:
    """``states`` [N, T, D] after a layer of the decoder."""
    length = states.shape[1]
    output: Tensor = layer(states, (rope[0][:length], rope[1][:length]), 0, None)
    return output
