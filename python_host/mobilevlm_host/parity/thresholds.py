"""How far a sound bundle may be from the fp32 model, by the scheme of the part that a stage runs.

Each limit lies between what sound bundles of the demo model and of random tiny models give and what the faults in
``tests/host/parity`` give. Rounding to b bits leaves a signal-to-noise ratio of about 6 dB a bit below the largest value of a
group; activations that are rounded too, layer upon layer, take the rest. Pixels and token ids are integers: equal or wrong.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DecoderLimits:
    """Mean KL in nats at most; at least: share of positions with the same likeliest token, share of equal answers, and
    signal to noise in dB of decoded logits to the bundle's own prefill of the same text.
    """

    mean_kl: float
    top1: float
    same_answers: float
    own_prefill_snr_db: float


# Signal to noise in dB, at least. Measured on the demo: embedding 43 (int8), vision encoder 123 (fp32) and 39 (int8),
# LDPv2 138 and 47. CLIP's full tower has four times the layers, and outliers in its activations.
EMBEDDING = {"fp32": 120.0, "int8": 35.0, "int4": 15.0}
VISION = {"fp32": 70.0, "int8": 15.0}
PROJECTOR = {"fp32": 70.0, "int8": 25.0}
# Image embeddings of one bundle on two machines, in dB at least: fp32 sums in another order; int8 rounds some activations the
# other way (44 dB was measured between x86 and ARM kernels at CLIP's true width).
MACHINES = {"fp32": 70.0, "int8": 25.0}
# Measured on the demo, mean KL: 2e-14 (fp32), 2e-5 (int8), 5e-4 (int4); the same likeliest token at 100, 100 and 99.9 % of
# positions; to its own prefill at least 129, 40 and 44 dB, while positions off by one give 23 to 28.
DECODER = {
    "fp32": DecoderLimits(mean_kl=1e-5, top1=0.99, same_answers=0.95, own_prefill_snr_db=70),
    "int8": DecoderLimits(mean_kl=0.01, top1=0.95, same_answers=0.85, own_prefill_snr_db=35),
    "int4": DecoderLimits(mean_kl=0.05, top1=0.9, same_answers=0.75, own_prefill_snr_db=35),
}
