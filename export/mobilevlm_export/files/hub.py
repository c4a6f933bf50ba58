"""What all transfers from and to the Hugging Face hub share."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mobilevlm_export.progress import Bytes, Progress

MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
TIMEOUT_S = 10.0  # for the hub's first answer


def hub_failures() -> tuple[type[Exception], ...]:
    """The exceptions of a failed transfer. The HTTP client's errors have their own base class, and the hub's library lets them through."""
    from huggingface_hub.errors import HfHubHTTPError

    return (*(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception)), OSError, ValueError)


def reason(error: Exception) -> str:
    """The first line of ``error``."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def reported_bytes(progress: Progress, stage: str) -> Any:
    """A class for the hub's ``tqdm_class``: reports bytes to ``progress`` as ``stage`` instead of drawing bars beside the kit's."""
    from huggingface_hub.utils.tqdm import tqdm

    class Reported(tqdm):
        def __init__(self, *args: Any, **given: Any) -> None:
            super().__init__(*args, **given | {"file": io.StringIO()})  # type: ignore[no-untyped-call]

        def display(self, *_: Any, **__: Any) -> bool:
            if self.unit == "B" and self.total:
                progress(stage, Bytes(min(self.n, self.total)), Bytes(self.total))
            return True

    return Reported


@contextmanager
def hub_bars_hidden() -> Iterator[None]:
    """Meanwhile the hub's library draws no bars: where it takes no ``tqdm_class``."""
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
