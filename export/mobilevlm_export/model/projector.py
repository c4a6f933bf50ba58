"""The class of each projector: a column of the table in :mod:`mobilevlm_export.projector_config`."""

from __future__ import annotations

from mobilevlm_export.model.ldp import LDP
from mobilevlm_export.model.ldpv2 import LDPv2
from mobilevlm_export.model.mlp_projector import MLPProjector
from mobilevlm_export.projector_config import ProjectorConfig

Projector = LDPv2 | LDP | MLPProjector
_CLASSES: dict[str, type[Projector]] = {"LDPv2": LDPv2, "LDP": LDP, "MLP": MLPProjector}


def make_projector(config: ProjectorConfig) -> Projector:
    """The projector of ``config``, with random weights."""
    return _CLASSES[config.kind.name](config)
