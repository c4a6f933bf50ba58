"""``lmms-eval --model mobilevlm``: a bundle or checkpoint that answers in lmms-eval's own process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from loguru import logger
from PIL import Image
from tqdm import tqdm

from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.evaluate.system import Source, open_system

_DEFAULT_MOST = 1024  # tokens of an answer whose task names no limit, as for lmms-eval's other models


class LmmsEvalModel(lmms):  # type: ignore[misc]
    """Greedy answers, as ``mvlm evaluate`` gets them. All questions about a picture are asked together, on one KV cache."""

    def __init__(
        self,
        pretrained: str,
        backend: str | None = None,
        threads: int | None = None,
        vision_tower: str | None = None,
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        device: str | None = None,
    ) -> None:
        """``pretrained`` is a bundle or a checkpoint; ``backend``, ``threads`` and ``vision_tower`` are the options of ``mvlm
        evaluate``. lmms-eval itself passes the others, which don't change answers: questions are asked one by one.

        Raises:
            EvaluateError: ``device`` isn't the CPU, or ``backend`` is given for a checkpoint.
            BundleError, CheckpointError: ``pretrained`` can't be opened.
        """
        super().__init__()
        if device not in (None, "cpu"):
            raise EvaluateError(f"device: got {device!r}, expected cpu, or none: the backend chooses what computes")
        source = Source(str(pretrained), Path(vision_tower) if vision_tower else None, threads, backend)
        self._opened = ExitStack()
        system = self._opened.enter_context(open_system(source))
        self._conversation = self._opened.enter_context(system.load())

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """The answers to ``requests``, in their order. An answer ends before the first of its task's stop texts, and is empty if its
        question leaves no room in the context.

        Raises:
            EvaluateError: a question isn't about one picture, or its task wants answers that aren't greedy.
        """
        by_picture: dict[bytes, list[int]] = {}
        for at, request in enumerate(requests):
            _require_greedy(request)
            by_picture.setdefault(_digest(self._picture(request)), []).append(at)
        answers = [""] * len(requests)
        with tqdm(total=len(requests), desc="mobilevlm") as progress:
            for places in by_picture.values():
                self._conversation.prepare(self._picture(requests[places[0]]))
                for at in places:
                    answers[at] = self._answer(requests[at])
                    progress.update()
        return answers

    def loglikelihood(self, requests: Sequence[Instance]) -> NoReturn:
        """Refused: artifacts return the logits of one token, and tasks of this kind need all of the prompt's."""
        raise EvaluateError(f"{requests[0].task_name}: got the output type loglikelihood, expected generate_until")

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> NoReturn:
        """Refused: tasks of this kind show pictures in later turns."""
        raise EvaluateError(
            f"{requests[0].task_name}: got the output type generate_until_multi_round, expected generate_until"
        )

    def clean(self) -> None:
        """Free the engine, and close the bundle: lmms-eval calls it when all tasks are answered."""
        self._opened.close()
        super().clean()

    def _picture(self, request: Instance) -> Image.Image:
        """The picture of ``request``, decoded again each time: a benchmark's don't fit the memory."""
        _, _, doc_to_visual, doc_id, task, split = request.args
        shown = doc_to_visual(self.task_dict[task][split][doc_id]) or []
        if len(shown) != 1 or not isinstance(shown[0], Image.Image):
            got = ", ".join(type(each).__name__ for each in shown) or "nothing"
            raise EvaluateError(f"{task}: question {doc_id}: got {got} to look at, expected one picture")
        return shown[0].convert("RGB")

    def _answer(self, request: Instance) -> str:
        question, wanted = request.args[:2]
        room = min(wanted.get("max_new_tokens") or _DEFAULT_MOST, self._conversation.spec.room(question))
        if room < 1:
            logger.warning(
                f"{request.task_name}: question {request.doc_id} doesn't fit the context: its answer is empty"
            )
            return ""
        stops, text = _stops(wanted), ""
        pieces = self._conversation.ask_prepared(question, max_new_tokens=room)
        for piece in pieces:
            text += piece
            if places := [at for stop in stops if (at := text.find(stop)) >= 0]:
                pieces.close()
                return text[: min(places)]
        return text


def _digest(image: Image.Image) -> bytes:
    return sha256(repr(image.size).encode() + image.tobytes()).digest()


def _stops(wanted: Mapping[str, Any]) -> list[str]:
    until = wanted.get("until") or []
    return [until] if isinstance(until, str) else [stop for stop in until if stop]


def _require_greedy(request: Instance) -> None:
    wanted = request.args[1]
    temperature = wanted.get("temperature")
    samples = wanted.get("do_sample") if temperature is None else temperature > 0
    if samples or (wanted.get("num_beams") or 1) > 1:
        raise EvaluateError(
            f"{request.task_name}: got {wanted!r:.200}, expected greedy answers: --gen_kwargs temperature=0,num_beams=1"
        )
