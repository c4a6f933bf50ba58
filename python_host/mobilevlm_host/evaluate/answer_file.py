"""A system's answers to a benchmark in a JSON Lines file: a header line that identifies both, then one answer per line.

Answers are appended as they are given, so a killed run resumes where it stopped; an incomplete last line is dropped. The
header prevents mixing the answers of two systems, or to two sets of questions, in one file.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import zlib
from codecs import BOM_UTF8
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from mobilevlm_export.errors import EvaluateError
from mobilevlm_export.files.strict_json import JsonError, parse_json
from mobilevlm_host.evaluate.benchmark import Benchmark

_BEGIN = b'{"benchmark"'
_ANOTHER = "choose another file with --predictions"


@dataclass(frozen=True)
class Header:
    """The first line. ``questions`` counts the whole benchmark, of which a file may contain a part; ``questions_sha256`` hashes
    its ids, images, prompts and maximum answer length; ``system_sha256`` everything that determines the system's answers.
    """

    benchmark: str
    questions: int
    questions_sha256: str
    system: str
    system_sha256: str

    @classmethod
    def of(cls, benchmark: Benchmark, system: str, system_sha256: str) -> Header:
        """The header for answers of ``system`` to all of ``benchmark``."""
        asked = [benchmark.max_new_tokens, [[item.id, item.picture, item.prompt] for item in benchmark.items]]
        digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
        return cls(benchmark.name, len(benchmark.items), digest, system, system_sha256)

    def require_questions(self, path: Path, expected: Header) -> None:
        """Raise EvaluateError if this header, of the file ``path``, is for other questions than ``expected``."""
        if self.benchmark != expected.benchmark:
            raise EvaluateError(f"{path}: got answers to {self.benchmark}, expected {expected.benchmark}; {_ANOTHER}")
        if self.questions_sha256 != expected.questions_sha256:
            raise EvaluateError(
                f"{path}: got answers to other questions of {self.benchmark} ({self.questions}, "
                f"{self.questions_sha256[:12]}…), expected {expected.questions} ({expected.questions_sha256[:12]}…); {_ANOTHER}"
            )

    def require_system(self, path: Path, expected: Header) -> None:
        """Raise EvaluateError if this header, of the file ``path``, is for another system than ``expected``."""
        if self.system_sha256 != expected.system_sha256:
            raise EvaluateError(
                f"{path}: got answers of {self.system} ({self.system_sha256[:12]}…), "
                f"expected {expected.system} ({expected.system_sha256[:12]}…); {_ANOTHER}"
            )


def has_header(path: Path) -> bool:
    """Whether ``path`` starts like a predictions file of ``mvlm evaluate``; false if it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(BOM_UTF8) + len(_BEGIN)).removeprefix(BOM_UTF8).startswith(_BEGIN)
    except OSError:
        return False


def read_answer_file(path: Path) -> tuple[Header, dict[str, str]]:
    """The header and the answers (item id → text) in the file ``path``.

    Raises:
        EvaluateError: it is missing, isn't such a file, or answers a question twice.
    """
    try:
        header, answers, _ = _parse(path, path.read_bytes())
    except OSError as error:
        raise EvaluateError(f"{path}: {error.strerror}, expected a predictions file") from None
    if header is None:
        raise EvaluateError(f"{path}: got an empty file, expected predictions")
    return header, answers


class AnswerFile:
    """A predictions file opened for appending; a context manager that locks the file for one process."""

    def __init__(self, path: Path, header: Header) -> None:
        """Open ``path``, or start it with ``header``; an incomplete last line is dropped.

        Raises:
            EvaluateError: it can't be written, isn't a predictions file, is for other questions or another system, or is
                locked by another run.
        """
        self.path = path
        self._file = _open_locked(path)
        try:
            self._file.seek(0)
            found, self.answers, sound = _parse(path, self._file.read())
            if found is not None:
                found.require_questions(path, header)
                found.require_system(path, header)
            self._file.truncate(sound)
            self._file.seek(0, 2)
            if found is None:
                self._write(asdict(header))
        except BaseException:
            self._file.close()
            raise

    def add(self, id: str, answer: str) -> None:
        """Append one answer; when this returns, the answer is safe even if the process is killed."""
        if id in self.answers:
            raise EvaluateError(f"{self.path}: got a second answer to {id}, expected one")
        self._write({"id": id, "answer": answer, "crc32": _crc32(id, answer)})
        self.answers[id] = answer

    def _write(self, values: dict[str, Any]) -> None:
        self._file.write(json.dumps(values, ensure_ascii=False).encode() + b"\n")
        self._file.flush()

    def __enter__(self) -> AnswerFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _open_locked(path: Path) -> IO[bytes]:
    try:
        file = path.open("a+b")
    except OSError as error:
        raise EvaluateError(f"{path}: {error.strerror}, expected a path that can be written") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise EvaluateError(f"{path}: in use by another run, expected a separate file") from None
    return file


def _parse(path: Path, content: bytes) -> tuple[Header | None, dict[str, str], int]:
    """Header (None for an empty file), answers, and the number of bytes in complete lines."""
    sound = content.rfind(b"\n") + 1
    header: Header | None = None
    answers: dict[str, str] = {}
    for number, line in enumerate(content[:sound].split(b"\n")[:-1], 1):
        values = _object(line.removeprefix(BOM_UTF8) if number == 1 else line)
        if header is None:
            header = _header(path, values)
            continue
        match values:
            case {"id": str(id), "answer": str(answer)}:
                # Older files have no checksums.
                if values.get("crc32", expected := _crc32(id, answer)) != expected:
                    raise EvaluateError(
                        f"{path}, line {number}: got an answer to {id!r:.60} with a wrong CRC-32, expected the one in the file: it is "
                        "damaged"
                    )
                if id in answers:
                    raise EvaluateError(f"{path}, line {number}: got a second answer to {id}, expected one")
                answers[id] = answer
            case _:
                raise EvaluateError(f"{path}, line {number}: got {line[:60]!r}, expected an object with id and answer")
    begin = content.removeprefix(BOM_UTF8)
    if header is None and not (begin.startswith(_BEGIN) or _BEGIN.startswith(begin)):
        raise EvaluateError(f"{path}: got another kind of file, expected predictions of mvlm evaluate")
    return header, answers, sound


def _header(path: Path, values: Any) -> Header:
    kinds = {"questions": int}
    names = [field.name for field in fields(Header)]
    if not isinstance(values, dict) or any(not isinstance(values.get(name), kinds.get(name, str)) for name in names):
        raise EvaluateError(
            f"{path}: got another kind of file, expected predictions of mvlm evaluate ({', '.join(names)})"
        )
    return Header(**{name: values[name] for name in names})


def _crc32(id: str, answer: str) -> int:
    return zlib.crc32(f"{id}\n{answer}".encode())


def _object(line: bytes) -> Any:
    try:
        return parse_json(line)
    except JsonError:
        return None
