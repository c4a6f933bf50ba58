"""The image's build finds what the packages are made of, and the development container what its commands name."""

from __future__ import annotations

import json
import re
import tomllib

from repository import ROOT

_DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_image_has_what_the_packages_are_made_of() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    build = project["tool"]["hatch"]
    parts = build["build"]["targets"]["wheel"]["packages"]
    needed = {project["project"]["readme"], *project["project"]["license-files"], build["version"]["path"], *parts}
    needed |= {"pyproject.toml", *re.findall(r"--constraint (\S+)", _DOCKERFILE)}
    copied = [path for line in re.findall(r"^COPY (.+) \S+$", _DOCKERFILE, re.MULTILINE) for path in line.split()]
    ignored, *sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert ignored == "*"
    assert {line[1:] for line in sent if line.startswith("!")} == set(copied)
    assert [path for path in sorted(needed) if path.partition("/")[0] not in copied] == []


def test_the_development_container_names_targets_that_exist() -> None:
    command = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))[
        "postCreateCommand"
    ]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (targets,) = re.findall(r"make (.+)", command)
    assert [name for name in targets.split() if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []
