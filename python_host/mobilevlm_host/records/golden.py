"""A bundle's golden records: a few images with each stage's results on this machine, for other machines to check themselves."""

from __future__ import annotations

import json
import platform
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL.Image import Image

from mobilevlm_export import __version__
from mobilevlm_export.bundle.manifest import MANIFEST, read_manifest
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.bundle.write import rewritten_bundle
from mobilevlm_export.demo.built_in import DEMO_SAMPLES
from mobilevlm_export.errors import CaptureError, RunnerError
from mobilevlm_export.files.strict_json import JsonError, read_json
from mobilevlm_export.job import ExportJob
from mobilevlm_export.pipeline import exported
from mobilevlm_export.pixels import open_image
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.android.android_methods import AndroidMethods
from mobilevlm_host.android.host import AndroidHost
from mobilevlm_host.arm64.arm64_methods import Arm64Methods
from mobilevlm_host.ask.phone_inputs import PhoneInputs
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.engines.choose import chosen_backend
from mobilevlm_host.engines.methods import Methods
from mobilevlm_host.records.capture import Capture, manifest_id
from mobilevlm_host.records.record import Record, make_record
from mobilevlm_host.records.replay import Finding, Replay, replay

FOLDER, INDEX = "golden", "golden.json"
_MAX_NEW_TOKENS = 32
_LEAST_NEW_TOKENS = 4
# A square, a wide and a tall image; boxes are left, upper, right, lower in the sample's pixels.
_PICTURES = (
    ("word-and-shapes", (0, 0, 448, 448), "Describe the image."),
    ("three-things", (0, 0, 448, 301), "How many objects are there?"),
    ("two-shapes", (0, 0, 203, 448), "What shape is at the bottom left?"),
)


def add_golden(bundle: Bundle, progress: Progress = silent) -> None:
    """Fill the folder ``golden`` of ``bundle``: images as PNG, and ``golden.json`` with a record for each.

    Raises:
        RunnerError: the engine can't load the bundle, or its context leaves no room for an answer.
    """
    folder = bundle.path / FOLDER
    folder.mkdir()
    entries: list[dict[str, Any]] = []
    with Runner(bundle, weight_cache=False) as runner:  # it may be in a temporary place, and for another machine
        methods, phone = runner.methods(), PhoneInputs(bundle)
        for name, box, question in _PICTURES:
            progress("golden records", len(entries), len(_PICTURES))
            picture = open_image(DEMO_SAMPLES / f"{name}.png").crop(box)
            picture.save(folder / f"{name}.png")
            record = make_record(runner, methods, phone, picture, question, _room(bundle, phone, question))
            entries.append({"picture": f"{name}.png"} | record.to_json())
        progress("golden records", len(entries), len(_PICTURES))
        engine_says = json.dumps(_engine(runner) | {"machine": platform.machine()})
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    text = f'{{"command": "mvlm golden BUNDLE", "engine": {engine_says}, "records": [\n{lines}\n]}}\n'
    (folder / INDEX).write_text(text, encoding="utf-8")


def export_with_golden(job: ExportJob, progress: Progress = silent) -> Bundle:
    """Like :func:`~mobilevlm_export.pipeline.export_bundle`, with golden records in the bundle; also errors as :func:`add_golden`."""
    with exported(job, progress) as bundle:
        add_golden(bundle, progress)
    return Bundle.open(job.output, progress=progress)


def remake_golden(path: Path, progress: Progress = silent) -> None:
    """Remake the golden records of the bundle ``path`` (a folder) without changing the rest.

    Raises:
        BundleError: it is not a folder, or is damaged.
        RunnerError: as :func:`add_golden`.
    """
    if path.is_dir():
        chosen_backend(Bundle(path, read_manifest(path / MANIFEST)))  # checked before anything is copied
    with rewritten_bundle(path, without=FOLDER, progress=progress) as bundle:
        add_golden(bundle, progress)


