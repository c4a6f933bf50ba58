"""A picture's URL in a request → the pixels that the model reads. Sizes are bounded, so a request can't exhaust the machine."""

from __future__ import annotations

import base64
import binascii
import re
import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from urllib.parse import unquote_to_bytes

from torch import Tensor

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import ImageError
from mobilevlm_export.images.image_file import image_errors, opened_image
from mobilevlm_export.pixels import open_image, preprocess
from mobilevlm_host.serve.api_error import refused

MOST_PIXELS = 50_000_000  # 150 MB as RGB; cameras of phones have up to 50 million
_MOST_FETCHED = 20 << 20  # bytes
_FETCH_S = 10
_DATA_URL = re.compile(r"data:(?:image/[\w.+-]+|application/octet-stream)?((?:;[\w=.+-]+)*),", re.ASCII)
_PARAM = "messages.image_url"


def read_pixels(url: str, config: MobileVLMConfig, *, may_fetch: bool) -> Tensor:
    """The picture at ``url``: uint8 [3, S, S]. http and https are followed only if ``may_fetch``.

    Raises:
        ApiError: the URL can't be used, or what it names isn't a picture of a format and size that the server reads.
    """
    data = _data(url) if url.startswith("data:") else _fetched(url, may_fetch)
    try:
        with image_errors("image", len(data)), opened_image(data, "image") as image:
            if image.width * image.height > MOST_PIXELS:
                raise ImageError(f"image: got {image.width} x {image.height} pixels, expected at most {MOST_PIXELS}")
        return preprocess(open_image(data), config)
    except ImageError as error:
        raise refused(_PARAM, str(error).removeprefix("image: "), "invalid_image") from None


def _data(url: str) -> bytes:
    if not (head := _DATA_URL.match(url)):
        raise refused(_PARAM, f"got {url[:30]!r}…, expected data:image/…;base64,…", "invalid_image_url")
    text = url[head.end() :]
    try:
        data = base64.b64decode(text, validate=True) if head[1].endswith(";base64") else unquote_to_bytes(text)
    except (binascii.Error, ValueError):
        raise refused(_PARAM, "got a data URL whose base64 is damaged", "invalid_image_url") from None
    if not data:
        raise refused(_PARAM, "got a data URL without data", "invalid_image_url")
    return data


def _fetched(url: str, may_fetch: bool) -> bytes:
    if not re.match(r"https?://", url):
        raise refused(_PARAM, f"got {url[:30]!r}, expected a data URL", "invalid_image_url")
    if not may_fetch:
        raise refused(
            _PARAM,
            "got an http URL, which the server fetches only with --fetch-images; expected a data URL",
            "invalid_image_url",
        )
    opener = urllib.request.OpenerDirector()  # neither redirects nor proxies, files or FTP
    for handler in (urllib.request.HTTPHandler, urllib.request.HTTPSHandler, urllib.request.HTTPErrorProcessor):
        opener.add_handler(handler())
    opener.add_handler(urllib.request.HTTPDefaultErrorHandler())
    try:
        with opener.open(url, timeout=_FETCH_S) as response:
            data = _read(response)
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        raise refused(_PARAM, f"got status {error.code} from the picture's server", "invalid_image_url") from None
    except (OSError, HTTPException, ValueError):
        raise refused(_PARAM, "the picture's server can't be reached or doesn't answer", "invalid_image_url") from None
    if len(data) > _MOST_FETCHED:
        raise refused(_PARAM, f"got more than {_MOST_FETCHED} bytes, expected a smaller picture", "invalid_image_url")
    return data


def _read(response: HTTPResponse) -> bytes:
    """The body, or a byte more than is allowed; TimeoutError if it takes too long altogether."""
    data, end = bytearray(), time.monotonic() + _FETCH_S
    while len(data) <= _MOST_FETCHED and (chunk := response.read1(1 << 16)):
        data += chunk
        if time.monotonic() > end:
            raise TimeoutError
    return bytes(data)
