"""Who may talk to the server: this machine's own pages and programs, and whoever has the key."""

from __future__ import annotations

import hmac
import ipaddress
import socket
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import TextIO
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mobilevlm_host.serve.api_error import ApiError

_WITH_KEY = ("/v1/", "/props", "/metrics")  # beginnings of paths that need the key; the page and /health don't


@dataclass(frozen=True)
class AccessRules:
    """``host`` is the address that the server listens on, ``origins`` are those of other sites whose pages may ask it."""

    host: str
    api_key: str | None = None
    origins: Collection[str] = ()

    def require(self, scope: Scope, headers: Headers) -> None:
        """Check the request with ``headers`` of ``scope``.

        Raises:
            ApiError: it comes from a page that mayn't ask, or lacks the key.
        """
        host = headers.get("host", "")
        if not self._is_own_name(host):
            raise ApiError(
                403, f"Host: got {host!r:.80}, expected this machine's name or address", code="host_not_allowed"
            )
        origin = headers.get("origin")
        if origin is not None and origin != f"{scope['scheme']}://{host}" and origin not in self.origins:
            raise ApiError(
                403,
                f"Origin: got {origin!r:.80}, expected the server's own page, or one of --allow-origin",
                code="origin_not_allowed",
            )
        if self.api_key is None or scope["method"] == "OPTIONS" or not scope["path"].startswith(_WITH_KEY):
            return
        got = headers.get("authorization", "")
        if not hmac.compare_digest(got.encode(), f"Bearer {self.api_key}".encode()):
            raise ApiError(
                401,
                "Authorization: got no key or a wrong one, expected the server's",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _is_own_name(self, host: str) -> bool:
        """Whether a page can't have been given this name by somebody else (DNS rebinding): an address, or this machine's own name."""
        try:
            parts = urlsplit(f"//{host}")
        except ValueError:
            return False
        if parts.netloc != host or "@" in host:  # more than a name and a port
            return False
        name = parts.hostname or ""
        own = socket.gethostname().lower()
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in ("localhost", self.host.lower(), own, f"{own}.local")
        return True


class Access:
    """Refuses requests that ``rules`` don't allow before ``app`` sees them, and writes a line for each request to ``log``: never what
    was asked or shown.
    """

    def __init__(self, app: ASGIApp, rules: AccessRules, log: TextIO) -> None:
        self._app, self._rules, self._log = app, rules, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, begin, status = Headers(scope=scope), time.perf_counter(), 0
        origin = headers.get("origin")

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                sent = MutableHeaders(raw=message.setdefault("headers", []))
                sent["X-Content-Type-Options"] = "nosniff"
                sent["Cross-Origin-Resource-Policy"] = "same-origin"
                if origin is not None and origin in self._rules.origins:
                    sent.update(
                        {
                            "Access-Control-Allow-Origin": origin,
                            "Vary": "Origin",
                            "Cross-Origin-Resource-Policy": "cross-origin",
                        }
                    )
            await send(message)

        try:
            self._rules.require(scope, headers)
            if scope["method"] == "OPTIONS" and origin in self._rules.origins:
                allowed = {
                    "Access-Control-Allow-Methods": "GET, POST",
                    "Access-Control-Allow-Headers": "Authorization, Content-Type",
                }
                await Response(status_code=204, headers=allowed)(scope, receive, send_with_headers)
            else:
                await self._app(scope, receive, send_with_headers)
        except ApiError as error:
            await JSONResponse(error.to_json(), error.status, error.headers)(scope, receive, send_with_headers)
        finally:
            took = time.perf_counter() - begin
            outcome = status or "gone"
            path = scope["path"].encode("ascii", "backslashreplace").decode()
            print(f"{time.strftime('%H:%M:%S')} {scope['method']} {path:.80} {outcome} {took:.2f} s", file=self._log)
