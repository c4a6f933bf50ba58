"""A task for lmms-eval: the demo's scenes, their questions and their scorer, from files that a test writes. lmms-eval imports it by
the name of its file, from a folder of tasks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from mobilevlm_export.demo.questions import is_right
from mobilevlm_host.evaluate.demo_questions import Demo

TASK = "demo_scenes"
_YAML = """\
task: {task}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {rows}
test_split: test
output_type: generate_until
doc_to_visual: !function lmms_eval_task.shown
doc_to_text: "{{{{question}}}}"
doc_to_target: answer
process_results: !function lmms_eval_task.score
generation_kwargs:
  max_new_tokens: {most}
  temperature: 0
  do_sample: false
  until: []
metric_list:
  - metric: right
    aggregation: mean
    higher_is_better: true
"""


def write_task(benchmark: Demo, folder: Path) -> None:
    """Write ``benchmark`` to ``folder`` as the task ``TASK``, the questions about a picture not next to each other."""
    rows = []
    for item in sorted(benchmark.items, key=lambda item: item.id.rpartition("-")[2]):
        picture = folder / f"{item.picture}.png"
        benchmark.image(item.picture).save(picture)
        truth = benchmark.truths[item.id]
        rows.append(
            {
                "id": item.id,
                "picture": str(picture),
                "question": item.prompt,
                "answer": truth.answer,
                "kind": truth.kind,
            }
        )
    lines = folder / "rows.jsonl"
    lines.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    yaml = _YAML.format(task=TASK, rows=lines, most=benchmark.max_new_tokens)
    (folder / f"{TASK}.yaml").write_text(yaml, encoding="utf-8")
    (folder / Path(__file__).name).write_bytes(Path(__file__).read_bytes())


def shown(doc: dict[str, Any]) -> list[Image.Image]:
    with Image.open(doc["picture"]) as image:
        return [image.convert("RGB")]


def score(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    return {"right": float(is_right(results[0], doc["answer"], doc["kind"]))}
