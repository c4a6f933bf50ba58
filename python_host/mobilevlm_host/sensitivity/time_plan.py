"""How many samples and calibration images fit into a time, from how long the fp32 model takes for one.

The factors below are counted from the steps of a measurement. With them a 1.7B that was to take 30 minutes took 33.
"""

from __future__ import annotations

from dataclasses import dataclass

MINUTES = 30
_TOWER_RUNS, _DECODER_RUNS = 4, 20  # for each sample, from the reference to the last recipe
_CALIBRATION_RUNS = 5  # of the whole model for each image, in both quantized copies
_ROUNDING_RUNS = 30  # of the whole model take as long as the rest of quantizing
_CALIBRATION_SHARE = 0.3  # of the time
_LEAST_IMAGES = 4


@dataclass(frozen=True)
class Timing:
    """Seconds that the fp32 model takes for one sample: the tower, the decoder over all tokens, and decoding the answer."""

    tower: float
    decoder: float
    answer: float


@dataclass(frozen=True)
class TimePlan:
    """How many ``samples`` to measure, and how many images to calibrate with."""

    samples: int
    calibration_images: int


def plan(timing: Timing, seconds: float, *, samples: int, images: int) -> TimePlan:
    """The plan for ``seconds`` from now on, with at most ``samples`` and calibration ``images``; at least one sample is measured."""
    once = timing.tower + timing.decoder
    calibrating = int(_CALIBRATION_SHARE * seconds / (_CALIBRATION_RUNS * once))
    images = min(images, max(_LEAST_IMAGES, calibrating))
    left = seconds - once * (_ROUNDING_RUNS + _CALIBRATION_RUNS * images)
    each = timing.answer + _TOWER_RUNS * timing.tower + _DECODER_RUNS * timing.decoder
    return TimePlan(max(1, min(samples, int(left / each))), images)
