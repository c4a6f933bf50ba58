"""Requests to the chat API, as clients write them."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image


def picture(seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def data_url(image: Image.Image, kind: str = "PNG") -> str:
    file = io.BytesIO()
    image.save(file, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def shown(question: str, seed: int = 0) -> dict[str, Any]:
    """The first message of a user, with a picture."""
    image = {"type": "image_url", "image_url": {"url": data_url(picture(seed))}}
    return {"role": "user", "content": [{"type": "text", "text": question}, image]}


def body(question: str = "What is this?", seed: int = 0, **more: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [shown(question, seed)], "max_tokens": 12, **more}
