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

import mobilevlm_export
import mobilevlm_host

ROOT = Path(__file__).parents[1]


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
        import_module(f"{package.__name__}.{home}" if "." not in home else home)
    for name in package.__all__:
        assert callable(getattr(package, name))


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from mobilevlm_host.cli import main; "
        "heavy = {'torch', 'executorch', 'transformers', 'torchao', 'numpy', 'rich'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_asking_loads_nothing_that_only_exporting_needs() -> None:
    code = (
        "import sys; import mobilevlm_host.runner; "
        "heavy = {'torchao', 'coremltools', 'executorch', 'transformers'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
