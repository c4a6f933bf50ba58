"""The identity of what a bundle answers with: neither golden records nor another backend's program matter."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from mobilevlm_export.bundle.manifest import Manifest


def artifact_hashes(manifest: Manifest, backend: str) -> list[str]:
    """The SHA-256 of each file of ``backend``'s artifact and of the tokenizer, in the manifest's order."""
    made: Any = manifest.values["artifacts"][backend]
    parts = [made, *(part for part in made.values() if isinstance(part, dict))]
    tokenizer: Any = manifest.values["tokenizer"]

    def belongs(path: str) -> bool:
        return any(path == part.get("file") or path.startswith(f"{part.get('package')}/") for part in parts)

    return [entry.sha256 for entry in manifest.files if entry.path == tokenizer["model"] or belongs(entry.path)]


def artifact_sha256(manifest: Manifest, backend: str) -> str:
    """One SHA-256 for all of :func:`artifact_hashes`: records of a bundle name it."""
    return hashlib.sha256(json.dumps(artifact_hashes(manifest, backend)).encode()).hexdigest()
