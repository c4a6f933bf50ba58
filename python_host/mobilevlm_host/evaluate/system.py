"""What is evaluated: a bundle, or the fp32 model of a checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mobilevlm_export import prompt
from mobilevlm_export.bundle.manifest import MANIFEST
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.load import checkpoint_sha256, load_checkpoint
from mobilevlm_export.checkpoint.resolve import resolve_checkpoint
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import EvaluateError
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.published_config import read_config
from mobilevlm_export.tokenizer import Tokenizer, checkpoint_tokenizer
from mobilevlm_host.engines.choose import chosen_backend, computed_by, open_methods
from mobilevlm_host.evaluate.answerer import Answerer, TorchMethods


@dataclass(frozen=True)
class Source:
    """A system as a user names it: plain data that any process can open. ``threads`` is for the answers; None: as many as the
    engine takes. ``backend`` is which of a bundle's artifacts answers; None: executorch if it is there, else what is.
    """

    name: str
    vision_tower: Path | None = None
    threads: int | None = None
    backend: str | None = None

    def absolute(self) -> Source:
        """The same, for a process with another current folder."""
        name = str(Path(self.name).absolute()) if Path(self.name).exists() else self.name
        return replace(self, name=name, vision_tower=self.vision_tower and self.vision_tower.absolute())


@dataclass(frozen=True)
class System:
    """An opened system. ``sha256`` is over all that decides its answers; ``max_context`` is its longest conversation in tokens;
    ``load`` brings its weights into memory; ``note`` says what its answers show and what they can't,
    if that needs saying.
    """

    source: Source
    sha256: str
    tokenizer: Tokenizer
    config: MobileVLMConfig
    max_context: int
    load: Callable[[], Answerer]
    note: str = ""
    template: prompt.Template = prompt.V1

    @property
    def name(self) -> str:
        """As the user names it."""
        return self.source.name

    def prompt_tokens(self, question: str) -> int:
        """Tokens of the whole prompt that asks ``question``, the image's included."""
        before, _, after = prompt.encode_segments(self.tokenizer, [prompt.Turn(question)], self.template)
        assert isinstance(before, list)
        assert isinstance(after, list)
        return len(before) + self.config.image_tokens + len(after)


@contextmanager
def open_system(source: Source, progress: Progress = silent) -> Iterator[System]:
    """Open the bundle or checkpoint ``source``; a bundle is verified, a checkpoint hashed.

    Raises:
        EvaluateError: it is a checkpoint, and ``backend`` says which artifact of a bundle.
        BundleError: it is a damaged bundle, or one without the artifact that is asked for.
        CheckpointError: it is neither a bundle nor a checkpoint that can be read.
    """
    path = Path(source.name)
    if path.suffix in (".mvlm", ".zip") or (path / MANIFEST).is_file():
        with Bundle.open(path, progress) as bundle:
            yield _bundle_system(source, bundle)
    else:
        if source.backend:
            raise EvaluateError(
                f"{source.name}: got a checkpoint and the backend {source.backend}, expected a bundle for that"
            )
        yield _checkpoint_system(source, resolve_checkpoint(source.name, progress), progress)


def _bundle_system(source: Source, bundle: Bundle) -> System:
    manifest, backend = bundle.manifest, chosen_backend(bundle, source.backend)
    by, tokenizer_file = computed_by(backend), str(bundle.tokenizer().relative_to(bundle.path))
    # Not golden/, nor another backend's program: they say nothing else to a question.
    hashes = [
        entry.sha256
        for entry in manifest.files
        if entry.path == tokenizer_file or _belongs(entry.path, bundle, backend)
    ]
    tokenizer = Tokenizer(bundle.tokenizer())

    def load() -> Answerer:
        return Answerer(
            open_methods(bundle, backend, source.threads),
            tokenizer,
            bundle.config,
            max_context=manifest.max_context,
            max_prefill=manifest.max_prefill,
            template=manifest.template,
        )

    others = [by.engine] if by.engine != "executorch" else []
    others += list(astuple(manifest.template)) if manifest.template != prompt.V1 else []
    sha256 = _digest(["bundle", *hashes, manifest.max_context, *others])
    return System(source, sha256, tokenizer, bundle.config, manifest.max_context, load, by.shows, manifest.template)


def _belongs(path: str, bundle: Bundle, backend: str) -> bool:
    """Whether the file ``path`` of ``bundle`` is part of the artifact for ``backend``."""
    made: Any = bundle.manifest.values["artifacts"][backend]
    parts = [made, *(part for part in made.values() if isinstance(part, dict))]
    return any(path == part.get("file") or path.startswith(f"{part.get('package')}/") for part in parts)


def _checkpoint_system(source: Source, folder: Path, progress: Progress) -> System:
    config = read_config(folder, source.vision_tower)
    tokenizer = checkpoint_tokenizer(folder)
    context = config.llm.max_position_embeddings
    folders = [folder] if source.vision_tower is None else [folder, source.vision_tower]

    def load() -> Answerer:
        if source.threads is not None:
            torch.set_num_threads(source.threads)
        model = load_checkpoint(folder, vision_tower=source.vision_tower, progress=progress)
        return Answerer(TorchMethods(model), tokenizer, config, max_context=context, max_prefill=context)

    sha256 = _digest(["checkpoint", *(checkpoint_sha256(each, progress) for each in folders)])
    return System(source, sha256, tokenizer, config, context, load)


def _digest(values: list[str | int]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
