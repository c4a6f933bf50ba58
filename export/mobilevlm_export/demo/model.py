"""The demo model: its sizes and its tokenizer."""

from __future__ import annotations

import io
from pathlib import Path

import sentencepiece

from mobilevlm_export import prompt
from mobilevlm_export.config import LlamaConfig, MobileVLMConfig, VisionConfig
from mobilevlm_export.demo.questions import caption, questions
from mobilevlm_export.demo.scenes import TRAIN_SEEDS, make_scene
from mobilevlm_export.files.atomic_file import atomic_file
from mobilevlm_export.projector_config import ProjectorConfig

VOCAB_SIZE = 640

DEMO_CONFIG = MobileVLMConfig(
    vision=VisionConfig(
        image_size=168, patch_size=14, hidden_size=128, intermediate_size=512, num_layers=6, num_heads=4
    ),
    projector=ProjectorConfig(input_size=128, hidden_size=192),
    llm=LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=192,
        intermediate_size=512,
        num_layers=4,
        num_heads=6,
        num_kv_heads=6,
        max_position_embeddings=512,
    ),
    vision_tower="demo-clip-168",
    name="MobileVLM_V2-demo",
)


def train_tokenizer(output: Path, scenes: int = 3000) -> None:
    """Write ``output`` (``tokenizer.model``), trained on the demo's own text."""
    lines = [prompt.prefix(), prompt.SYSTEM] * 200
    for seed in TRAIN_SEEDS[:scenes]:
        scene = make_scene(seed)
        lines.append(caption(scene, seed))
        for qa in questions(scene, seed):
            lines += [prompt.after_image(qa.question).strip(), prompt.follow_up(qa.question), qa.answer]
    write_tokenizer(output, lines, VOCAB_SIZE)


def write_tokenizer(output: Path, lines: list[str], vocab_size: int) -> None:
    """Train a LLaMA-like SentencePiece model (BPE, byte fallback, no normalization) on ``lines`` and write it to ``output``."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocab_size,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=True,
        character_coverage=1.0,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    with atomic_file(output) as temporary:
        temporary.write_bytes(model.getvalue())
