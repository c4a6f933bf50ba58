"""What a client is told when its request can't be answered, in the form of OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mobilevlm_export.errors import MobileVLMError

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ApiError(MobileVLMError):
    """A refused or failed request: HTTP status, one line of text, and OpenAI's ``code`` and ``param`` where there is one."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """``param`` is the parameter at fault; ``headers`` go with the response."""
        super().__init__(message)
        self.status, self.code, self.param, self.headers = status, code, param, dict(headers or {})

    def to_json(self) -> dict[str, Any]:
        """The body of the response."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


def refused(param: str, message: str, code: str = "invalid_value") -> ApiError:
    """The error for a request whose parameter ``param`` can't be used: ``message`` says what was found and expected."""
    return ApiError(400, f"{param}: {message}", code=code, param=param)
