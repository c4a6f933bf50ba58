"""The body of a request, as far as a server can afford to read it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Receive

from mobilevlm_host.serve.api_error import ApiError

MOST_BYTES = 32 << 20
SMALL_BYTES = 1 << 20  # a photo of a phone's browser, as the page sends it
TIMEOUT_S = 60.0


class ClientGone(Exception):  # noqa: N818  nothing is wrong
    """The client closed the connection."""


async def read_body(receive: Receive, announced: str | None, grow: Callable[[], Awaitable[None]]) -> bytes:
    """All of the body, of which the client ``announced`` the bytes if it could. ``grow`` is awaited, once, before it takes more than
    SMALL_BYTES.

    Raises:
        ApiError: it is too large, or doesn't end in time.
        ClientGone: the client went before its end.
    """
    if announced and announced.isdigit() and int(announced) > MOST_BYTES:
        raise _too_large(f"{int(announced)} bytes")
    data, most = bytearray(), SMALL_BYTES
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                data += message.get("body", b"")
                if len(data) > MOST_BYTES:
                    raise _too_large("more")
                if len(data) > most:
                    await grow()
                    most = MOST_BYTES
                if not message.get("more_body"):
                    return bytes(data)
    except TimeoutError:
        raise ApiError(
            408, f"body: got no end within {TIMEOUT_S:g} s", code="timeout", headers={"Connection": "close"}
        ) from None


def _too_large(got: str) -> ApiError:
    return ApiError(
        413,
        f"body: got {got}, expected at most {MOST_BYTES} bytes",
        code="body_too_large",
        headers={"Connection": "close"},
    )
