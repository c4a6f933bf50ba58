"""Packed weights in a file on an emulated ARM CPU: ExecuTorch's library for ARM has the same functions and layouts."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.dependencies import executorch_private
from mobilevlm_export.dependencies.private_api import PrivateSymbol
from mobilevlm_host.arm64.arm64_methods import Arm64Methods
from mobilevlm_host.arm64.toolchain import SOURCES, build_methods
from mobilevlm_host.engines.methods import METHODS

_HEADER = "keep_weights.h"
_LOADED = "Module module(argv[1]);"


@pytest.fixture(scope="module")
def keeping_methods(run_methods: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``run_methods`` with its weights in a file beside the program."""
    symbols = {name: value for name, value in vars(executorch_private).items() if isinstance(value, PrivateSymbol)}
    names = "".join(f'#define {name} "{symbol.name}"\n' for name, symbol in symbols.items())
    source = (SOURCES / "run_methods.cpp").read_text(encoding="utf-8")
    loads = "".join(f'if (module.load_method("{name}") != Error::Ok) return 3;\n' for name in METHODS)
    keeping = f'void* block = keep_weights(std::string(argv[1]) + ".weights");\n{_LOADED}\n{loads}release(block);\n'
    assert source.count(_LOADED) == 1
    header = Path(__file__).with_name(_HEADER).read_text(encoding="utf-8")
    folder = tmp_path_factory.mktemp("sources")
    (folder / "run_methods.cpp").write_text(names + header + source.replace(_LOADED, keeping), encoding="utf-8")
    shutil.copy(SOURCES / "llama_ops.cpp", folder)
    return build_methods(folder)


def test_weights_in_a_file_compute_the_same(
    tiny_bundle: Bundle, run_methods: Path, keeping_methods: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_bundle.path, tmp_path / "tiny.mvlm")
    bundle, file = Bundle(folder, tiny_bundle.manifest), folder / "model.pte.weights"
    plain = _outputs(bundle, run_methods)
    assert not file.exists()
    written = _outputs(bundle, keeping_methods)
    size, changed = file.stat().st_size, file.stat().st_mtime_ns
    assert re.search(b"[0-9a-f]{64}", file.read_bytes()[-4096:])  # the index
    file.chmod(0o444)
    present = _outputs(bundle, keeping_methods)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (size, changed)
    assert all(map(torch.equal, plain, written))
    assert all(map(torch.equal, plain, present))


def _outputs(bundle: Bundle, program: Path) -> list[Tensor]:
    with Arm64Methods(bundle, program=program) as methods:
        side = bundle.config.vision.image_size
        pixels = torch.arange(3 * side * side).remainder(251).reshape(1, 3, side, side).to(torch.uint8)
        embeds, features = methods.vision_encoder(pixels)
        return [embeds, features, methods.text_decoder(embeds, 0)]
