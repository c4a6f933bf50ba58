"""OpenAI's list of messages → turns about one picture, in the order that the model's prompt has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mobilevlm_export.prompt import SYSTEM, Turn
from mobilevlm_host.serve.api_error import refused

_DETAILS = ("auto", "low")
_EMPTY: tuple[Any, ...] = (None, [], "")


def read_messages(messages: Any) -> tuple[str, tuple[Turn, ...]]:
    """The picture's URL and the turns of ``messages``; the last turn has no answer.

    The first message of the user has the picture. It stands before the text in the prompt, wherever it is in the message. Several
    texts of a message are joined by newlines.

    Raises:
        ApiError: the messages are malformed, or can't be a conversation with this model.
        PromptError: a question is empty.
    """
    if not isinstance(messages, list) or not messages:
        raise refused("messages", "expected a list with at least one message of the user")
    image_url: str | None = None
    turns: list[Turn] = []
    question: str | None = None
    for at, message in enumerate(messages):
        place = f"messages[{at}]"
        if not isinstance(message, dict):
            raise refused(place, "expected an object with role and content")
        role = message.get("role")
        _require_plain(message, place)
        if role in ("system", "developer"):
            _require_own_system(message, place, at)
        elif role == "user":
            if question is not None:
                raise refused(place, "got two messages of the user in a row, expected an answer between them")
            question, urls = _user_content(message.get("content"), place)
            if len(urls) > 1 or (urls and (image_url or turns)):
                raise refused(
                    place,
                    "got a second picture, or one after the first question; expected one in the first message",
                    "unsupported_value",
                )
            if not turns and not urls:
                raise refused(
                    place, "got no picture, expected an image_url in the first message: the model's prompt has one"
                )
            image_url = urls[0] if urls else image_url
        elif role == "assistant":
            if question is None:
                raise refused(place, "got an answer without a question, expected a message of the user before it")
            turns.append(Turn(question, _assistant_content(message.get("content"), place)))
            question = None
        else:
            raise refused(place, f"got the role {role!r:.40}, expected user or assistant", "unsupported_value")
    if question is None or image_url is None:
        raise refused("messages", "expected the last message to be the user's")
    return image_url, (*turns, Turn(question))


def _require_plain(message: Mapping[str, Any], place: str) -> None:
    for name, value in message.items():
        if name not in ("role", "content") and value not in _EMPTY:
            raise refused(f"{place}.{name:.40}", "the model's prompt has no place for it; omit it", "unsupported_value")


def _require_own_system(message: Mapping[str, Any], place: str, at: int) -> None:
    content = message.get("content")
    text = "\n".join(_texts(content, place)) if isinstance(content, list) else content
    if at or (text or SYSTEM) != SYSTEM:
        raise refused(
            place,
            "got instructions, but the model was trained with fixed ones; put them into the question",
            "unsupported_value",
        )


def _user_content(content: Any, place: str) -> tuple[str, list[str]]:
    """The text and the URLs of pictures in a message of the user."""
    if isinstance(content, str):
        return content, []
    if not isinstance(content, list):
        raise refused(f"{place}.content", "expected a text, or a list of text and image_url")
    texts, urls = [], []
    for number, part in enumerate(content):
        where = f"{place}.content[{number}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind == "image_url":
            urls.append(_image_url(part.get("image_url"), where))
        else:
            raise refused(where, f"got a part of type {kind!r:.40}, expected text or image_url", "unsupported_value")
    return "\n".join(texts), urls


def _image_url(value: Any, where: str) -> str:
    if not isinstance(value, dict) or not isinstance(value.get("url"), str):
        raise refused(f"{where}.image_url", "expected an object with a url")
    if (detail := value.get("detail") or "auto") not in _DETAILS:
        raise refused(
            f"{where}.image_url.detail",
            f"got {detail!r:.40}, expected auto or low: the model reads one size",
            "unsupported_value",
        )
    return value["url"]


def _assistant_content(content: Any, place: str) -> str:
    if isinstance(content, list):
        return "".join(_texts(content, place))
    if not isinstance(content, str):
        raise refused(f"{place}.content", "expected the answer's text")
    return content


def _texts(content: list[Any], place: str) -> list[str]:
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise refused(f"{place}.content", "expected only parts of type text", "unsupported_value")
    return [part["text"] for part in content]
