"""Quantize one part of the model at a time, the rest in float32, and measure the bytes saved and the accuracy lost.

The fp32 model answers each sample once, as in parity. A quantized model is fed the same tokens in one call. Its answer is equal to
the fp32 model's if and only if every token, including the end, is still the most likely one at its position.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mobilevlm_export import prompt
from mobilevlm_export.errors import ParityError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.calibration import scenes
from mobilevlm_export.quantize.linear_inputs import CalibratedInputs
from mobilevlm_export.quantize.recipe import KNOBS, RECIPES, Recipe
from mobilevlm_export.quantize.report import shipped_bytes
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.parity.metrics import distance, logit_distance
from mobilevlm_host.parity.run_sample import DECODE_STEPS, GreedyRun, Sample, greedy_run

LAYER_GROUPS = 4
STOCK = tuple(recipe for name, recipe in RECIPES.items() if name != "fp32")
_STEPS = 1 + DECODE_STEPS


@dataclass(frozen=True)
class Cost:
    """A component with a scheme: bytes saved relative to float32, the worst cosine of the component's output over all samples, the
    mean KL of the logits in nats, and the number of samples whose answer changed.
    """

    component: str
    scheme: str
    bytes_saved: int
    cosine: float
    mean_kl: float
    flips: int


@dataclass(frozen=True)
class Sensitivity:
    """The cost of every component with every scheme, and the bytes of all weights in float32."""

    costs: tuple[Cost, ...]
    samples: int
    fp32_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {"samples": self.samples, "fp32_bytes": self.fp32_bytes, "costs": [asdict(cost) for cost in self.costs]}


@dataclass(frozen=True)
class _SampleRun:
    """A sample's pixels, the ids before and after the image, the fp32 reference run, and each component's output."""

    pixels: Tensor
    before: list[int]
    after: list[int]
    reference: GreedyRun
    outputs: dict[str, Tensor]


def components(model: MobileVLM) -> dict[str, tuple[str, ...]]:
    """The schemes to try for each component; the decoder's layers are grouped as ``llm 0-5`` and so on."""
    layers = model.config.llm.num_layers
    groups = min(LAYER_GROUPS, layers)
    bounds = [layers * group // groups for group in range(groups + 1)]
    names = {"vision": "vision", "projector": "projector", "embedding": "embedding"}
    names |= {f"llm {begin}-{end - 1}": "llm" for begin, end in itertools.pairwise(bounds)}
    return {name: KNOBS[knob][1:] for name, knob in (names | {"lm_head": "lm_head"}).items()}


def recipe_of(component: str, scheme: str) -> Recipe:
    """A recipe that quantizes only ``component``."""
    fp32, name = RECIPES["fp32"], f"{component} {scheme}"
    if component.startswith("llm "):
        return replace(fp32, name=name, llm_layers=f"{component.removeprefix('llm ')}={scheme}")
    return replace(fp32, name=name, **{component: scheme})


class Samples:
    """Samples answered by the fp32 ``model``, for comparison with quantized copies of it."""

    @torch.inference_mode()
    def __init__(
        self, model: MobileVLM, tokenizer: Tokenizer, samples: Sequence[Sample], progress: Progress = silent
    ) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._calibration = scenes(tokenizer, model.config, progress)
        self._runs: list[_SampleRun] = []
        for done, sample in enumerate(samples):
            progress("fp32 model", done, len(samples))
            self._runs.append(self._run_reference(sample))
        progress("fp32 model", len(samples), len(samples))

    def __len__(self) -> int:
        return len(self._runs)

    def cost(self, component: str, recipe: Recipe) -> Cost:
        """What ``recipe`` saves and costs; the cosine is of the output of ``component`` (``lm_head``: the logits)."""
        model = self.quantized(recipe)
        cosines, kl, flips = [], [], 0
        for each in self._runs:
            logits, outputs = _run(model, each.pixels, each.before, each.after, each.reference)
            found = logit_distance(each.reference.logits, logits)
            kl.append(found.mean_kl)
            answered = len(each.reference.answer) + 1
            flips += 0.0 in found.top1[:answered]
            cosines.append(distance(each.outputs[component], outputs[component]).cosine)
        saved = weight_bytes(self._model) - weight_bytes(model)
        return Cost(component, recipe.name.split()[-1], saved, min(cosines), sum(kl) / len(kl), flips)

    def quantized(self, recipe: Recipe) -> MobileVLM:
        """A copy of the model quantized with ``recipe``, which shares the float32 weights."""
        shared = {id(weight): weight for weight in self._model.parameters()}
        model = copy.deepcopy(self._model, shared)
        inputs = None
        if "int4" in recipe.linear_schemes:
            inputs = CalibratedInputs(model, self._calibration)
        quantize(model, recipe, inputs=inputs)
        return model

    def _run_reference(self, sample: Sample) -> _SampleRun:
        model = self._model
        pixels = preprocess(sample.image, model.config)
        before, after = prompt.first_turn_ids(self._tokenizer, sample.question)
        embeds = model.embed([before, pixels, after])
        room = model.config.llm.max_position_embeddings - embeds.shape[1]
        if room < 1:
            raise ParityError(
                f"{sample.name}: got a prompt of {embeds.shape[1]} tokens, expected room for an answer after it"
            )
        steps = min(_STEPS, room)
        reference = greedy_run(model, embeds, steps, steps)
        _, outputs = _run(model, pixels, before, after, reference)
        return _SampleRun(pixels, before, after, reference, outputs)


def weight_bytes(model: MobileVLM) -> int:
    """The size of all weights as shipped, in bytes."""
    return sum(shipped_bytes(weight) for weight in model.parameters())


@torch.inference_mode()
def _run(
    model: MobileVLM, pixels: Tensor, before: list[int], after: list[int], reference: GreedyRun
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits [steps, V] over the reference tokens in one call, and each component's output."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda _module, _inputs, output: outputs.__setitem__(name, output)

    decoder = model.text_decoder
    parts: dict[str, nn.Module] = {
        "vision": model.vision_encoder.tower,
        "projector": model.vision_encoder.projector,
        "embedding": model.token_embedding,
        "lm_head": decoder.lm_head,
    }
    for name in components(model):
        if name.startswith("llm "):
            parts[name] = decoder.layers[int(name.rpartition("-")[2])]
    hooks = [part.register_forward_hook(keep(name)) for name, part in parts.items()]
    try:
        steps = len(reference.logits)
        embeds = model.embed([before, pixels, after + reference.greedy_ids[: steps - 1]])
        logits: Tensor = decoder(embeds)[0, -steps:]
    finally:
        for hook in hooks:
            hook.remove()
    return logits, outputs


def measure_recipes(samples: Samples, recipes: Sequence[Recipe], progress: Progress = silent) -> list[Cost]:
    """What each of ``recipes`` saves and costs overall; the cosine is of the logits."""
    costs = []
    for done, recipe in enumerate(recipes):
        progress("whole recipes", done, len(recipes))
        costs.append(samples.cost("lm_head", recipe))
    progress("whole recipes", len(recipes), len(recipes))
    return costs


def measure_sensitivity(samples: Samples, model: MobileVLM, progress: Progress = silent) -> Sensitivity:
    """Measure every component of ``model`` with every scheme, one at a time."""
    trials = [(component, scheme) for component, schemes in components(model).items() for scheme in schemes]
    costs = []
    for done, (component, scheme) in enumerate(trials):
        progress("components × schemes", done, len(trials))
        costs.append(samples.cost(component, recipe_of(component, scheme)))
    progress("components × schemes", len(trials), len(trials))
    return Sensitivity(tuple(costs), len(samples), weight_bytes(model))
