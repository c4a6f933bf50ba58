"""The demo checkpoint's README.md: what it is, how it was trained, and its accuracy."""

from __future__ import annotations

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.train.contrastive import ContrastiveConfig
from mobilevlm_export.train.stage import StageConfig

Accuracy = dict[str, tuple[int, int]]  # kind → correct answers, questions


def overall(accuracy: Accuracy) -> tuple[int, int]:
    """Correct answers and questions, summed over all kinds."""
    return sum(right for right, _ in accuracy.values()), sum(asked for _, asked in accuracy.values())


def accuracy_rows(clean: Accuracy, camera: Accuracy) -> list[tuple[str, str, str]]:
    """Kind, clean and camera-like accuracy as text: one row per kind and one for all."""
    kinds = sorted(clean.keys() | camera.keys())
    rows = [(kind.replace("_", "/"), _share(clean.get(kind)), _share(camera.get(kind))) for kind in kinds]
    return [*rows, ("all", _share(overall(clean)), _share(overall(camera)))]


def _share(counts: tuple[int, int] | None) -> str:
    if counts is None or counts[1] == 0:
        return "-"
    right, asked = counts
    return f"{100 * right / asked:.1f} % ({right}/{asked})"


def model_card(
    config: MobileVLMConfig,
    tower: ContrastiveConfig,
    captions: StageConfig,
    questions: StageConfig,
    seed: int,
    clean: Accuracy,
    camera: Accuracy,
    note: str = "",
) -> str:
    """The card in Markdown; ``note`` describes how a run differed from its schedule."""
    vision, llm = config.vision, config.llm
    rows = "\n".join(
        f"| {kind} | {on_clean} | {on_camera} |" for kind, on_clean, on_camera in accuracy_rows(clean, camera)
    )
    seen = questions.steps * questions.batch_size
    tower_size = f"{vision.num_layers} layers ({vision.num_run_layers} run), width {vision.hidden_size}"
    llm_size = f"{llm.num_layers} layers, width {llm.hidden_size}, {llm.num_heads} heads"
    return f"""# {config.name}

A tiny MobileVLM V2: the architecture, file layout and prompt of the published models, small enough
for the repository. It answers questions about synthetic scenes of one to four colored shapes,
digits and short words, and about photos of prints of them. It knows nothing else: about any other
image it talks nonsense.

- Vision tower: {tower_size}; {vision.image_size} px, patch {vision.patch_size}.
- LDPv2 projector: {vision.num_patches} patches to {config.image_tokens} image tokens, width {llm.hidden_size}.
- MobileLLaMA: {llm_size}; vocabulary {llm.vocab_size}, context {llm.max_position_embeddings} tokens.

## Training

`mvlm train demo -o DIR` (seed {seed}), on scenes generated from seeds: each stage has its own, and none
is held out.

0. Vision tower from nothing: captions matched as in CLIP, and every patch names the object on it;
   {tower.images:,} scenes, {100 * tower.camera_share:.0f} % camera-like. Then frozen.
1. Captions (plain template), projector and language model: {captions.steps:,} steps of {captions.batch_size}.
2. Questions and answers (v1 template), projector and language model: {questions.steps:,} steps of
   {questions.batch_size} ({seen:,} scenes).
{note}
## Accuracy on held-out scenes

Greedy, fp32, one question per prompt, exact except for case and articles (a caption must name every
object with its color and place). Camera-like: the same scenes askew, blurred, noisy, in colored
light.

| Questions | Clean | Camera-like |
|---|---|---|
{rows}
"""
