"""The page in a real browser with a fake camera: what a user sees, does and hears, and that nothing leaves the server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Page, browse, write_camera
from PIL import Image
from scripted_model import WORDS, ScriptedModel, served_on_a_port

from mobilevlm_export.demo.built_in import DEMO_SAMPLES
from mobilevlm_host.serve.camera_page import PAGE

ANSWER = " ".join(WORDS)
TEXT = "[...document.querySelectorAll('#log .bubble')].map((node) => node.textContent)"


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(pause_s=0.01)


@pytest.fixture
def address(model: ScriptedModel) -> Iterator[str]:
    with served_on_a_port(model) as address:
        yield address


@pytest.fixture
def page(chromium: str, tmp_path: Path) -> Iterator[Page]:
    film = tmp_path / "scene.y4m"
    with Image.open(DEMO_SAMPLES / "word-and-shapes.png") as scene:
        write_camera(film, scene.convert("RGB"))
    with browse(chromium, tmp_path, f"--use-file-for-fake-video-capture={film}") as page:
        page.resize(390, 844)
        yield page


def _open_camera(page: Page, address: str) -> None:
    page.allow_camera(address, "granted")
    page.open(address)
    page.wait("document.getElementById('preview').videoWidth")


def test_from_the_camera_to_an_answer_and_a_follow_up(page: Page, address: str, model: ScriptedModel) -> None:
    page.allow_camera(address, "prompt")
    page.open(address)
    page.wait("!document.getElementById('notice').hidden")
    assert "Allow camera access" in page.evaluate("document.body.innerText")
    page.allow_camera(address, "granted")
    page.click("notice-button")
    page.wait("document.getElementById('preview').videoWidth")
    page.click("shutter")
    page.wait("document.body.dataset.screen === 'picture'")
    assert page.evaluate("document.getElementById('preview').srcObject") is None  # the camera is off
    page.click_text("What is this?")
    page.wait("document.querySelector('#log .below')")
    assert page.evaluate(TEXT) == ["What is this?", ANSWER]
    assert "first word 0.55 s" in page.evaluate("document.querySelector('details p').textContent")
    page.click("question")
    page.type("And what color?")
    page.press("Enter")
    page.wait("document.querySelectorAll('#log .below').length === 2")
    assert page.evaluate(TEXT)[2:] == ["And what color?", ANSWER]
    first, second = model.asked
    assert [turn.question for turn in second.turns] == ["What is this?", "And what color?"]
    assert second.turns[0].answer == ANSWER
    assert first.pixels.equal(second.pixels)
    middle = first.pixels.float().mean(dim=(1, 2))  # the scene, cut to what the screen showed
    assert middle.min() > 20
    page.click("new-picture")
    page.wait("document.body.dataset.screen === 'camera' && document.getElementById('preview').videoWidth")
    assert page.problems == []


def test_an_answer_streams_and_can_be_stopped(page: Page, address: str, model: ScriptedModel) -> None:
    model.pause_s = 0.5
    _open_camera(page, address)
    page.click("shutter")
    page.wait("document.body.dataset.screen === 'picture'")
    page.click_text("Describe the image.")
    page.wait(f"{TEXT}[1].startsWith('A red')")  # "Answering…" begins so too
    assert page.evaluate("document.getElementById('send').ariaLabel") == "Stop"
    page.click("send")
    page.wait(f"{TEXT}[1].endsWith('(stopped)')")
    page.wait("document.getElementById('send').ariaLabel === 'Send'")
    until = time.monotonic() + 20
    while not model.stopped:  # the server notices that the connection is gone
        assert time.monotonic() < until
        time.sleep(0.05)
    model.pause_s = 0
    page.click_text("Read the text.")
    page.wait("document.querySelectorAll('#log .below').length === 2")
    assert model.stopped == 1
    assert model.asked[1].turns[0].answer in ANSWER  # as far as it came
    assert page.problems == []


def test_live_mode_keeps_answering(page: Page, address: str, model: ScriptedModel) -> None:
    _open_camera(page, address)
    page.click("mode-live")
    page.evaluate("document.getElementById('live-question').value = 'What moves?'")
    page.click("shutter")
    page.wait("document.getElementById('live-age').textContent.startsWith('Seen ')")
    assert page.evaluate("document.getElementById('live-text').textContent") == ANSWER
    before = len(model.asked)
    while len(model.asked) < before + 3:
        page.evaluate("new Promise((done) => setTimeout(done, 50))")
    page.click("shutter")
    assert page.evaluate("document.getElementById('shutter').ariaLabel") == "Start"
    assert {question.turns[0].question for question in model.asked} == {"What moves?"}
    assert all(len(question.turns) == 1 for question in model.asked)
    assert page.problems == []


def test_a_refused_camera_leaves_photos(page: Page, address: str, model: ScriptedModel) -> None:
    page.allow_camera(address, "denied")
    page.open(address)
    page.wait("!document.getElementById('notice').hidden")
    page.click("notice-button")
    page.wait("document.getElementById('notice-text').textContent.startsWith('Camera access is off.')")
    _choose(page, DEMO_SAMPLES / "two-shapes.png")
    page.wait("document.body.dataset.screen === 'picture'")
    page.click_text("What is this?")
    page.wait("document.querySelector('#log .below')")
    assert len(model.asked) == 1
    page.reload()
    page.wait("document.body.dataset.screen === 'camera' && !document.getElementById('notice').hidden")
    assert page.problems == []


def test_a_part_of_the_picture(page: Page, address: str, model: ScriptedModel) -> None:
    page.open(address)
    _choose(page, DEMO_SAMPLES / "two-shapes.png")
    page.wait("document.body.dataset.screen === 'picture' && document.getElementById('picture').naturalWidth")
    whole = page.evaluate("document.getElementById('picture').naturalWidth")
    page.click("part")
    page.wait("!document.getElementById('selection').hidden")
    left, top, right, bottom = page.evaluate(
        "(() => { const b = document.getElementById('picture').getBoundingClientRect(), s = Math.min(b.width, b.height) / 2,"
        " x = b.left + b.width / 2, y = b.top + b.height / 2; return [x - s + 4, y - s + 4, x, y]; })()"
    )
    page.mouse("mousePressed", left, top)
    page.mouse("mouseMoved", right, bottom)
    page.mouse("mouseReleased", right, bottom)
    assert page.evaluate("document.getElementById('part').textContent") == "Ask about this part"
    page.click("part")
    page.wait(f"document.getElementById('picture').naturalWidth < {whole * 0.6}")
    page.click_text("What is this?")
    page.wait("document.querySelector('#log .below')")
    page.click("whole")
    page.wait(f"document.getElementById('picture').naturalWidth === {whole}")
    assert page.evaluate(TEXT) == []
    page.evaluate("document.getElementById('part').focus()")
    page.press("Enter")
    page.wait("document.activeElement.id === 'selection'")
    before = page.evaluate("document.getElementById('selection').style.left")
    page.press("ArrowRight")
    assert page.evaluate("document.getElementById('selection').style.left") != before
    page.press("Escape")
    assert page.evaluate("document.getElementById('selection').hidden")
    assert page.problems == []


def test_the_page_asks_for_the_key(chromium: str, tmp_path: Path, model: ScriptedModel) -> None:
    with served_on_a_port(model, api_key="secret") as address, browse(chromium, tmp_path) as page:
        page.open(address)
        page.wait("document.getElementById('key-dialog').open")
        page.type("secret")
        page.press("Enter")
        page.wait("document.getElementById('model').textContent === 'scripted'")
        page.evaluate("sessionStorage.clear()")
        page.open(f"{address}/?again#key=secret")
        page.wait("document.getElementById('model').textContent === 'scripted'")
        assert page.evaluate("location.hash") == ""


def test_an_error_is_shown_where_the_answer_would_be(page: Page, address: str, model: ScriptedModel) -> None:
    page.open(address)
    _choose(page, DEMO_SAMPLES / "two-shapes.png")
    page.wait("document.body.dataset.screen === 'picture'")
    page.evaluate("fetch = () => Promise.reject(new TypeError('no network'))")
    page.click_text("What is this?")
    page.wait("document.querySelector('.problem')")
    assert page.evaluate("document.querySelector('.problem').textContent") == "The server can’t be reached."
    assert page.evaluate("document.querySelector('.problem').role") == "alert"


@pytest.mark.parametrize(
    ("width", "height", "dark"), [(390, 844, False), (360, 640, True), (844, 390, False), (1280, 800, True)]
)
def test_everything_fits_and_has_a_name(page: Page, address: str, width: int, height: int, dark: bool) -> None:
    page.resize(width, height, dark=dark)
    _open_camera(page, address)
    for prepare in ("", "mode-live", "shutter"):
        if prepare == "shutter":
            page.click("mode-photo")
        if prepare:
            page.click(prepare)
        if prepare == "shutter":
            page.wait("document.body.dataset.screen === 'picture'")
            page.click_text("What is this?")
            page.wait("document.querySelector('#log .below')")
        assert page.evaluate(_FAULTS) == [], prepare
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(20, 19, 18)" if dark else "rgb(251, 248, 243)"
    )


# Visible controls that are cut off, too small for a finger, or without a name.
_FAULTS = """[...document.querySelectorAll('button, input, summary')].filter((node) => node.offsetParent).flatMap((node) => {
  const box = node.getBoundingClientRect(), name = node.ariaLabel || node.innerText || node.labels?.[0]?.textContent || node.placeholder;
  const inChips = node.closest('#chips'), what = node.id || node.textContent;
  return [
    ...(name ? [] : [`${what}: no name`]),
    ...(box.height >= 40 || node.tagName === 'SUMMARY' ? [] : [`${what}: ${box.height} high`]),
    ...(inChips || (box.left >= 0 && box.right <= innerWidth && box.top >= 0 && box.bottom <= innerHeight) ? [] : [`${what}: outside`]),
  ];
})"""


def test_nothing_leaves_the_page(page: Page, address: str) -> None:
    page.open(address)
    asked = "fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => error.name)"
    assert page.evaluate(asked) == "TypeError"
    assert any("Content Security Policy" in problem for problem in page.problems)
    assert (
        page.evaluate(
            "new Promise((done) => { const i = new Image(); i.onerror = () => done('blocked'); i.src = 'http://127.0.0.1:9/a.png'; })"
        )
        == "blocked"
    )
    assert page.evaluate("(() => { try { eval('1'); return 'ran'; } catch { return 'blocked'; } })()") == "blocked"
    manifest = page.call("Page.getAppManifest")
    assert manifest["errors"] == []
    assert '"standalone"' in manifest["data"]
    for file in PAGE.iterdir():
        text = file.read_bytes()
        assert b"https://" not in text, file
        assert len(text) < 20_000, file


def _choose(page: Page, file: Path) -> None:
    """Choose ``file`` in the file dialog."""
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    node = page.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])
