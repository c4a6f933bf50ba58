"""Chromium without a window, driven through the DevTools protocol over a pair of pipes."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
    "--use-fake-device-for-media-stream",
)  # fmt: skip


class Page:
    """One page of a browser."""

    def __init__(self, to_browser: BinaryIO, from_browser: BinaryIO) -> None:
        self._to, self._from, self._numbers = to_browser, from_browser, itertools.count(1)
        self._session: str | None = None
        self.problems: list[str] = []  # errors that the page logged or threw
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while (answer := self._read()).get("id") != number:
            self._note(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript ``expression``, awaited."""
        got = self.call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
            allowUnsafeEvalBlockedByCSP=False,
        )
        assert "exceptionDetails" not in got, got["exceptionDetails"]
        return got["result"].get("value")

    def wait(self, condition: str, timeout_s: float = 20) -> None:
        """Wait until ``condition`` is true."""
        end = time.monotonic() + timeout_s
        while not self.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < end, (condition, self.problems, self.evaluate("document.body.innerText"))
            time.sleep(0.05)

    def open(self, url: str) -> None:
        """Load ``url``, which has a module that writes the words of the page."""
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && document.getElementById('shutter')?.ariaLabel")

    def reload(self) -> None:
        """Load the page again."""
        self.evaluate("void (window.isOld = true)")
        self.call("Page.reload")
        self.wait(
            "!window.isOld && document.readyState === 'complete' && document.getElementById('shutter')?.ariaLabel"
        )

    def click(self, element: str) -> None:
        """Click the element with the id ``element``, where a user would."""
        self.click_at(*self.evaluate(_CENTER % json.dumps(f"#{element}")))

    def click_text(self, text: str) -> None:
        """Click the visible button with ``text``."""
        found = f"[...document.querySelectorAll('button')].find((b) => b.offsetParent && b.textContent.trim() === {json.dumps(text)})"
        assert self.evaluate(f"Boolean({found})"), text
        self.evaluate(f"{found}.click()")

    def click_at(self, x: float, y: float) -> None:
        """Press and release the mouse at ``x``, ``y``."""
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y)

    def mouse(self, kind: str, x: float, y: float) -> None:
        """Send a mouse event with the left button."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def press(self, key: str, modifiers: int = 0) -> None:
        """Press a key that isn't text, such as Enter."""
        text = {"text": "\r"} if key == "Enter" else {}
        codes = {"Enter": 13, "Tab": 9, "Escape": 27, "ArrowRight": 39}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                modifiers=modifiers,
                windowsVirtualKeyCode=codes[key],
                **text,
            )

    def type(self, text: str) -> None:
        """Type ``text`` into what has the focus."""
        self.call("Input.insertText", text=text)

    def allow_camera(self, origin: str, setting: str) -> None:
        """Answer the question for the camera: granted, denied, or prompt."""
        self.call("Browser.setPermission", permission={"name": "camera"}, setting=setting, origin=origin)

    def resize(self, width: int, height: int, *, dark: bool = False, scale: float = 1) -> None:
        """Make the screen ``width`` x ``height`` CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)

    def screenshot(self, path: Path) -> None:
        """Save what is seen as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(event["params"]["exceptionDetails"])[:500])
        elif event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.problems.append(event["params"]["entry"]["text"])

    def _read(self) -> dict[str, Any]:
        data = bytearray()
        while (byte := self._from.read(1)) != b"\0":
            assert byte, "the browser ended"
            data += byte
        message: dict[str, Any] = json.loads(data)
        return message


_CENTER = """(() => {
  const node = document.querySelector(%s), box = node.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
})()"""


@contextmanager
def browse(chromium: str, folder: Path, *flags: str) -> Iterator[Page]:
    """A page in a browser whose profile is in ``folder``."""
    read_by_browser, to_browser = os.pipe()
    from_browser, written_by_browser = os.pipe()
    # The browser reads from descriptor 3 and writes to 4.
    start = f'exec "$@" 3<&{read_by_browser} 4>&{written_by_browser}'
    command = ["bash", "-c", start, "-", chromium, *_FLAGS, *flags, f"--user-data-dir={folder / 'profile'}"]
    with subprocess.Popen(
        command, pass_fds=(read_by_browser, written_by_browser), stderr=subprocess.DEVNULL
    ) as process:
        os.close(read_by_browser)
        os.close(written_by_browser)
        with open(to_browser, "wb") as writer, open(from_browser, "rb", buffering=1 << 16) as reader:
            try:
                yield Page(writer, reader)
            finally:
                process.terminate()


def write_camera(path: Path, image: Image.Image, size: tuple[int, int] = (640, 480)) -> None:
    """Write ``image``, padded to ``size``, as the Y4M film of two frames that a fake camera shows."""
    frame = Image.new("RGB", size, "white")
    fitted = image.resize((size[1], size[1]) if image.width == image.height else size)
    frame.paste(fitted, ((size[0] - fitted.width) // 2, 0))
    y, cb, cr = (np.asarray(channel) for channel in frame.convert("YCbCr").split())
    scaled = (16 + y * (219 / 255)).round().astype(np.uint8)  # broadcast range
    small = [(128 + (c[::2, ::2].astype(float) - 128) * (224 / 255)).round().astype(np.uint8) for c in (cb, cr)]
    one = b"FRAME\n" + scaled.tobytes() + b"".join(c.tobytes() for c in small)
    path.write_bytes(f"YUV4MPEG2 W{size[0]} H{size[1]} F10:1 Ip A1:1 C420\n".encode() + one * 2)
