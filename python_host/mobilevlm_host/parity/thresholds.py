"""Limits on how far a correct bundle may be from the fp32 model, by the scheme of the part that a stage runs, with reasons.

Each limit lies between the figures of correct bundles, of the demo model and random tiny models, and those of the faults in
``tests/host/parity``. Rounding to b bits leaves a signal-to-noise ratio of about 6 dB per bit below the largest value of a
group; rounding activations in every layer reduces it further. Pixels and token ids are integers: equal or wrong.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mobilevlm_export.errors import ParityError


@dataclass(frozen=True)
class Limit:
    """A limit on ``metric``: at least ``value``, or at most; and the reason for it. Metrics in ``_db`` are in decibels, ``mean_kl`` is
    in nats, ``top1`` and ``same`` are fractions.
    """

    metric: str
    value: float
    reason: str
    at_most: bool = False

    def holds(self, got: float) -> bool:
        """Whether ``got`` is within the limit."""
        return got <= self.value if self.at_most else got >= self.value

    def room_db(self, got: float) -> float:
        """How far ``got`` is within the limit, in decibels of noise, divergence or the fraction of errors; negative beyond the limit.
        Infinite without any error, and minus infinite with an error where none is allowed.
        """
        if self.metric.endswith("_db"):
            return got - self.value
        wrong, allowed = (got, self.value) if self.at_most else (1 - got, 1 - self.value)
        if wrong <= 0:
            return math.inf
        return 10 * math.log10(allowed / wrong) if allowed > 0 and math.isfinite(wrong) else -math.inf


@dataclass(frozen=True)
class DecoderLimits:
    """The limits of a text decoder: for prefill's and decode's logits, for decoding compared with its own prefill, for answers."""

    mean_kl: Limit
    top1: Limit
    own_prefill: Limit
    same_answers: Limit


def _snr(least: float, reason: str) -> Limit:
    return Limit("snr_db", least, reason)


def _decoder(
    mean_kl: tuple[float, str], top1: float, own_prefill: tuple[float, str], same_answers: float
) -> DecoderLimits:
    return DecoderLimits(
        mean_kl=Limit("mean_kl", *mean_kl, at_most=True),
        top1=Limit("top1", top1, "two about equally likely tokens may swap ranks; a wrong model changes most of them"),
        own_prefill=Limit("own_prefill_snr_db", *own_prefill),
        same_answers=Limit(
            "same", same_answers, "one near tie changes all that follows; the earlier stages are what finds faults"
        ),
    )


# Over 32 samples of the demo unless another model is named; the worst sample counts.
EMBEDDING = {
    "fp32": _snr(120, "a lookup, not a computation: equal, except for the last bit"),
    "int8": _snr(35, "rows rounded to 8 bits leave 43 dB; a scale that is 5 % off leaves 26"),
    "int4": _snr(15, "groups rounded to 4 bits leave about 20 dB, so only a scale that is 20 % off shows here"),
}
VISION = {
    "fp32": _snr(70, "float32 sums in another order leave 123 dB; CLIP's full tower has four times the layers"),
    "int8": _snr(
        20,
        "8-bit weights and activations leave 36 dB here, with outliers × 50 too, and 39 in random layers of CLIP's size",
    ),
    "int4": _snr(
        10, "4-bit weights leave 27 dB here, and 20 in random layers of CLIP's size; two layers swapped leave 3"
    ),
}
PROJECTOR = {
    "fp32": _snr(70, "float32 sums in another order leave 138 dB"),
    "int8": _snr(25, "two 8-bit linears leave 46 dB; without the residual the result is unrelated to the reference"),
    "int4": _snr(15, "two 4-bit linears leave 24 dB; a scale that is 20 % off leaves 7"),
}
# Image embeddings of one bundle on two machines.
MACHINES = {
    "fp32": _snr(70, "float32 sums in another order"),
    "int8": _snr(
        25, "some activations are rounded the other way: 44 dB between x86 and ARM kernels at CLIP's full width"
    ),
    "int4": _snr(25, "as int8: activations are rounded in the same way"),
}
# Logits of one bundle on two machines with the same input; each has its own cache.
MACHINE_LOGITS = {
    "fp32": Limit("median_snr_db", 70, "float32 sums in another order"),
    "int8": Limit("median_snr_db", 35, "some activations are rounded the other way"),
    "int4": Limit("median_snr_db", 35, "some activations are rounded the other way"),
}
_OWN_FP32 = (70, "float32 sums in another order leave 130 dB; positions off by one leave 25")
_OWN_ROUNDED = (
    35,
    "both sides round alike: 140 dB, and 40 where many values are rounded the other way; positions off by one leave 23 to 28",
)
DECODER = {
    "fp32": _decoder((1e-5, "float32 sums in another order leave 1e-13 nats"), 0.99, _OWN_FP32, 0.95),
    "int8": _decoder(
        (0.01, "8-bit weights and activations leave 1e-4 nats here; a real decoder is six times as deep"),
        0.95,
        _OWN_ROUNDED,
        0.85,
    ),
    "int4": _decoder(
        (0.03, "4-bit weights leave 0.004 nats here, with outliers × 50 too; two layers swapped leave 7"),
        0.9,
        _OWN_ROUNDED,
        0.75,
    ),
}
PIXELS = Limit("max_abs", 0, "integers made by one rule on both sides: equal or wrong", at_most=True)
TOKEN_IDS = Limit("same", 1, "integers made by one rule on both sides: equal or wrong")


def require_known(recipe: Mapping[str, object], where: object) -> None:
    """Raise ParityError unless ``recipe``, from the manifest of the bundle ``where``, gives each part a scheme with known limits."""
    layers = recipe.get("llm_layers", "")
    if not isinstance(layers, str):
        raise ParityError(f"{where}: quantization.recipe.llm_layers: got {layers!r:.60}, expected a string")
    # Older manifests have no lm_head: it followed llm.
    parts: dict[str, Collection[str]] = {
        "llm": DECODER,
        "lm_head": DECODER,
        "vision": VISION,
        "projector": PROJECTOR,
        "embedding": EMBEDDING,
    }
    schemes = [(part, recipe.get(part, recipe.get("llm") if part == "lm_head" else None)) for part in parts]
    schemes += [("llm", item.partition("=")[2]) for item in layers.split(",") if item]
    for part, scheme in schemes:
        if not isinstance(scheme, str) or scheme not in parts[part]:
            raise ParityError(
                f"{where}: quantization.recipe.{part}: got {scheme!r:.60}, expected one of {', '.join(parts[part])}"
            )


def limits(recipe: Mapping[str, str]) -> dict[str, tuple[Limit, ...]]:
    """The limits of each stage for ``recipe``: the scheme of each part (llm, lm_head, vision, projector, embedding)."""
    decoder = decoder_limits(recipe)
    return {
        "pixels": (PIXELS,),
        "vision_encoder": (VISION[recipe["vision"]],),
        "projector": (PROJECTOR[recipe["projector"]],),
        "token_ids": (TOKEN_IDS,),
        "token_embedding": (EMBEDDING[recipe["embedding"]],),
        "prefill": (decoder.mean_kl, decoder.top1),
        "decode": (decoder.mean_kl, decoder.top1, decoder.own_prefill),
        "answer": (decoder.same_answers,),
    }


def decoder_limits(recipe: Mapping[str, str]) -> DecoderLimits:
    """The limits for the coarsest of ``recipe``'s llm, its layers and lm_head. Older manifests have no lm_head: it followed llm."""
    layers = [item.partition("=")[2] for item in recipe.get("llm_layers", "").split(",") if item]
    schemes = (recipe["llm"], recipe.get("lm_head", recipe["llm"]), *layers)
    return DECODER[max(schemes, key=list(DECODER).index)]


_ADDED = {
    "fp32": (60, "float32 sums in another order leave 124 dB; two layers that changed places leave less than 0"),
    "int8": (12, "8-bit weights and activations leave 36 to 45 dB; two layers that changed places leave less than 0"),
    "int4": (8, "4-bit weights leave 20 to 23 dB; two layers that changed places leave less than 0"),
}


def machine_limits(recipe: Mapping[str, str]) -> tuple[Limit, ...]:
    """The limits for one bundle's vision encoder, projector, token embedding, text decoder and answers on two machines."""
    return (
        MACHINES[recipe["vision"]],
        MACHINES[recipe["projector"]],
        EMBEDDING["fp32"],
        MACHINE_LOGITS[recipe["llm"]],
        decoder_limits(recipe).same_answers,
    )


def layer_limits(recipe: Mapping[str, str]) -> dict[str, Limit]:
    """The limit for what each layer adds to its input, by method, for ``recipe``."""
    return {
        method: Limit("added_snr_db", *_ADDED[recipe[part]])
        for method, part in {"vision_encoder": "vision", "text_decoder": "llm"}.items()
    }
