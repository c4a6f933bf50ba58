"""Core ML Tools' private parts that the kit uses."""

from __future__ import annotations

from mobilevlm_export.dependencies.private_api import PrivateApi

SEEN_IN = "9.0"
# Writes a program without the passes of a conversion, each of which would copy every weight.
TO_PROTO = PrivateApi(
    "coremltools", SEEN_IN, "coremltools.converters.mil.backend.mil.load", "load", "writes a program and its weights"
)
# In the message of the RuntimeError that its writer of weights raises, whatever the system said: hardly anything but a full disk.
WEIGHTS_NOT_WRITTEN = "FileWriter"
