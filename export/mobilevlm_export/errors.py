"""The kit's errors: one root, one line each — what was got, what was expected, which file."""

from __future__ import annotations


class MobileVLMError(Exception):
    """Root of every error a user can cause or must know of. The command line prints it as one line."""


class ConfigError(MobileVLMError):
    """A configuration that no MobileVLM V2 model can have."""


class CheckpointError(MobileVLMError):
    """A checkpoint folder that can't be read as the published layout, or can't be written."""


class OutputError(MobileVLMError):
    """A place that a file can't be written to."""


class ImageError(MobileVLMError):
    """A file that is not a picture this kit can open."""


class PromptError(MobileVLMError):
    """A question that can't be asked: empty, or malformed turns."""


class QuantizeError(MobileVLMError):
    """A quantization recipe that doesn't exist or doesn't fit the model."""


class LoweringError(MobileVLMError):
    """An artifact that would not compute what the model computes, or can't be made."""


class BundleError(MobileVLMError):
    """A bundle that is damaged, unsafe, too new, or can't be written."""


class TrainError(MobileVLMError):
    """Training data or a training state that can't be used."""


class RunnerError(MobileVLMError):
    """A question that the loaded bundle can't answer."""


class ParityError(MobileVLMError):
    """A comparison that can't be made: another checkpoint's bundle, or nothing to compare on."""


class CaptureError(MobileVLMError):
    """A capture or golden record that can't be read, or was made with another bundle."""


class EvaluateError(MobileVLMError):
    """Benchmark data or answers that are missing, malformed, or don't belong together."""


class MilError(MobileVLMError):
    """A saved Core ML program that can't be read or run: damaged, of unknown operations, or given other inputs."""


class ApkError(MobileVLMError):
    """An Android app that can't be read, or a program that its engine can't be checked against."""


class DependencyError(MobileVLMError):
    """A dependency isn't as the version that the kit was made with."""
