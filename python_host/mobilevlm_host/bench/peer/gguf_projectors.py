"""The projectors that llama.cpp's ``clip.cpp`` computes as the kit does: its types, and the names that their weights have there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import CheckpointError

# llama.cpp computes LDP and LDPv2 on this grid of patches only (CLIP-L at 336 pixels).
GRID = 24
PEG = "mm.model.peg.0"
_PUBLISHED = "model.mm_projector"
# Inside an inverted residual block; the convolutions have no bias.
_LDP_BLOCK = (
    "0.0.weight",
    *(f"{part}.{kind}" for part in ("0.1", "1.fc1", "1.fc2", "2.1") for kind in ("weight", "bias")),
    "2.0.weight",
)


@dataclass(frozen=True)
class GGUFProjector:
    """``type`` is llama.cpp's name of the projector; ``names`` has the file's name of each published weight."""

    type: str
    names: dict[str, str]


def gguf_projector(config: MobileVLMConfig, checkpoint: Path) -> GGUFProjector:
    """The projector of ``checkpoint``, whose configuration is ``config``, for llama.cpp.

    For LDPv2 on a grid that llama.cpp doesn't support, the type is ``mlp``: llama.cpp computes the two linears, and the reader
    pooling and the convolution, whose weights have names too.

    Raises:
        CheckpointError: llama.cpp has no such projector, or not for this grid.
    """
    kind, published_type, grid = config.projector.kind.name, config.projector.type, config.vision.grid
    if kind == "LDPv2":
        linear = "mm.model.mlp" if grid == GRID else "mm"
        names = _linears(f"{_PUBLISHED}.mlp.mlp", linear, (0, 2)) | _linears(
            f"{_PUBLISHED}.peg.peg", "mm.model.peg", (0,)
        )
        return GGUFProjector("ldpv2" if grid == GRID else "mlp", names)
    if kind == "LDP" and grid == GRID:
        names = _linears(f"{_PUBLISHED}.model.mlp", "mm.model.mlp", (1, 3))
        for block in (1, 2):
            each = f"model.mb_block.{block}.block"
            names |= {f"{_PUBLISHED}.{each}.{part}": f"mm.{each}.{part}" for part in _LDP_BLOCK}
        return GGUFProjector("ldp", names)
    if published_type == "mlp2x_gelu":
        return GGUFProjector("mlp", _linears(_PUBLISHED, "mm", (0, 2)))
    raise CheckpointError(
        f"{checkpoint}: got the projector {published_type} on {grid} × {grid} patches, which llama.cpp doesn't compute; expected "
        f"ldpnetv2, ldpnet on {GRID} × {GRID}, or mlp2x_gelu"
    )


def _linears(published: str, name: str, at: tuple[int, ...]) -> dict[str, str]:
    return {f"{published}.{each}.{kind}": f"{name}.{each}.{kind}" for each in at for kind in ("weight", "bias")}
