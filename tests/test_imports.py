"""One direction of imports: benchmarks read the host, the host reads the export package, never the other way round."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image
from repository import ROOT

import mobilevlm_export
import mobilevlm_host
from mobilevlm_export.bundle.read import Bundle


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [("export", ("mobilevlm_host", "benchmarks")), ("python_host", ("benchmarks",))],
)
def test_imports_go_one_way(folder: str, forbidden: tuple[str, ...]) -> None:
    files = list((ROOT / folder).rglob("*.py"))
    assert len(files) > 20
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not any(name.startswith(forbidden) for name in names), file


@pytest.mark.parametrize("package", [mobilevlm_export, mobilevlm_host])
def test_no_module_shadows_a_public_name(package: ModuleType) -> None:
    """Once a module is imported, its package has an attribute of that name: so none may be called as what the package offers."""
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
    """ExecuTorch's runner needs torch; all else that takes seconds to import is for exporting, drawing or Core ML."""
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
