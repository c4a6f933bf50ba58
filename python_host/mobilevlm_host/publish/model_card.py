"""A bundle's model card: what it is, what was measured and what wasn't, and how to run it. In the hub's format."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from mobilevlm_export.bundle.artifact_hash import artifact_sha256
from mobilevlm_export.bundle.manifest import Manifest
from mobilevlm_export.errors import OutputError
from mobilevlm_export.files.hub import MODEL_ID
from mobilevlm_export.progress import megabytes
from mobilevlm_host.publish.results import STAGES, Results

PARTS = {
    "vision": "vision encoder",
    "projector": "projector",
    "embedding": "token embedding",
    "llm": "text decoder",
    "lm_head": "`lm_head`",
}
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_FORMS = {"snr_db": "{:.0f} dB", "mean_kl": "mean KL {:.1e} nats", "same": "{:.0%} of the answers equal"}


@dataclass(frozen=True)
class CardFacts:
    """What the bundle can't say itself: the ``license`` of its weights, as the hub spells it, and the ids of its repository and of the
    model that it was made from, if they are on the hub.

    Raises:
        OutputError: on creation: a value the hub would refuse.
    """

    license: str
    repository: str | None = None
    base_model: str | None = None

    def __post_init__(self) -> None:
        if not _LICENSE.fullmatch(self.license):
            raise OutputError(
                f"license: got {self.license!r:.60}, expected an id as the hub spells it, such as apache-2.0"
            )
        for name, value in (("repository", self.repository), ("base model", self.base_model)):
            if value is not None and not MODEL_ID.fullmatch(value):
                raise OutputError(f"{name}: got {value!r:.60}, expected an id such as owner/name")


def make_card(manifest: Manifest, facts: CardFacts, results: Results) -> str:
    """The card of the bundle with ``manifest``, in Markdown with the hub's YAML header.

    Raises:
        OutputError: ``results`` are of another bundle.
    """
    values = manifest.values
    _require_same(manifest, results)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"megabytes": megabytes, "yaml": json.dumps, "cell": _cell}
    return environment.get_template("card.md.jinja").render(
        facts=facts,
        kit_version=values["kit_version"],
        source=values["source"],
        recipe=values["quantization"]["recipe"]["name"],
        calibration=values["quantization"].get("calibration", ""),
        parts=[
            (PARTS[part["component"]], part["scheme"], part["bytes_before"], part["bytes_after"])
            for part in values["quantization"]["components"]
        ],
        artifacts=values["artifacts"],
        tags=[name for name in ("executorch", "coreml") if name in values["artifacts"]],
        bytes=manifest.total_bytes,
        memory=values["memory"]["bytes"],
        context=manifest.max_context,
        image_tokens=values["image"]["tokens"],
        image_size=values["image"]["size"],
        projector=manifest.config.projector.kind.name,
        decoder="Vicuna" if manifest.config.model_type == "llava_llama" else "MobileLLaMA",
        parity=results.parity,
        stages=list(_stages(results.parity)) if results.parity else [],
        evaluations=[_evaluation(each) for each in results.evaluations],
        name=facts.repository or f"{values['source']['name']}.mvlm",
    )


def _require_same(manifest: Manifest, results: Results) -> None:
    """The records name the program that was measured: a card shows no figures of another one."""
    own = {artifact_sha256(manifest, backend) for backend in manifest.values["artifacts"]}
    records = [("parity", results.parity)] if results.parity else []
    records += [(f"evaluation on {found['benchmark']!r:.30}", found) for found in results.evaluations]
    for what, record in records:
        if (got := record.get("artifact_sha256")) not in own:
            raise OutputError(
                f"{what}: got the record of another program ({got!s:.12}…), expected that of this bundle "
                f"({' or '.join(f'{sha256:.12}…' for sha256 in sorted(own))})"
            )


def _stages(parity: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The name, the figure and the verdict of each stage."""
    for stage, metric in STAGES.items():
        found = parity["stages"][stage]
        value = found["metrics"][metric]
        shown = "equal" if value is None else _FORMS[metric].format(value)
        yield stage, shown, "passed" if found["passed"] else "**failed**"


def _evaluation(found: dict[str, Any]) -> tuple[str, int, str, str, str]:
    """The benchmark, its number of questions, its first metric, what it was compared with, and the difference."""
    metric, value = next(iter(found["metrics"].items()))
    figures = found["benchmark"], found["questions"], f"{metric} {value:.1f}"
    if not (against := found.get("against")):
        return *figures, "nothing", ""
    low, high = against["interval"] or (None, None)
    interval = "one image" if low is None else f"{low:+.1f} to {high:+.1f}"
    return *figures, Path(against["system"]).name, f"{against['difference']:+.1f} ({interval})"


def _cell(text: object) -> str:
    """``text`` in a cell of a table: one line, no column ends in it."""
    return " ".join(str(text).split()).replace("|", "\\|")
