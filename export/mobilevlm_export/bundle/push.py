"""Copy a bundle to an Android phone as a zip, over adb."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mobilevlm_export.bundle.archive import zip_files
from mobilevlm_export.bundle.manifest import MANIFEST
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import BundleError
from mobilevlm_export.progress import Bytes, Progress, silent

APP_ID = "org.mobilevlmkit.app"
# Since Android 11, neither the app nor the shell can rely on files that the other made below Android/data. Download is open to both:
# to the shell by its path, to the app through the system's file picker.
DOWNLOADS = "/sdcard/Download"
# Of a debuggable app, the shell can write its private files: from here it imports by itself.
APP_INBOX = "files/pushed"
_ADB_TIMEOUT_S = 30
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Pushed:
    """Where a bundle arrived: the zip ``file`` in the app, which imports it (``is_imported``), or else in Download."""

    file: str
    is_imported: bool


def push_bundle(path: Path, serial: str | None = None, progress: Progress = silent) -> Pushed:
    """Verify the bundle at ``path``, copy it to the phone as a zip, and open the app there.

    A debuggable app gets the zip into its own files. For any other it goes to Download, and the app shows the system's file picker
    there. The zip has a temporary name until it is complete, and replaces one of the same name. Of a folder, only the files in the
    manifest are copied.

    Raises:
        BundleError: the bundle is damaged or has no program for the app, adb is not installed, or not exactly one phone is
            connected.
    """
    adb = [_adb(), *(("-s", serial) if serial else ())]
    _require_phone(adb)
    with Bundle.open(path, progress=progress) as bundle, tempfile.TemporaryDirectory() as folder:
        bundle.artifact("executorch")
        name = os.path.basename(os.path.abspath(path)).removesuffix(".zip") + ".zip"
        if bundle.source.is_file():
            archive = bundle.source
        else:
            archive = Path(folder, "bundle.zip")
            files = [bundle.path / entry.path for entry in bundle.manifest.files]
            zip_files(bundle.path, [*files, bundle.path / MANIFEST], archive, "zipping", progress)
        is_debuggable = _is_debuggable(adb)
        target = PurePosixPath(APP_INBOX if is_debuggable else DOWNLOADS, name)
        _send(adb, archive, target, is_debuggable, progress)
    _start_app(adb, *(() if is_debuggable else ("--ez", "choose_model", "true")))
    return Pushed(str(target), is_debuggable)


def _is_debuggable(adb: list[str]) -> bool:
    """Whether the shell may act as the app. If not, ``run-as`` fails, as it does if the app isn't installed."""
    try:
        _shell(adb, ["run-as", APP_ID, "true"])
    except BundleError:
        return False
    return True


def _send(adb: list[str], archive: Path, target: PurePosixPath, as_app: bool, progress: Progress) -> None:
    """Stream ``archive`` into the file ``target`` on the phone; a copy that fails leaves nothing."""
    script = 'mkdir -p "$1" && if cat > "$2"; then mv -f "$2" "$3"; else rm -f "$2"; false; fi'
    partial = target.with_name(f".{target.name}.part")
    command = ["sh", "-c", script, "sh", str(target.parent), str(partial), str(target)]
    call = [*adb, "shell", shlex.join([*(("run-as", APP_ID) if as_app else ()), *command])]
    total, done = archive.stat().st_size, 0
    with (
        archive.open("rb") as source,
        subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as copy,
    ):
        assert copy.stdin is not None
        assert copy.stderr is not None
        try:
            while chunk := source.read(_CHUNK):
                copy.stdin.write(chunk)
                done += len(chunk)
                progress("copying to the phone", Bytes(done), Bytes(total))
            copy.stdin.close()
        except BrokenPipeError:  # adb has ended; its message says why
            pass
        said = copy.stderr.read().decode(errors="replace")
    _require_success(copy.returncode if done == total else copy.returncode or 1, said)


def _start_app(adb: list[str], *extras: str) -> None:
    """Open the app. If it isn't installed, there is nothing to open yet."""
    with contextlib.suppress(BundleError):
        _shell(adb, ["am", "start", "-n", f"{APP_ID}/.MainActivity", *extras])


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


def _run(adb: list[str], *arguments: str, timeout: int = _ADB_TIMEOUT_S) -> str:
    try:
        done = subprocess.run([*adb, *arguments], capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise BundleError(f"adb: {arguments[0]} timed out after {timeout} s, expected a connected phone") from None
    _require_success(done.returncode, done.stderr or done.stdout)
    return done.stdout.strip()


def _require_success(code: int, said: str) -> None:
    if code:
        lines = said.strip().splitlines()
        raise BundleError(f"adb: {lines[-1] if lines else f'exit code {code}'}")
