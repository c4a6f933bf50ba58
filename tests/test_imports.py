"""Imports go one way: from higher floors to lower ones, and from the host to the export package."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image
from repository import ROOT

import mobilevlm_export
import mobilevlm_host
from mobilevlm_export.bundle.read import Bundle

# Of mobilevlm_host: a package imports only what is on lower floors. What starts a program (``__main__``) is above them all.
FLOORS = [
    {"mil", "pages", "terminal"},
    {"engines"},
    {"ask", "arm64", "android"},
    {"parity", "evaluate", "bench"},
    {"records", "publish"},
    {"demo", "sensitivity", "serve"},
    {"cli"},
]


def _modules(folder: Path) -> dict[str, Path]:
    """Module names of the package ``folder``, with their files."""
    names = {}
    for file in folder.rglob("*.py"):
        parts = file.relative_to(folder.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return names


def _imports(file: Path, modules: Collection[str]) -> Iterator[str]:
    """Which of ``modules`` the ``file`` imports, wherever in it: functions and type checking count."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in modules or node.module in modules:
                    yield full if full in modules else node.module


EXPORT, HOST = (_modules(ROOT / name) for name in ("export/mobilevlm_export", "python_host/mobilevlm_host"))


def test_the_export_package_never_imports_the_host() -> None:
    assert len(EXPORT) > 50
    wrong = [module for module, file in EXPORT.items() for _ in _imports(file, HOST)]
    assert not wrong


def test_the_host_imports_only_lower_floors() -> None:
    floor = {name: at for at, names in enumerate(FLOORS, 1) for name in names}
    upward = []
    for module, file in HOST.items():
        if module == "mobilevlm_host" or file.name == "__main__.py":
            continue
        package = module.split(".")[1]
        for imported in _imports(file, HOST):
            target = imported.split(".")[1] if "." in imported else ""
            if target and target != package and floor[target] >= floor[package]:
                upward.append(f"{module} imports {imported}")
    assert not upward


@pytest.mark.parametrize("modules", [EXPORT, HOST], ids=["export", "host"])
@pytest.mark.parametrize("depth", [2, None], ids=["packages", "modules"])
def test_imports_have_no_cycle(modules: dict[str, Path], depth: int | None) -> None:
    graph: dict[str, set[str]] = {}
    for module, file in modules.items():
        if "." not in module:
            continue  # the public names, which are imported when they are used
        name = ".".join(module.split(".")[:depth])
        targets = {".".join(target.split(".")[:depth]) for target in _imports(file, modules) if "." in target}
        graph.setdefault(name, set()).update(targets - {name})
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the cycle


@pytest.mark.parametrize("modules", [EXPORT, HOST], ids=["export", "host"])
def test_file_names_are_unique(modules: dict[str, Path]) -> None:
    """A command's file is called as the command is, which may be a package's name too."""
    names = Counter(
        file.stem for file in modules.values() if not file.stem.startswith("__") and file.parent.name != "cli"
    )
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("modules", [EXPORT, HOST], ids=["export", "host"])
def test_class_names_are_unique(modules: dict[str, Path]) -> None:
    names = Counter(
        node.name
        for file in modules.values()
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("package", [mobilevlm_export, mobilevlm_host])
def test_no_module_shadows_a_public_name(package: ModuleType) -> None:
    """An imported module becomes an attribute of its package, so it must not have the name of a public object of the package."""
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert modules
    assert not modules & set(package.__all__)
    assert set(package._HOMES) == set(package.__all__)
    for home in package._HOMES.values():
        import_module(home)
    for name in package.__all__:
        assert callable(getattr(package, name))


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from mobilevlm_host.cli.mvlm import main; "
        "heavy = {'torch', 'executorch', 'transformers', 'torchao', 'numpy', 'rich'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_answer_loads_nothing_but_the_engine(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """ExecuTorch's runner needs torch; all other slow imports are for exporting, charts or Core ML."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    code = (
        "import sys; from mobilevlm_host.cli.mvlm import main; main(sys.argv[1:], standalone_mode=False); "
        "heavy = {'torchao', 'coremltools', 'transformers', 'torch._inductor', 'sympy', 'scipy', 'rich', 'jinja2', "
        "'executorch.exir', 'mobilevlm_host.mil', 'mobilevlm_export.lower', 'mobilevlm_export.quantize.apply', "
        "'mobilevlm_export.model'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    command = [sys.executable, "-c", code, "ask", str(tiny_bundle.path), str(tmp_path / "a.png"), "What is this?"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
