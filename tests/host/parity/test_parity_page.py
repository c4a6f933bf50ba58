"""The HTML report as a browser shows it: complete, on a desk and on a phone, and closed to the outside."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from faults import IN_THE_MODEL, EagerEngine
from markupsafe import escape
from PIL import Image, ImageStat

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT
from mobilevlm_export.errors import OutputError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.ask.phone_inputs import PhoneInputs
from mobilevlm_host.engines.methods import ComputedBy
from mobilevlm_host.parity.parity_page import PAGE, render, write_report
from mobilevlm_host.parity.run_sample import ComparedAnswer, Sample
from mobilevlm_host.parity.stages import STAGES, ParityReport, Subject, compare, judge

SECTIONS = ("summary", "room", "stages", "tokens", "divergence", "answers")
WIDTHS = {"desk": 1200, "phone": 360}
EVIL = '<script>alert("1")</script>'


def _report(model: MobileVLM, bundle: Bundle, samples: list[Sample], fault: str | None) -> ParityReport:
    broken = copy.deepcopy(model)
    if fault:
        IN_THE_MODEL[fault][1](broken)
    phone = PhoneInputs(bundle)
    engine = EagerEngine(broken, phone)
    report = compare(
        model, Tokenizer(DEMO_CHECKPOINT / "tokenizer.model"), engine, engine.answer, phone, samples,
        recipe={"llm": "int4", "vision": "int8", "projector": "int8", "embedding": "int8"}, max_context=512, max_prefill=512,
    )  # fmt: skip
    subject = Subject(
        "demo", "ab" * 32, f"x {EVIL}.mvlm", "cd" * 32, "ab" * 32, "ef" * 32, "int4", "kit 1", "kit 1, torch 2",
        "executorch", ComputedBy("executorch"),
    )  # fmt: skip
    return replace(report, subject=subject)


@pytest.fixture(scope="module")
def passing(model: MobileVLM, bundle: Bundle, samples: list[Sample]) -> ParityReport:
    return _report(model, bundle, samples, None)


@pytest.fixture(scope="module")
def failing(model: MobileVLM, bundle: Bundle, samples: list[Sample]) -> ParityReport:
    evil = [replace(sample, name=f"{sample.name} {EVIL}", question=f"What? {EVIL}") for sample in samples]
    return _report(model, bundle, evil, "LDPv2's residual lost")


def _browse(chromium: str, page: Path, folder: Path, *flags: str) -> str:
    done = subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--allow-file-access-from-files",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}", *flags, page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout


# Loads the report in a frame as wide as a screen, and writes down what is to be seen there.
_PROBE = """<!doctype html><body><pre id="found"></pre><script>
const frames = {frames}, found = {{}};
for (const [screen, width] of Object.entries(frames)) {{
  const frame = document.createElement("iframe");
  frame.style = `width:${{width}}px;height:900px;border:0`;
  frame.onload = () => {{
    const page = frame.contentDocument, root = page.documentElement;
    const visible = (node) => {{
      const box = node.getBoundingClientRect(), style = frame.contentWindow.getComputedStyle(node);
      return box.width > 0 && box.height > 0 && style.visibility === "visible" && style.opacity === "1";
    }};
    const outside = [...page.querySelectorAll("body *")].filter((node) => node.getBoundingClientRect().right > width + 0.5);
    found[screen] = {{
      width: root.scrollWidth,
      outside: outside.map((node) => node.outerHTML.slice(0, 80)),
      sections: Object.fromEntries([...page.querySelectorAll("[id]")].map((node) => [node.id, visible(node)])),
      verdict: page.querySelector(".verdict").innerText,
      text: page.body.innerText,
      scripts: page.scripts.length,
      cells: page.querySelectorAll(".map rect").length,
      images: [...page.images].every((image) => image.naturalWidth > 0),
      smallest: Math.min(...[...page.querySelectorAll("p, td, th, dd, small")].map(
        (node) => parseFloat(frame.contentWindow.getComputedStyle(node).fontSize))),
      requests: frame.contentWindow.performance.getEntriesByType("resource")
        .map((entry) => entry.name).filter((name) => !name.startsWith("data:")),
    }};
    document.getElementById("found").textContent = JSON.stringify(found);
  }};
  frame.src = {source};
  document.body.append(frame);
}}
</script>"""


def _seen(chromium: str, report: Path) -> dict[str, Any]:
    probe = report.with_name("probe.html")
    probe.write_text(_PROBE.format(frames=json.dumps(WIDTHS), source=json.dumps(report.as_uri())), encoding="utf-8")
    shown = _browse(chromium, probe, report.parent, "--virtual-time-budget=5000", "--dump-dom")
    match = re.search(r'<pre id="found">(.*?)</pre>', shown, re.DOTALL)
    assert match
    text = match[1]
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, character)
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.mark.export
@pytest.mark.parametrize("case", ["passing", "failing"])
def test_the_page_fits_a_desktop_and_a_phone(
    chromium: str, case: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    report: ParityReport = request.getfixturevalue(case)
    page = tmp_path / "report.html"
    write_report(report, page)
    seen = _seen(chromium, page)
    assert set(seen) == set(WIDTHS)
    for screen, found in seen.items():
        assert found["width"] <= WIDTHS[screen], found["outside"]
        assert found["outside"] == []
        assert found["sections"] == dict.fromkeys(SECTIONS, True)
        assert ("Pass" if case == "passing" else "Fail") in found["verdict"]
        assert ("✓" if case == "passing" else "✗") in found["verdict"]
        for text in (
            *STAGES,
            "signal to noise",
            *(sample.sample.question for sample in report.measured),
            report.measured[0].answer.text,
        ):
            assert text in found["text"], (screen, text)
        assert found["scripts"] == 0
        assert found["images"]
        assert found["cells"] == 36 * len(report.measured)
        assert found["smallest"] >= 11
        assert found["requests"] == []


def test_a_screenshot_is_painted_in_light_and_dark(chromium: str, failing: ParityReport, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_report(failing, page)
    brightness = {}
    for scheme, flag in (("light", 1), ("dark", 0)):
        shot = tmp_path / f"{scheme}.png"
        _browse(
            chromium, page, tmp_path, f"--screenshot={shot}", "--window-size=1000,1400",
            f"--blink-settings=preferredColorScheme={flag}",
        )  # fmt: skip
        with Image.open(shot) as image:
            brightness[scheme] = ImageStat.Stat(image.convert("L")).mean[0]
            assert len(image.convert("RGB").getcolors(1 << 24) or ()) > 200  # pictures and text, not a blank page
    assert brightness["light"] > 180
    assert brightness["dark"] < 75


def test_nothing_is_fetched_and_all_text_is_escaped(failing: ParityReport) -> None:
    page = render(failing)
    assert "://" not in page
    assert not re.search(r"<(script|link|iframe|object|embed)|@import|url\(", page)
    assert re.findall(r'(?:src|href)="(?!data:image/png;base64,)', page) == []
    assert "default-src 'none'" in page
    assert EVIL not in page
    assert str(escape(EVIL)) in page


def test_the_fault_and_the_first_differing_token_are_marked(failing: ParityReport, passing: ParityReport) -> None:
    page = render(failing)
    assert "<code>projector</code> is the first stage beyond its limits" in page
    parted = next(each for each in failing.measured if not each.same_answer)
    assert parted.expected.before == parted.answer.before
    assert parted.expected.at != parted.answer.at
    assert f'<mark title="the first token that differs">{escape(parted.answer.at)}</mark>' in page
    assert "<mark" not in render(passing)
    for stage in failing.stages:
        for limit in stage.limits:
            assert str(escape(limit.reason)) in page


def test_values_that_are_not_finite_are_drawn(passing: ParityReport) -> None:
    """Not a number, another shape of embeddings, one step only, an answer that ended at once."""
    first = passing.measured[0]
    far = replace(
        first,
        token_errors=(),
        logits=replace(first.logits, kl=(float("inf"), float("nan")), top1=(0.0, 0.0), top5=(0.0, 0.0)),
        answer=ComparedAnswer((), "", "", ""),
    )
    page = render(replace(judge([far], passing.recipe), subject=passing.subject))
    assert "no token can be compared" in page
    assert "⟨end⟩" in page
    infinite = replace(
        first, token_errors=(float("inf"), *first.token_errors[1:]), pixels=torch.zeros_like(first.pixels)
    )
    assert "inf %" in render(replace(judge([infinite], passing.recipe), subject=passing.subject))


def test_only_an_older_report_is_replaced(passing: ParityReport, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_report(passing, page)
    write_report(passing, page)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    notes = tmp_path / "notes.html"
    notes.write_text("<!doctype html><p>mine</p>")
    with pytest.raises(
        OutputError, match="exists and isn't a parity report, so it was not replaced; choose another file"
    ):
        write_report(passing, notes)
    assert "mine" in notes.read_text()
    with pytest.raises(OutputError, match="is a folder, expected the name of a file"):
        PAGE.require_place(tmp_path)
    with pytest.raises(OutputError, match="is not a folder, expected one to write the parity report to"):
        PAGE.require_place(tmp_path / "none" / "report.html")
