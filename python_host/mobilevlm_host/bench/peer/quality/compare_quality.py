"""The kit's recipes and llama.cpp's quantizations on the demo model, widened, plain and with outliers."""

from __future__ import annotations

import torch

from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.checkpoint.outlier_places import STRENGTH
from mobilevlm_export.checkpoint.outliers import add_outliers
from mobilevlm_export.checkpoint.save import save_checkpoint
from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT
from mobilevlm_export.files.scratch import ScratchFolder
from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.tokenizer import checkpoint_tokenizer
from mobilevlm_host.bench.peer.quality.exam import Exam, held_out_exam
from mobilevlm_host.bench.peer.quality.importance_matrix import importance_tool
from mobilevlm_host.bench.peer.quality.kit_quality import kit_quality
from mobilevlm_host.bench.peer.quality.llama_cpp_quality import LlamaCppExam
from mobilevlm_host.bench.peer.quality.quality_report import QualityComparison, QualityTable
from mobilevlm_host.bench.peer.quality.wider_checkpoint import widened


def compare_quality(questions: int, threads: int, progress: Progress = silent) -> QualityComparison:
    """Both engines answer ``questions`` held-out questions of the demo.

    Raises:
        RunnerError: llama.cpp or one of its tools fails.
    """
    importance_tool()  # before any long work
    model = load_checkpoint(DEMO_CHECKPOINT)
    exam = held_out_exam(model, checkpoint_tokenizer(DEMO_CHECKPOINT), questions, progress)
    wide = widened(model)
    plain = _table("demo, widened", wide, exam, threads, progress)
    add_outliers(wide)
    outliers = _table(f"demo, widened, with outliers × {STRENGTH:g}", wide, exam, threads, progress)
    return QualityComparison(questions, [plain, outliers])


def _table(name: str, model: MobileVLM, exam: Exam, threads: int, progress: Progress) -> QualityTable:
    reference = exam.logits(model)
    kit = kit_quality(model, exam, reference, progress)
    with ScratchFolder() as folder:
        checkpoint = folder / "checkpoint"
        tokenizer = DEMO_CHECKPOINT / "tokenizer.model"
        save_checkpoint(model, checkpoint, tokenizer_model=tokenizer, dtype=torch.float32)
        peer = LlamaCppExam(checkpoint, model, exam, folder, threads).rows(reference, progress)
    return QualityTable(name, [*kit, *peer])
