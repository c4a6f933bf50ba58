"""The evaluated system: a bundle, or the fp32 model of a checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import torch

from mobilevlm_export import prompt
from mobilevlm_export.bundle.artifact_hash import artifact_hashes, artifact_sha256
from mobilevlm_export.bundle.manifest import MANIFEST
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.load import checkpoint_sha256, load_checkpoint
from mobilevlm_export.checkpoint.resolve import resolve_checkpoint
from mobilevlm_export.errors import EvaluateError
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.published_config import read_config
from mobilevlm_export.tokenizer import checkpoint_tokenizer
from mobilevlm_host.ask.conversation import Conversation, ModelSpec
from mobilevlm_host.engines.choose import chosen_backend, computed_by, open_methods
from mobilevlm_host.engines.generation import MethodsGeneration
from mobilevlm_host.engines.methods import Methods
from mobilevlm_host.engines.torch_methods import TorchMethods


@dataclass(frozen=True)
class Source:
    """A system as named by the user: plain data that any process can open. ``threads`` is for answering; None: the engine's
    choice. ``backend`` selects a bundle's artifact; None: executorch if present, else the other.
    """

    name: str
    vision_tower: Path | None = None
    threads: int | None = None
    backend: str | None = None

    def absolute(self) -> Source:
        """The same with an absolute path, for a process with another current folder."""
        name = str(Path(self.name).absolute()) if Path(self.name).exists() else self.name
        return replace(self, name=name, vision_tower=self.vision_tower and self.vision_tower.absolute())


@dataclass(frozen=True)
class System:
    """An opened system. ``sha256`` hashes everything that determines its answers; ``load`` loads its weights for a conversation;
    ``note`` explains, where necessary, what its answers can and can't show; ``artifact_sha256`` identifies a bundle's program.
    """

    source: Source
    sha256: str
    spec: ModelSpec
    load: Callable[[], Conversation]
    note: str = ""
    artifact_sha256: str = ""

    @property
    def name(self) -> str:
        """The name given by the user."""
        return self.source.name


@contextmanager
def open_system(source: Source, progress: Progress = silent) -> Iterator[System]:
    """Open the bundle or checkpoint ``source``; a bundle is verified, a checkpoint hashed.

    Raises:
        EvaluateError: it is a checkpoint, but ``backend`` selects an artifact of a bundle.
        BundleError: it is a damaged bundle, or one without the requested artifact.
        CheckpointError: it is neither a bundle nor a readable checkpoint.
    """
    path = Path(source.name)
    if path.suffix in (".mvlm", ".zip") or (path / MANIFEST).is_file():
        with Bundle.open(path, progress) as bundle:
            yield _bundle_system(source, bundle, progress)
    else:
        if source.backend:
            raise EvaluateError(
                f"{source.name}: got a checkpoint with the backend {source.backend}, expected a bundle for a backend"
            )
        yield _checkpoint_system(source, resolve_checkpoint(source.name, progress), progress)


def _bundle_system(source: Source, bundle: Bundle, progress: Progress) -> System:
    manifest, backend = bundle.manifest, chosen_backend(bundle, source.backend)
    by, hashes = computed_by(backend), artifact_hashes(manifest, backend)
    spec = ModelSpec.of(bundle)

    def load() -> Conversation:
        return _conversation(open_methods(bundle, backend, source.threads, progress), spec)

    others = [by.engine] if by.engine != "executorch" else []
    others += list(astuple(manifest.template)) if manifest.template != prompt.V1 else []
    sha256 = _digest(["bundle", *hashes, manifest.max_context, *others])
    return System(source, sha256, spec, load, by.shows, artifact_sha256(manifest, backend))


def _checkpoint_system(source: Source, folder: Path, progress: Progress) -> System:
    config = read_config(folder, source.vision_tower)
    context = config.llm.max_position_embeddings
    spec = ModelSpec(checkpoint_tokenizer(folder), config, max_context=context, max_prefill=context)
    folders = [folder] if source.vision_tower is None else [folder, source.vision_tower]

    def load() -> Conversation:
        if source.threads is not None:
            torch.set_num_threads(source.threads)
        model = load_checkpoint(folder, vision_tower=source.vision_tower, progress=progress)
        return _conversation(TorchMethods(model), spec)

    sha256 = _digest(["checkpoint", *(checkpoint_sha256(each, progress) for each in folders)])
    return System(source, sha256, spec, load)


def _conversation(methods: Methods, spec: ModelSpec) -> Conversation:
    engine = MethodsGeneration(methods, pieces=spec.tokenizer.vocab_size, max_prefill=spec.max_prefill)
    return Conversation(engine, spec)


def _digest(values: list[str | int]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
