"""The hooks before a commit: pre-commit reads them, each one's command exists, and each looks at files that exist."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from pre_commit.clientlib import load_config
from repository import ROOT

_HOOKS: list[dict[str, Any]] = [
    hook for repo in load_config(str(ROOT / ".pre-commit-config.yaml"))["repos"] for hook in repo["hooks"]
]
_FOLDERS = ("export", "python_host", "android_app", "ios_app", "tests")


def test_no_hook_needs_the_network() -> None:
    assert {hook["language"] for hook in _HOOKS} <= {"system", "unsupported"}  # two names of the same
    assert [hook["id"] for hook in _HOOKS] == [
        "ruff", "ruff-format", "mypy-export", "mypy-host", "ktlint", "swift-format", "golden",
    ]  # fmt: skip


@pytest.mark.parametrize("hook", _HOOKS, ids=lambda hook: str(hook["id"]))
def test_the_command_exists_and_so_do_the_files(hook: dict[str, Any]) -> None:
    command, *arguments = shlex.split(hook["entry"])
    if command.startswith(".venv/bin/"):
        assert shutil.which(Path(command).name, path=Path(sys.executable).parent), command
    else:
        assert os.access(ROOT / command, os.X_OK), command
    for path in (argument for argument in arguments if "/" in argument):
        assert (ROOT / path).exists(), path
    names = [path.relative_to(ROOT).as_posix() for folder in _FOLDERS for path in (ROOT / folder).rglob("*.*")]
    for pattern in hook["files"].split("|^"):
        assert not pattern or any(re.search(pattern, name) for name in [*names, *os.listdir(ROOT)]), pattern
