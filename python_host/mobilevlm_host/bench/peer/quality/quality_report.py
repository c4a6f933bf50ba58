"""What each recipe and each quantization costs a model, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import chain
from typing import Any

from mobilevlm_export import __version__
from mobilevlm_export.progress import megabytes
from mobilevlm_host.bench.peer.quality.exam import Faithfulness
from mobilevlm_host.terminal.output import print_table


@dataclass(frozen=True)
class QualityRow:
    """The bytes of the decoder's weights, with embedding and head, and how closely it follows the fp32 model when both get the fp32
    model's images; then the same of the whole model, which encodes the images itself. llama.cpp's whole models are compared with its
    own F16, which is compared with the fp32 model.
    """

    engine: str
    name: str
    decoder_bytes: int
    decoder: Faithfulness
    model_bytes: int
    model: Faithfulness


@dataclass(frozen=True)
class QualityTable:
    """The rows of one checkpoint, described by ``name``."""

    name: str
    rows: Sequence[QualityRow]


@dataclass(frozen=True)
class QualityComparison:
    """Tables of checkpoints, all asked the same questions."""

    questions: int
    tables: Sequence[QualityTable]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        versions = {"mobilevlm_kit": __version__, "llama_cpp_python": version("llama-cpp-python")}
        return {
            "questions": self.questions,
            "versions": versions,
            "checkpoints": [asdict(table) for table in self.tables],
        }


COLUMNS = ("", "", "decoder", "mean KL", "same answers", "model", "mean KL", "same answers")


def figures(row: QualityRow) -> list[str]:
    """The cells of a row under :data:`COLUMNS`."""
    sizes = ((row.decoder_bytes, row.decoder), (row.model_bytes, row.model))
    cells = ((megabytes(size), f"{found.mean_kl:.1e}", f"{found.same / found.questions:.2%}") for size, found in sizes)
    return [row.engine, row.name, *chain.from_iterable(cells)]


def print_quality(found: QualityComparison) -> None:
    """Print a table on stdout for each checkpoint."""
    for table in found.tables:
        print_table(
            f"{table.name}: {found.questions:,} held-out questions. Decoder: with the images of the fp32 model; model: llama.cpp's "
            "compared with its own F16. KL in nats",
            COLUMNS,
            [figures(row) for row in table.rows],
        )
