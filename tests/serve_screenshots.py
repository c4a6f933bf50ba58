"""Make the screenshots of the camera page in docs/images, with answers of the real demo model about a scene before a fake camera.

usage: PYTHONPATH=tests python tests/serve_screenshots.py demo.mvlm
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from browser import Page, browse, write_camera
from PIL import Image
from repository import ROOT
from scripted_model import served_on_a_port

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.built_in import DEMO_SAMPLES
from mobilevlm_host.serve.served_model import ServedModel

_IMAGES = ROOT / "docs" / "images"
_ANSWERS = "document.querySelectorAll('#log .below').length === {}"


def _save(page: Page, name: str) -> None:
    path = _IMAGES / f"{name}.png"
    page.screenshot(path)
    with Image.open(path) as image:
        image.convert("RGB").quantize(128).save(path, optimize=True)


def _photo(page: Page, address: str) -> None:
    page.open(address)
    page.wait("document.getElementById('preview').videoWidth")


def main(bundle: Path, scratch: Path) -> None:
    """Make them with ``bundle``."""
    film = scratch / "scene.y4m"
    with Image.open(DEMO_SAMPLES / "word-and-shapes.png") as scene:
        write_camera(film, scene.convert("RGB"), (480, 480))
    chromium = shutil.which("chromium") or sys.exit("chromium is missing")
    with (
        Bundle.open(bundle) as opened,
        served_on_a_port(ServedModel.open(opened)) as address,
        browse(chromium, scratch, f"--use-file-for-fake-video-capture={film}") as page,
    ):
        page.allow_camera(address, "granted")
        page.resize(390, 780)
        _photo(page, address)
        page.click("mode-live")
        page.click("live-question")
        page.evaluate("document.getElementById('live-question').select()")
        page.type("What color is the circle?")  # a tall screen's camera sees no more of the scene
        page.click("shutter")
        page.wait("document.getElementById('live-age').textContent.startsWith('Seen ')")
        _save(page, "serve-live")
        for name, dark in (("serve-desktop", False), ("serve-dark", True)):
            page.resize(640, 640, dark=dark)  # the camera's picture is cut to its view: the scene is a square
            _photo(page, address)
            page.click("shutter")
            page.wait("document.body.dataset.screen === 'picture'")
            page.resize(1100, 640, dark=dark)
            for number, question in enumerate(
                ("Describe the image.", "Read the word.", "What color is the circle?"), 1
            ):
                page.click("question")
                page.type(question)
                page.press("Enter")
                page.wait(_ANSWERS.format(number))
            page.evaluate("document.querySelector('#log .below:last-child details').open = true")
            page.evaluate("document.activeElement.blur()")
            _save(page, name)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(sys.argv[1]), Path(folder))
