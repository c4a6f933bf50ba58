"""The demo model's benchmark: questions about generated scenes used neither in training nor in development; needs no data."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from PIL.Image import Image

from mobilevlm_export.demo.held_out import held_out, scene_image
from mobilevlm_export.demo.questions import KINDS, QA, is_right
from mobilevlm_export.demo.scenes import HELD_OUT_SEEDS
from mobilevlm_host.evaluate.benchmark import Item, Scores, given_answers, items_about, percent

SEEDS = HELD_OUT_SEEDS[len(HELD_OUT_SEEDS) // 2 :]  # the first half is used while developing models and recipes


@dataclass(frozen=True)
class Demo:
    """Scenes of ``SEEDS`` (an image's name is its seed), with four questions each."""

    items: Sequence[Item]
    truths: Mapping[str, QA]
    name: str = "demo"
    max_new_tokens: int = 80

    def about(self, pictures: Collection[str]) -> Demo:
        """This benchmark restricted to questions about ``pictures``."""
        return replace(self, items=items_about(self.items, pictures))

    def missing(self) -> Sequence[str]:
        """None, because scenes are drawn on demand."""
        return ()

    def image(self, picture: str) -> Image:
        """The drawn scene."""
        return scene_image(int(picture))

    def score(self, answers: Mapping[str, str]) -> Scores:
        """``right`` in percent, then for each kind of question; ``is_right`` judges the answers."""
        given = given_answers(self.items, answers)
        right = {
            id: float(is_right(answer, self.truths[id].answer, self.truths[id].kind)) for id, answer in given.items()
        }
        metrics = {"right": percent(right.values())}
        for kind in KINDS:
            of_kind = [earned for id, earned in right.items() if self.truths[id].kind == kind]
            metrics |= {kind: percent(of_kind)} if of_kind else {}
        return Scores(metrics, right)


def load(count: int = 1000) -> Demo:
    """The first ``count`` questions about scenes of ``SEEDS``."""
    items: list[Item] = []
    truths: dict[str, QA] = {}
    for each in islice(held_out(SEEDS), count):
        items.append(Item(f"{each.seed}-{each.index}", str(each.seed), each.qa.question))
        truths[items[-1].id] = each.qa
    return Demo(items, truths)
