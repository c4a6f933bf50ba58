"""Quantize one component of the model at a time, the rest in float32, and measure the bytes saved and the accuracy lost.

The fp32 model answers each sample once, as in parity. A quantized model is fed the same tokens in one call. Its answer is equal to
the fp32 model's if and only if every token, including the end, is still the most likely one at its position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.quantize.recipe import KNOBS, Recipe
from mobilevlm_host.parity.metrics import distance, logit_distance
from mobilevlm_host.sensitivity.channels import Ratios
from mobilevlm_host.sensitivity.components import Components
from mobilevlm_host.sensitivity.data_path import Asked, DataPath, Run
from mobilevlm_host.sensitivity.results_file import ResultsFile


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
class Outliers:
    """Linears that read the same input, by the path of the first, and the ratios as published and after the kit's rewrites."""

    place: str
    published: Ratios
    rewritten: Ratios


@dataclass(frozen=True)
class Sensitivity:
    """The cost of every component with every scheme, the bytes of all weights in float32, and the outliers of all linears."""

    costs: tuple[Cost, ...]
    samples: int
    fp32_bytes: int
    outliers: tuple[Outliers, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "samples": self.samples,
            "fp32_bytes": self.fp32_bytes,
            "costs": [asdict(cost) for cost in self.costs],
            "outliers": [asdict(each) for each in self.outliers],
        }


class Measurement:
    """Measures ``parts`` over ``samples``. ``results`` has what was measured before, and gets what is measured here."""

    def __init__(
        self, parts: Components, samples: Sequence[Asked], results: ResultsFile, progress: Progress = silent
    ) -> None:
        self._parts, self._samples, self._results, self._progress = parts, samples, results, progress
        self._path: DataPath | None = None
        self._stage, self._done, self._total = "", 0, 0

    def sensitivity(self) -> Sensitivity:
        """Every component with every scheme, one at a time."""
        trials = [(name, scheme) for name, knob in self._parts.knobs.items() for scheme in KNOBS[knob][1:]]
        published = self._results.get("outliers")
        missing = [{name: scheme} for name, scheme in trials if not self._results.get(f"{name} {scheme}")]
        self._begin("components × schemes", missing)
        if published is None:
            published = {place: asdict(found) for place, found in self._reference().reference.ratios.items()}
            self._results.put("outliers", published)
        costs: list[Cost] = []
        rewritten: dict[str, Any] = {}
        for name, scheme in trials:
            key = f"{name} {scheme}"
            if not self._results.get(key):
                run = self._reference().run({name: scheme})
                cost = self._cost(name, scheme, {name: scheme}, run)
                ratios = {place: asdict(found) for place, found in run.ratios.items()}
                self._results.put(key, {"cost": asdict(cost), "ratios": ratios})
            costs.append(Cost(**self._results.get(key)["cost"]))
            rewritten |= self._results.get(key)["ratios"] if scheme == "int8" else {}
        outliers = (Outliers(place, Ratios(**found), Ratios(**rewritten[place])) for place, found in published.items())
        return Sensitivity(tuple(costs), len(self._samples), self._parts.weight_bytes({}), tuple(outliers))

    def recipes(self, recipes: Sequence[Recipe]) -> list[Cost]:
        """What each of ``recipes`` saves and costs overall; the cosine is of the logits."""
        schemes = [self._parts.schemes(recipe) for recipe in recipes]
        keys = ["recipe " + " ".join(each.values()) for each in schemes]
        self._begin(
            "whole recipes", [each for each, key in zip(schemes, keys, strict=True) if not self._results.get(key)]
        )
        costs = []
        for recipe, chosen, key in zip(recipes, schemes, keys, strict=True):
            if not self._results.get(key):
                run = self._reference().run(chosen)
                self._results.put(key, asdict(self._cost("lm_head", recipe.name, chosen, run)))
            costs.append(Cost(**(self._results.get(key) | {"scheme": recipe.name})))
        return costs

    def _cost(self, component: str, scheme: str, schemes: Mapping[str, str], run: Run) -> Cost:
        reference = self._reference().reference.outputs
        cosines, kl, flips = [], [], 0
        for at, sample in enumerate(self._samples):
            found = logit_distance(reference["lm_head"][at], run.outputs["lm_head"][at])
            kl.append(found.mean_kl)
            flips += 0.0 in found.top1[: sample.answered]
            cosines.append(distance(reference[component][at], run.outputs[component][at]).cosine)
        saved = self._parts.weight_bytes({}) - self._parts.weight_bytes(schemes)
        return Cost(component, scheme, saved, min(cosines), sum(kl) / len(kl), flips)

    def _reference(self) -> DataPath:
        if self._path is None:
            self._path = DataPath(self._parts, self._samples, self._ran)
        return self._path

    def _begin(self, stage: str, trials: Sequence[Mapping[str, str]]) -> None:
        """Start a ``stage`` of progress that runs ``trials``, and the fp32 model before the first one."""
        self._stage, self._done = stage, 0
        self._total = sum(self._parts.layers_run(each) for each in trials)
        if self._path is None and (trials or self._results.get("outliers") is None):
            self._total += self._parts.layers_run(None)

    def _ran(self) -> None:
        self._done += 1
        self._progress(self._stage, self._done, self._total)
