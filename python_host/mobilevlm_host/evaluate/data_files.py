"""Read benchmark files: JSON, JSON Lines and images; errors are one line with file, line and field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Self, TypeVar

from PIL import Image

from mobilevlm_export.errors import EvaluateError, ImageError
from mobilevlm_export.files.strict_json import JsonError, parse_json
from mobilevlm_export.images.reference_image import open_as_reference
from mobilevlm_host.evaluate.benchmark import Item, items_about

T = TypeVar("T")
_NAMES = {str: "text", int: "an integer", list: "a list", dict: "an object", bool: "true or false"}


@dataclass(frozen=True)
class DataRecord:
    """An object in a data file with its location ``where``, such as "FILE, line 3" or "FILE: KEY"."""

    where: str
    values: Mapping[str, Any]

    def get(self, field: str, kind: type[T]) -> T:
        """The value of ``field``.

        Raises:
            EvaluateError: it is missing, or not of this ``kind``.
        """
        if field not in self.values:
            raise EvaluateError(f"{self.where}: {field}: got nothing, expected {_NAMES[kind]}")
        value = self.values[field]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise EvaluateError(f"{self.where}: {field}: got {value!r:.60}, expected {_NAMES[kind]}")
        return value

    def id(self, field: str) -> str:
        """The value of ``field`` that identifies the record: text or an integer, as text."""
        value = self.values.get(field)
        if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
            raise EvaluateError(f"{self.where}: {field}: got {value!r:.60}, expected an id")
        return str(value)

    def texts(self, field: str) -> list[str]:
        """The value of ``field``: a list of texts."""
        values = self.get(field, list)
        if not all(isinstance(value, str) for value in values):
            raise EvaluateError(f"{self.where}: {field}: got {values!r:.60}, expected a list of texts")
        return values


def read_text(path: Path, what: str) -> str:
    """The text of a UTF-8 file; ``what`` describes the expected contents in errors.

    Raises:
        EvaluateError: the file can't be read, or isn't UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise EvaluateError(f"{path}: got {error.reason} at byte {error.start}, expected {what} in UTF-8") from None
    except OSError as error:
        raise EvaluateError(f"{path}: {error.strerror}, expected {what}") from None


def read_json(path: Path, kind: type[T], what: str) -> T:
    """The value of a JSON file, of type ``kind`` (dict or list); ``what`` describes the expected contents in errors.

    Raises:
        EvaluateError: the file is missing, isn't JSON, or has an empty value or one of another type.
    """
    text = read_text(path, what)
    try:
        value = parse_json(text)
    except JsonError as error:
        raise EvaluateError(f"{path}: got {error}, expected {what}") from None
    if not isinstance(value, kind) or not value:
        got = f"an empty {type(value).__name__}" if value in ({}, []) else type(value).__name__
        raise EvaluateError(f"{path}: got {got}, expected {what}")
    return value


def read_json_object(path: Path, what: str) -> dict[str, DataRecord]:
    """A JSON object of objects: key → record.

    Raises:
        EvaluateError: as ``read_json``, or a value isn't an object.
    """
    return {key: _record(f"{path}: {key}", value) for key, value in read_json(path, dict, what).items()}


def read_json_list(path: Path, what: str, values: list[Any] | None = None) -> list[DataRecord]:
    """A JSON list of objects (``values``, if the list is part of a file that was already read).

    Raises:
        EvaluateError: as ``read_json``, or an entry isn't an object.
    """
    entries = read_json(path, list, what) if values is None else values
    return [_record(f"{path}: entry {index}", value) for index, value in enumerate(entries)]


def read_json_lines(path: Path, what: str) -> list[DataRecord]:
    """The objects of a JSON Lines file, one per line; empty lines are skipped.

    Raises:
        EvaluateError: the file is missing or empty, or a line isn't a JSON object.
    """
    records = []
    for number, line in enumerate(read_text(path, what).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = parse_json(line)
        except JsonError as error:
            raise EvaluateError(f"{where}: got {error}, expected {what}") from None
        records.append(_record(where, value))
    if not records:
        raise EvaluateError(f"{path}: got no lines, expected {what}")
    return records


def unique(pairs: Iterable[tuple[str, DataRecord]], field: str) -> Iterator[tuple[str, DataRecord]]:
    """Pass on ``pairs`` of id and record.

    Raises:
        EvaluateError: an id occurs twice; the message has the location of the second.
    """
    seen = set()
    for id, record in pairs:
        if id in seen:
            raise EvaluateError(f"{record.where}: {field}: got {id!r} a second time, expected it once")
        seen.add(id)
        yield id, record


def numbered(ids: Sequence[str]) -> list[str]:
    """``ids`` made unique with a count: a, a, b → a#1, a#2, b#1."""
    seen: Counter[str] = Counter()
    unique_ids = []
    for id in ids:
        seen[id] += 1
        unique_ids.append(f"{id}#{seen[id]}")
    return unique_ids


@dataclass(frozen=True)
class ImageFolder:
    """Images by their names in the question file, relative to ``root``."""

    root: Path

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of ``names`` without a file here, once each, in order."""
        return [name for name in dict.fromkeys(names) if not self._path(name).is_file()]

    def open(self, name: str) -> Image.Image:
        """The image as RGB.

        Raises:
            EvaluateError: it is missing or damaged, or its name leaves the folder.
        """
        return open_rgb(self._path(name), str(self.root / name))

    def _path(self, name: str) -> Path:
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise EvaluateError(f"{self.root}: got an image named {name!r}, expected a name inside this folder")
        return self.root / relative


@dataclass(frozen=True, kw_only=True)
class FolderBenchmark:
    """Base class of benchmarks with a folder of images."""

    items: Sequence[Item]
    images: ImageFolder

    def about(self, pictures: Collection[str]) -> Self:
        """This benchmark restricted to questions about ``pictures``."""
        return replace(self, items=items_about(self.items, pictures))

    def missing(self) -> Sequence[str]:
        """Images that are missing in the folder."""
        return self.images.missing(item.picture for item in self.items)

    def image(self, picture: str) -> Image.Image:
        """The image as RGB.

        Raises:
            EvaluateError: it is missing or damaged.
        """
        return self.images.open(picture)


def open_rgb(source: Any, name: str) -> Image.Image:
    """An image, opened like in the authors' scripts (:func:`open_as_reference`).

    Raises:
        EvaluateError: it is missing or not a complete image.
    """
    try:
        return open_as_reference(source, name)
    except ImageError as error:
        raise EvaluateError(str(error)) from None


def _record(where: str, value: Any) -> DataRecord:
    if not isinstance(value, dict):
        raise EvaluateError(f"{where}: got {type(value).__name__}, expected an object")
    return DataRecord(where, value)
