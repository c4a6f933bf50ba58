"""``mvlm demo``: export and run the built-in model, and compare the bundle's answers with the fp32 model's."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mobilevlm_export.bundle.manifest import MANIFEST
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.demo.built_in import DEMO, DEMO_CHECKPOINT, DEMO_SAMPLES
from mobilevlm_export.demo.held_out import held_out, scene_image
from mobilevlm_export.demo.questions import is_right
from mobilevlm_export.errors import BundleError
from mobilevlm_export.job import ExportJob
from mobilevlm_export.pixels import open_image
from mobilevlm_export.progress import Progress, megabytes, silent
from mobilevlm_export.quantize.recipe import make_recipe
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.ask.fp32_answer import answer_fp32
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.records.golden import export_with_golden
from mobilevlm_host.terminal.output import print_table

_MAX_NEW_TOKENS = 80


@dataclass(frozen=True)
class DemoReport:
    """The demo's results; times in seconds, medians over the questions."""

    bundle: str
    recipe: str
    checkpoint_bytes: int
    bundle_bytes: int
    export_s: float
    load_s: float
    image_encode_s: float
    ttft_s: float
    questions: int
    same_answers: int
    fp32_right: int
    bundle_right: int

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return asdict(self)

    def print(self) -> None:
        """Print the short table at the end of the demo."""
        share = f"{self.same_answers} of {self.questions} ({self.same_answers / self.questions:.1%})"
        right = f"fp32 {self.fp32_right / self.questions:.1%}, {self.recipe} {self.bundle_right / self.questions:.1%}"
        rows = [
            ("checkpoint → bundle", f"{megabytes(self.checkpoint_bytes)} → {megabytes(self.bundle_bytes)}"),
            ("export, load", f"{self.export_s:.1f} s, {self.load_s * 1e3:.0f} ms"),
            ("image encode, first token", f"{self.image_encode_s * 1e3:.1f} ms, {self.ttft_s * 1e3:.1f} ms"),
            (f"{self.recipe} answers equal to fp32's", share),
            ("correct on held-out questions", right),
        ]
        print_table(self.bundle, ("", ""), rows)


def run_demo(
    output: Path,
    recipe: str,
    count: int,
    progress: Progress = silent,
    say: Callable[[str], None] | None = None,
) -> DemoReport:
    """Export the demo checkpoint to ``output``, ask it about the sample images, and compare ``count`` held-out answers.

    An existing demo bundle is replaced.

    Raises:
        BundleError: ``output`` exists and isn't a demo bundle.
    """
    job = ExportJob(DEMO, output, make_recipe(recipe), force=_is_demo(output))
    begin = time.monotonic()
    bundle = export_with_golden(job, progress)
    export_s = round(time.monotonic() - begin, 1)
    model, tokenizer = load_checkpoint(DEMO_CHECKPOINT, progress=progress), Tokenizer(bundle.tokenizer())
    encode: list[float] = []
    first: list[float] = []
    tally = {"same": 0, "fp32": 0, "bundle": 0}
    with Runner(bundle) as runner:
        if say:
            _ask_samples(runner, say)
        for index, asked in enumerate(islice(held_out(), count)):
            image, qa = scene_image(asked.seed), asked.qa
            got = "".join(runner.ask(image, qa.question, max_new_tokens=_MAX_NEW_TOKENS))
            expected = answer_fp32(model, tokenizer, image, qa.question, _MAX_NEW_TOKENS)
            tally["same"] += got == expected
            tally["fp32"] += is_right(expected, qa.answer, qa.kind)
            tally["bundle"] += is_right(got, qa.answer, qa.kind)
            encode.append(runner.stats.image_encode_s)
            first.append(runner.stats.ttft_s)
            progress("held-out questions, bundle and fp32", index + 1, count)
        load_s = runner.stats.load_s
    return DemoReport(
        bundle=str(output),
        recipe=recipe,
        checkpoint_bytes=sum(file.stat().st_size for file in DEMO_CHECKPOINT.glob("*.safetensors")),
        bundle_bytes=sum(entry.bytes for entry in bundle.manifest.files),
        export_s=export_s,
        load_s=load_s,
        image_encode_s=_median(encode),
        ttft_s=_median(first),
        questions=count,
        same_answers=tally["same"],
        fp32_right=tally["fp32"],
        bundle_right=tally["bundle"],
    )


def _ask_samples(runner: Runner, say: Callable[[str], None]) -> None:
    samples = json.loads((DEMO_SAMPLES / "samples.json").read_text(encoding="utf-8"))
    for sample in samples["samples"]:
        say(f"\n{sample['image']}")
        image = open_image(DEMO_SAMPLES / sample["image"])
        for question in sample["questions"]:
            begin = time.perf_counter()
            answer = "".join(runner.ask(image, question["question"], max_new_tokens=_MAX_NEW_TOKENS))
            say(f"  {question['question']}  {answer}  ({(time.perf_counter() - begin) * 1e3:.0f} ms)")
    say("")


def _is_demo(output: Path) -> bool:
    """Whether ``output`` is a bundle of the demo model, which may be replaced; raises BundleError if it is anything else."""
    if not output.exists():
        return False
    try:
        with Bundle.open(output) as bundle:
            if bundle.manifest.values["source"].get("name") == bundle.config.name == "MobileVLM_V2-demo":
                return True
    except BundleError:
        pass
    raise BundleError(
        f"{output}: exists and isn't a demo bundle, according to {MANIFEST}, or is damaged; choose another path with -o"
    )


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
