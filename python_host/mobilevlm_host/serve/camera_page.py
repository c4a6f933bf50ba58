"""The page at ``/``: a few files in this package, and headers that let nothing out of it."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

PAGE = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def page_routes() -> list[Route]:
    """A path for each file of the page; ``/`` is its ``index.html``."""
    return [_route("/" if file.name == "index.html" else f"/{file.name}", file) for file in sorted(PAGE.iterdir())]


def _route(path: str, file: Path) -> Route:
    def serve(request: Request) -> Response:
        return FileResponse(file, headers=HEADERS, media_type=_TYPES[file.suffix])

    return Route(path, serve)
