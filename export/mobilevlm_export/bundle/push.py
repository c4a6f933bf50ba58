"""Copy a bundle to the Android app's own folder, over adb."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path, PurePosixPath

from mobilevlm_export.bundle.manifest import MANIFEST
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import BundleError
from mobilevlm_export.progress import Bytes, Progress, silent

APP_ID = "org.mobilevlmkit.app"
# The only folder that both adb and an app without storage permission can access.
APP_FOLDER = f"/sdcard/Android/data/{APP_ID}/files/bundles"
_ADB_TIMEOUT_S = 30


def push_bundle(path: Path, serial: str | None = None, progress: Progress = silent) -> str:
    """Verify the bundle at ``path`` and copy it to the phone; returns its folder there.

    Files go to a temporary folder that is renamed once all are copied, so the app never sees an incomplete bundle. Only the files in
    the manifest are copied.

    Raises:
        BundleError: the bundle is damaged or has no program for the app, adb is not installed, or not exactly one phone is
            connected.
    """
    adb = [_adb(), *(("-s", serial) if serial else ())]
    _require_phone(adb)
    with Bundle.open(path, progress=progress) as bundle:
        bundle.artifact("executorch")
        # Neither "." nor "..", which on the phone would be the folder of all bundles and its parent.
        name = os.path.basename(os.path.abspath(path)).removesuffix(".zip")
        target, incoming = PurePosixPath(APP_FOLDER, name), PurePosixPath(APP_FOLDER, f".incoming-{name}")
        files = [*(entry.path for entry in bundle.manifest.files), MANIFEST]
        folders = sorted({str((incoming / file).parent) for file in files})
        _shell(adb, ["rm", "-rf", str(incoming)], ["mkdir", "-p", *folders])
        total, done = Bytes(sum((bundle.path / file).stat().st_size for file in files)), 0
        for file in files:
            progress("copying to the phone", Bytes(done), total)
            _run(adb, "push", str((bundle.path / file).resolve()), str(incoming / file), timeout=None)
            done += (bundle.path / file).stat().st_size
        _shell(adb, ["rm", "-rf", str(target)], ["mv", str(incoming), str(target)])
        progress("copying to the phone", total, total)
    return str(target)


def _adb() -> str:
    found = shutil.which("adb")
    if found is None:
        raise BundleError("adb: not found on PATH, expected Android's platform tools (Debian: apt-get install adb)")
    return found


def _require_phone(adb: list[str]) -> None:
    try:
        state = _run(adb, "get-state")
    except BundleError as error:
        raise BundleError(
            f"adb: got {str(error).removeprefix('adb: ')!r}, expected one phone with USB debugging on (--serial names one)"
        ) from None
    if state != "device":
        raise BundleError(f"adb: got a phone in state {state!r}, expected 'device': allow USB debugging on it")


def _shell(adb: list[str], *commands: list[str]) -> None:
    """Run ``commands`` in the phone's shell, in order, until one fails; arguments are passed on literally."""
    _run(adb, "shell", " && ".join(map(shlex.join, commands)))


def _run(adb: list[str], *arguments: str, timeout: int | None = _ADB_TIMEOUT_S) -> str:
    try:
        done = subprocess.run([*adb, *arguments], capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise BundleError(f"adb: {arguments[0]} timed out after {timeout} s, expected a connected phone") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise BundleError(f"adb: {lines[-1] if lines else f'exit code {done.returncode}'}")
    return done.stdout.strip()