def read_golden(bundle: Bundle) -> list[tuple[str, Image, Record]]:
    """The image's name, the image (RGB) and the record of each.

    Raises:
        CaptureError: the bundle has none, or they can't be read.
    """
    path = bundle.path / FOLDER / INDEX
    try:
        values: Any = read_json(path)
    except FileNotFoundError:
        raise CaptureError(f"{path}: no such file, expected golden records; make them: mvlm golden BUNDLE") from None
    except (JsonError, OSError) as error:
        raise CaptureError(f"{path}: got {error}, expected a JSON object") from None
    entries = values.get("records") if isinstance(values, dict) else None
    if not isinstance(entries, list) or not entries:
        raise CaptureError(f"{path}: records: got {entries!r:.60}, expected a list of records")
    listed = {entry.path for entry in bundle.manifest.files}
    golden = []
    for at, entry in enumerate(entries):
        record = Record.from_json(entry, f"{path}: record {at + 1}")
        if f"{FOLDER}/{entry.get('picture')}" not in listed:
            raise CaptureError(
                f"{path}: record {at + 1}: picture: got {entry.get('picture')!r}, expected a listed file"
            )
        golden.append((entry["picture"], open_image(bundle.path / FOLDER / entry["picture"]), record))
    return golden


def check_golden(
    bundle: Bundle,
    progress: Progress = silent,
    *,
    backend: str | None = None,
    arm64_cpu: str | None = None,
    android: AndroidHost | None = None,
) -> dict[str, Replay]:
    """Recompute each golden record of ``bundle`` on this machine, and return the differences by image.

    ``backend`` is the artifact to run, by default the one that the runner chooses. With ``arm64_cpu``, recompute on that emulated
    CPU; with ``android``, run the app's own check and call its engine's methods one by one.

    Raises:
        BundleError: the bundle has no artifact for ``backend``.
        CaptureError: as :func:`read_golden`.
        EngineError: nothing here can emulate ``arm64_cpu`` or run ``android``.
        RunnerError: the engine can't load the bundle.
    """
    golden = read_golden(bundle)
    here = manifest_id(bundle)
    replays: dict[str, Replay] = {}
    phone, tokenizer = PhoneInputs(bundle), Tokenizer(bundle.tokenizer())
    with ExitStack() as opened:
        methods: Methods
        app: dict[str, list[dict[str, Any]]] = {}
        if android:
            methods = served = opened.enter_context(AndroidMethods(bundle, android, progress))
            progress("the app's own check", 0, 0)
            app, backend = served.check(), "executorch"
        elif arm64_cpu:
            methods, backend = opened.enter_context(Arm64Methods(bundle, arm64_cpu, progress=progress)), "executorch"
        else:
            runner = opened.enter_context(Runner(bundle, backend=backend, progress=progress))
            methods, backend = runner.methods(), runner.backend
        for name, picture, record in golden:
            progress("golden records", len(replays), len(golden))
            capture = Capture(here, record, phone.pixels(picture), picture, device={}, stats={})
            found = replay(capture, methods, phone, bundle, tokenizer)
            replays[name] = Replay(_with_app_results(found, app[name]) if android else found, backend)
        progress("golden records", len(golden), len(golden))
    return replays


def _with_app_results(found: tuple[Finding, ...], app: list[dict[str, Any]]) -> tuple[Finding, ...]:
    """``found``, with the app's own results for pixels and token ids, and its runner's answer at the end."""
    by_stage = {finding["stage"]: Finding(finding["stage"], finding["same"], finding["detail"]) for finding in app}
    stages = [by_stage.get(finding.stage, finding) if finding.stage != "decoder" else finding for finding in found]
    return (*stages, replace(by_stage["decoder"], stage="answer"))


def _engine(runner: Runner) -> dict[str, str]:
    """The engine that made the records, with its version."""
    if runner.backend == "executorch":
        return {"executorch": version("executorch")}
    if runner.backend == "coreai":
        return {runner.computed_by.engine: version("coreai-core")}
    return {runner.computed_by.engine: version("coremltools") if runner.computed_by.engine == "coreml" else __version__}


def _room(bundle: Bundle, phone: PhoneInputs, question: str) -> int:
    prompt = sum(map(len, phone.ids(question))) + bundle.config.image_tokens
    room = bundle.manifest.max_context - prompt
    if room < _LEAST_NEW_TOKENS:
        raise RunnerError(
            f"context: got {bundle.manifest.max_context} tokens, expected at least {prompt + _LEAST_NEW_TOKENS}: "
            "a question about an image and the start of its answer"
        )
    return min(_MAX_NEW_TOKENS, room)
