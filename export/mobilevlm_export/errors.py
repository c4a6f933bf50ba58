"""The kit's errors. All share one root; each message is one line: what was found, what was expected, and in which file."""

from __future__ import annotations


class MobileVLMError(Exception):
    """Base class of every error that a user can cause or needs to know about. The command line prints it as one line."""


class ConfigError(MobileVLMError):
    """A configuration that no MobileVLM V2 model can have."""


class CheckpointError(MobileVLMError):
    """A checkpoint folder that isn't in the published layout, can't be read, or can't be written."""


class OutputError(MobileVLMError):
    """An output path that can't be written."""


class ImageError(MobileVLMError):
    """A file that is not an image this kit can open."""


class PromptError(MobileVLMError):
    """An invalid prompt: an empty question, malformed turns, or more tokens than fit the context."""


class QuantizeError(MobileVLMError):
    """A quantization recipe that doesn't exist or doesn't fit the model."""


class LoweringError(MobileVLMError):
    """An artifact that can't be made, or would not compute what the model computes."""


class BundleError(MobileVLMError):
    """A bundle that is damaged, unsafe, too new, or can't be written."""


class TrainError(MobileVLMError):
    """Training data or a training state that can't be used."""


class RunnerError(MobileVLMError):
    """A question that the loaded bundle can't answer."""


class ParityError(MobileVLMError):
    """A comparison that can't be made: the bundle is from another checkpoint, or there is no sample to compare."""


class CaptureError(MobileVLMError):
    """A capture or golden record that can't be read, or was made with another bundle."""


class EvaluateError(MobileVLMError):
    """Benchmark data or answers that are missing, malformed, or don't match each other."""


class MilError(MobileVLMError):
    """A saved Core ML program that can't be read or run: damaged, with unknown operations, or called with the wrong inputs."""


class ApkError(MobileVLMError):
    """An Android app (APK) that can't be read, or a program that its engine can't be checked against."""


class DependencyError(MobileVLMError):
    """A dependency isn't as the version that the kit was made with."""


class EngineError(MobileVLMError):
    """An engine that this machine can't build, start or emulate, or that failed."""
