"""Listen on a port until the user or the system ends the command."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mobilevlm_export.errors import EngineError
from mobilevlm_host.serve.access import Access
from mobilevlm_host.serve.answer_queue import AnswerQueue

_MOST_CONNECTIONS = 256
_UNREAD_MS = 60_000  # how long a client may read nothing of what is sent to it
_HEAD_S = 20.0  # how long a client may be connected without asking anything; twice that at most
_GRACE_S = 3


class _Connection(H11Protocol):
    """Ends if its client asks nothing: such connections would take the place of others."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._seen: object = self  # the latest request when it was last looked for
        self._look()

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self._seen is self.cycle:
            self.transport.close()
            return
        self._seen = self.cycle
        self.loop.call_later(_HEAD_S, self._look)


class _Server(uvicorn.Server):
    """Ends running answers first, so that stopping doesn't wait for them."""

    def __init__(self, config: uvicorn.Config, answers: AnswerQueue) -> None:
        super().__init__(config)
        self._answers = answers

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._answers.stop()
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on ``host`` and ``port`` (0: any free one).

    Raises:
        EngineError: the address isn't this machine's, or the port is in use.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise EngineError(f"{host}: {error.strerror}, expected a name or an address of this machine") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "linux":  # connections inherit it
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MS)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise EngineError(f"{host}:{port}: {error.strerror}; choose another --host or --port") from None
    return listening


def is_loopback(listening: socket.socket) -> bool:
    """Whether only this machine can reach ``listening``."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


@contextmanager
def server_log() -> Iterator[TextIO]:
    """Standard error, also while an engine hides what is written to its descriptor."""
    with open(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace") as log:
        yield log


def server_config(app: Access, certificate: tuple[Path, Path] | None = None) -> uvicorn.Config:
    """How to serve ``app``, by HTTPS with ``certificate`` (its file, its key's) if given."""
    cert, key = certificate or (None, None)
    return uvicorn.Config(
        app, http=_Connection, log_config=None, access_log=False, server_header=False, proxy_headers=False, lifespan="off",
        ws="none", limit_concurrency=_MOST_CONNECTIONS, timeout_graceful_shutdown=_GRACE_S, ssl_certfile=cert, ssl_keyfile=key,
    )  # fmt: skip


def run_server(
    app: Access, answers: AnswerQueue, listening: socket.socket, log: TextIO, certificate: tuple[Path, Path] | None
) -> None:
    """Serve ``app`` on ``listening`` until SIGINT or SIGTERM, by HTTPS with ``certificate`` (its file, its key's) if given.

    Raises:
        EngineError: the certificate can't be used.
    """
    config = server_config(app, certificate)
    handler = logging.StreamHandler(log)
    handler.setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addHandler(handler)
    logging.getLogger("uvicorn.error").propagate = False
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or str(error)
        raise EngineError(
            f"{config.ssl_certfile}: {reason.splitlines()[0]}, expected a certificate and its key in PEM"
        ) from None
    try:
        _Server(config, answers).run([listening])
    finally:
        logging.getLogger("uvicorn.error").removeHandler(handler)
        answers.close()
