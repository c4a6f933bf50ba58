"""Recompute a capture on this machine, and name the stage that differs.

Each stage is fed the capture's own data: its image, its pixels, its token ids, its answer. So a fault shows in one stage only.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.load import checkpoint_sha256, load_checkpoint
from mobilevlm_export.errors import CaptureError, ParityError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.ask.phone_inputs import PhoneInputs
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.engines.methods import Methods, prefill
from mobilevlm_host.parity import thresholds
from mobilevlm_host.parity.metrics import distance
from mobilevlm_host.records.capture import Capture, manifest_id
from mobilevlm_host.records.record import Record, Sketch, pixels_sha256, prompt_embeds

STAGES = ("preprocessing", "tokenizer", "vision encoder", "decoder")
# Two machines may choose differently between tokens whose log-probabilities are this close (in nats).
NEAR_TIE = 0.1


@dataclass(frozen=True)
class Finding:
    """Whether one stage gives the same result here; None if the capture lacks the data to decide."""

    stage: str
    same: bool | None
    detail: str


@dataclass(frozen=True)
class Replay:
    """All findings in the order of the data path; ``fp32_answer`` is the checkpoint's, if given; ``backend`` is the artifact that
    was run.
    """

    findings: tuple[Finding, ...]
    backend: str
    fp32_answer: str | None = None

    @property
    def differs(self) -> str:
        """The first stage that differs, or "none"."""
        return next((finding.stage for finding in self.findings if finding.same is False), "none")

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "differs": self.differs,
            "stages": {
                finding.stage: {key: value for key, value in asdict(finding).items() if key != "stage"}
                for finding in self.findings
            },
            "backend": self.backend,
            "fp32_answer": self.fp32_answer,
        }


def replay_capture(
    capture: Capture,
    bundle: Bundle,
    *,
    backend: str | None = None,
    checkpoint: Path | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Replay:
    """Recompute ``capture`` with the artifact of ``bundle`` for ``backend`` (default: the capture's, else the runner's), and with the
    fp32 model of ``checkpoint``, if given.

    Raises:
        BundleError: the bundle has no such artifact.
        CaptureError: the capture was made with another bundle (unless ``force``).
        ParityError: the bundle was made from another checkpoint (unless ``force``).
        RunnerError: the engine can't load the bundle.
    """
    if not force and capture.manifest_id != (here := manifest_id(bundle)):
        raise CaptureError(
            f"{bundle.path}: got a bundle with the manifest {here[:16]}…, expected the capture's, "
            f"{capture.manifest_id[:16]}…; --force replays it anyway"
        )
    fp32_answer = None
    if checkpoint:
        if not force and (got := checkpoint_sha256(checkpoint, progress)) != bundle.manifest.source_sha256:
            raise ParityError(
                f"{bundle.path}: made from checkpoint {bundle.manifest.source_sha256[:16]}…, "
                f"got {checkpoint} with {got[:16]}…; --force compares them anyway"
            )
        _require_fitting(capture.record, bundle)
        fp32_answer = _fp32_answer(load_checkpoint(checkpoint, progress=progress), capture)
    with Runner(bundle, backend=backend or capture.backend, progress=progress) as runner:
        findings = replay(capture, runner.methods(), PhoneInputs(bundle), bundle, runner.tokenizer)
        return Replay(findings, runner.backend, fp32_answer)


@torch.inference_mode()
def replay(
    capture: Capture, methods: Methods, phone: PhoneInputs, bundle: Bundle, tokenizer: Tokenizer
) -> tuple[Finding, ...]:
    """The findings of all stages, computed with ``methods`` and ``phone``.

    Raises:
        CaptureError: the record has token ids beyond the vocabulary of ``bundle``, or more than fit its context.
    """
    record, recipe = capture.record, bundle.manifest.values["quantization"]["recipe"]
    thresholds.require_known(recipe, bundle.path)
    expected_shape = tuple(phone.size)
    if tuple(capture.pixels.shape) != expected_shape:
        shape = Finding(
            "preprocessing", False, f"got pixels {tuple(capture.pixels.shape)}, expected {expected_shape} here"
        )
        return (shape, _tokenizer(record, phone))
    _require_fitting(record, bundle)
    embedding, _ = methods.vision_encoder(capture.pixels[None])
    embeds = prompt_embeds(methods, record.ids_before_image, embedding, record.ids_after_image)
    return (
        _preprocessing(capture, phone),
        _tokenizer(record, phone),
        _vision_encoder(record.image_embedding, Sketch.of(embedding), recipe["vision"]),
        _decoder(record, methods, embeds, bundle, tokenizer, recipe),
    )


def _require_fitting(record: Record, bundle: Bundle) -> None:
    """Raise CaptureError for a token id without a row, or too many ids for the KV cache: either would crash the engine."""
    vocab_size, room = bundle.config.llm.vocab_size, bundle.manifest.max_context
    prompt = {"ids_before_image": record.ids_before_image, "ids_after_image": record.ids_after_image}
    for name, ids in (prompt | {"answer_ids": record.answer_ids or ()}).items():
        if not ids and name in prompt:
            raise CaptureError(f"record {record.question!r:.40}: {name}: got none, expected token ids")
        wrong = [each for each in ids if not 0 <= each < vocab_size]
        if wrong:
            raise CaptureError(
                f"record {record.question!r:.40}: {name}: got the id {wrong[0]!s:.20}, expected 0 to {vocab_size - 1} (the bundle's)"
            )
    tokens = sum(map(len, prompt.values())) + bundle.config.image_tokens + len(record.answer_ids or ())
    for name, count in {"tokens": tokens, "max_new_tokens": record.max_new_tokens}.items():
        if not 0 < count <= room:
            raise CaptureError(
                f"record {record.question!r:.40}: {name}: got {count!s:.20}, expected 1 to {room} (the bundle's context)"
            )


def _preprocessing(capture: Capture, phone: PhoneInputs) -> Finding:
    if capture.picture is None:
        return Finding("preprocessing", None, "the capture contains no image")
    here = phone.pixels(capture.picture)
    if pixels_sha256(here) == capture.record.pixels_sha256:
        return Finding("preprocessing", True, "the same pixels")
    apart = (here.int() - capture.pixels.int()).abs()
    if not bool(apart.any()):
        return Finding(
            "preprocessing", False, f"got SHA-256 {capture.record.pixels_sha256[:16]}…, expected another here"
        )
    share = float((apart.amax(0) > 0).float().mean())
    return Finding("preprocessing", False, f"{share:.1%} of the pixels differ, by up to {int(apart.max())} of 255")


def _tokenizer(record: Record, phone: PhoneInputs) -> Finding:
    here = phone.ids(record.question)
    for side, theirs, ours in zip(
        ("before", "after"), (record.ids_before_image, record.ids_after_image), map(tuple, here), strict=True
    ):
        if theirs != ours:
            at = next((i for i, pair in enumerate(zip(theirs, ours, strict=False)) if pair[0] != pair[1]), None)
            at = min(len(theirs), len(ours)) if at is None else at
            got, expected = (list(ids[at : at + 4]) for ids in (theirs, ours))
            return Finding("tokenizer", False, f"{side} the image, from id {at}: got {got}, expected {expected} here")
    return Finding("tokenizer", True, f"the same {sum(map(len, here))} ids")


def _vision_encoder(theirs: Sketch, ours: Sketch, scheme: str) -> Finding:
    if theirs.shape != ours.shape:
        return Finding("vision encoder", False, f"got the shape {theirs.shape}, expected {ours.shape} here")
    snr_db = distance(torch.tensor(ours.values), torch.tensor(theirs.values)).snr_db
    least = thresholds.MACHINES[scheme].value
    found = "the same sketch" if math.isinf(snr_db) and snr_db > 0 else f"signal to noise {snr_db:.0f} dB"
    return Finding("vision encoder", snr_db >= least, f"{found} (at least {least:.0f} dB)")


def _decoder(
    record: Record, methods: Methods, embeds: Tensor, bundle: Bundle, tokenizer: Tokenizer, recipe: dict[str, str]
) -> Finding:
    """Compare the first logits, then check for every token of the captured answer whether this machine would choose it too."""
    logits = prefill(methods, embeds, bundle.manifest.max_prefill)
    if wrong := [each for each in record.first_logits.token_ids if not 0 <= each < logits.numel()]:
        return Finding("decoder", False, f"got the token id {wrong[0]}, expected less than {logits.numel()} here")
    ids, values = torch.tensor(record.first_logits.token_ids), torch.tensor(record.first_logits.values)
    kl = _kl(logits[ids], values)
    if not kl <= (limit := thresholds.decoder_limits(recipe).mean_kl.value):
        return Finding("decoder", False, f"first logits: KL {kl:.2g} nats over the most likely (at most {limit:.2g})")
    if record.answer_ids is None:
        return Finding("decoder", True, f"first logits: KL {kl:.2g} nats over the most likely; the answer has no ids")
    expected = [*record.answer_ids, *([tokenizer.eos_id] if record.stop_reason == "eos" else [])]
    position, ties = embeds.shape[1], 0
    for step, token in enumerate(expected):
        if step:
            following = methods.token_embedding(torch.tensor([[expected[step - 1]]]))
            logits = methods.text_decoder(following, position)
            position += 1
        most_likely = int(logits[: tokenizer.vocab_size].argmax())
        if most_likely == token:
            continue
        gap = float(logits[most_likely] - logits[token]) if 0 <= token < logits.numel() else math.inf
        if gap > NEAR_TIE:
            got, ours = (
                tokenizer.piece(each) if each < tokenizer.vocab_size else each for each in (token, most_likely)
            )
            detail = (
                f"token {step + 1} of the answer: got {got!r}, expected {ours!r} here (more likely by {gap:.2g} nats)"
            )
            return Finding("decoder", False, detail)
        ties += 1
    tied = f", {ties} of them near ties" if ties else ""
    return Finding("decoder", True, f"first logits: KL {kl:.2g} nats; the same {len(expected)} tokens{tied}")


def _kl(ours: Tensor, theirs: Tensor) -> float:
    p, q = ours.double().log_softmax(-1), theirs.double().log_softmax(-1)
    return float((p.exp() * (p - q)).sum().clamp(min=0))


def _fp32_answer(model: MobileVLM, capture: Capture) -> str:
    record = capture.record
    ids = model.generate([record.ids_before_image, capture.pixels, record.ids_after_image], record.max_new_tokens)
    assert model.tokenizer is not None
    return model.tokenizer.decode(ids)
