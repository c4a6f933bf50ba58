"""The output of ``mvlm evaluate``: scores, and a comparison with another system's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mobilevlm_host.evaluate.benchmark import Evaluation
from mobilevlm_host.evaluate.compare import Comparison
from mobilevlm_host.terminal.output import print_facts, print_table

_SHOWN_FLIPS = 20
_SHOWN_CHARACTERS = 120

Compared = Sequence[tuple[Evaluation, Comparison]]  # the other system and the comparison with it; none or one


def to_json(found: Evaluation, comparisons: Compared) -> dict[str, Any]:
    """One JSON object for scripts; with a comparison, ``against`` contains all flips."""
    values = _evaluation(found)
    for other, comparison in comparisons:
        values["against"] = _evaluation(other) | {
            "difference": comparison.difference,
            "interval": comparison.interval,
            "pictures": comparison.pictures,
            "gained": comparison.gained,
            "lost": comparison.lost,
            "p_value": comparison.p_value,
            "changed_answers": comparison.changed,
            "flips": [
                {
                    "id": flip.item.id,
                    "picture": flip.item.picture,
                    "prompt": flip.item.prompt,
                    "answer": flip.answer,
                    "earned": flip.earned,
                    "against_answer": flip.against,
                    "against_earned": flip.against_earned,
                }
                for flip in comparison.flips
            ],
        }
    return values


def print_evaluation(found: Evaluation, comparisons: Compared) -> None:
    """Print a table of metrics, next to the other system's, then the comparison."""
    others = [other for other, _ in comparisons]
    names = [found.system, *(other.system for other in others)]
    rows = [
        (metric, *(_figure(evaluation, metric) for evaluation in (found, *others))) for metric in found.scores.metrics
    ]
    print_table(f"{found.benchmark}: {len(found.answers)} questions", ("", *names), rows)
    print(f"Answers: {', '.join(str(each.predictions) for each in (found, *others))}")
    for other, comparison in comparisons:
        _print_comparison(found, other, comparison)


def _print_comparison(found: Evaluation, other: Evaluation, comparison: Comparison) -> None:
    span = "one image, so no interval"
    if comparison.interval:
        low, high = comparison.interval
        span = f"95 % interval {low:+.2f} to {high:+.2f}, over {comparison.pictures} images"
    print_facts(
        f"{found.system} against {other.system}",
        {
            "difference": f"{comparison.difference:+.2f} percentage points in the questions' average score ({span})",
            "flips": f"{comparison.gained} gained, {comparison.lost} lost; McNemar's exact test: p = {comparison.p_value:.3g}",
            "answers": f"{comparison.changed} of {len(found.answers)} differ in text",
        },
    )
    if comparison.flips:
        shown = comparison.flips[:_SHOWN_FLIPS]
        count = len(comparison.flips)
        title = (
            f"Flipped: {count}"
            if count == len(shown)
            else f"Flipped: the first {len(shown)} of {count} (all with --json)"
        )
        rows = [
            (
                "+" if flip.earned > flip.against_earned else "-",
                flip.item.id,
                *map(_line, (flip.item.prompt, flip.answer, flip.against)),
            )
            for flip in shown
        ]
        print_table(title, ("", "id", "question", found.system, other.system), rows)


def _figure(evaluation: Evaluation, metric: str) -> str:
    scores = evaluation.scores
    if metric not in scores.metrics:
        return "-"
    return f"{scores.metrics[metric]:.2f}{'' if metric in scores.plain else ' %'}"


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "system": evaluation.system,
        **({"artifact_sha256": evaluation.artifact_sha256} if evaluation.artifact_sha256 else {}),
        "benchmark": evaluation.benchmark,
        "questions": len(evaluation.answers),
        "metrics": dict(evaluation.scores.metrics),
        "predictions": str(evaluation.predictions),
        "asked": evaluation.asked,
    }


def _line(text: str) -> str:
    """``text`` on one line, truncated to fit a table."""
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHOWN_CHARACTERS else f"{flat[: _SHOWN_CHARACTERS - 1]}…"
