"""The table of projectors: what makes image embeddings of the tower's features, by the published ``mm_projector_type``.

A row here has a class in :mod:`mobilevlm_export.model.projector`, key names in :mod:`mobilevlm_export.checkpoint.key_map` and a
lowering for each backend. Doesn't import torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mobilevlm_export.errors import ConfigError

_MLP_TYPE = re.compile(r"mlp([1-9])x_gelu")


@dataclass(frozen=True)
class ProjectorKind:
    """A row of the table: ``pools`` by ``pools`` patches become one image token. ``linears`` are those applied to each patch."""

    name: str
    pools: int
    linears: int = 2


_KINDS = {
    "ldpnetv2": ProjectorKind("LDPv2", pools=2),
    "ldpnet": ProjectorKind("LDP", pools=2),
    "linear": ProjectorKind("MLP", pools=1, linears=1),
}


def projector_kind(projector_type: str) -> ProjectorKind:
    """The row of ``projector_type``, the published ``mm_projector_type``.

    Raises:
        ConfigError: the kit has no such projector.
    """
    if found := _MLP_TYPE.fullmatch(projector_type):
        return ProjectorKind("MLP", pools=1, linears=int(found[1]))
    if projector_type not in _KINDS:
        raise ConfigError(
            f"mm_projector_type: got {projector_type!r:.60}, expected one of {', '.join(_KINDS)}, mlp1x_gelu to mlp9x_gelu"
        )
    return _KINDS[projector_type]


@dataclass(frozen=True)
class ProjectorConfig:
    """A projector: ``input_size`` is the tower's width, ``hidden_size`` the language model's, ``type`` its published name."""

    input_size: int = 1024
    hidden_size: int = 2048
    type: str = "ldpnetv2"

    def __post_init__(self) -> None:
        for name in ("input_size", "hidden_size"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"projector.{name}: got {getattr(self, name)}, expected a positive number")
        projector_kind(self.type)

    @property
    def kind(self) -> ProjectorKind:
        """The row of the table of projectors."""
        return projector_kind(self.type)
