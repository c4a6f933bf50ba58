"""Write a program as an ``.mlpackage`` with the metadata that Xcode shows."""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coremltools as ct
from coremltools.converters.mil.mil import Program

from mobilevlm_export import __version__
from mobilevlm_export.dependencies.coremltools_private import TO_PROTO, WEIGHTS_NOT_WRITTEN
from mobilevlm_export.errors import LoweringError

_SPECIFICATION = ct.target.iOS18.value


@dataclass(frozen=True)
class Description:
    """A package's metadata: a summary, a description of each input, output and state, and facts by name."""

    summary: str
    license: str
    features: Mapping[str, str]
    facts: Mapping[str, str]


def write_package(program: Program, description: Description, path: Path) -> None:
    """Write ``program`` to ``path``, a new folder ``NAME.mlpackage``.

    Raises:
        LoweringError: an input, output or state has no description, or the package can't be written.
    """
    weights = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        # No passes: the program was built in its final form, and each pass would copy every weight.
        spec = TO_PROTO.load()(
            program,
            str(weights),
            specification_version=_SPECIFICATION,
            convert_to="mlprogram",
            convert_from="milinternal",
        )
        _describe(spec.description, description, path)
        ct.utils.save_spec(spec, str(path), weights_dir=str(weights))
        _make_reproducible(spec, path)
    except OSError as error:
        raise LoweringError(f"{path}: can't be written: {error.strerror}") from error
    except RuntimeError as error:
        if WEIGHTS_NOT_WRITTEN not in str(error):
            raise
        raise LoweringError(f"{path}: its weights can't be written; is the disk full?") from error
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(weights, ignore_errors=True)


def _make_reproducible(spec: Any, package: Path) -> None:
    """Write again what Core ML Tools writes in another way each time: the order of maps, and random identifiers of the parts."""
    (package / "Data" / "com.apple.CoreML" / "model.mlmodel").write_bytes(spec.SerializeToString(deterministic=True))
    manifest = package / "Manifest.json"
    text = manifest.read_text(encoding="utf-8")
    for identifier, part in json.loads(text)["itemInfoEntries"].items():
        text = text.replace(identifier, str(uuid.uuid5(uuid.NAMESPACE_URL, part["path"])))
    manifest.write_text(json.dumps(json.loads(text), indent=4, sort_keys=True) + "\n", encoding="utf-8")


def _describe(model: Any, description: Description, path: Path) -> None:
    metadata = model.metadata
    metadata.author, metadata.license = "mobilevlm-kit", description.license
    metadata.versionString, metadata.shortDescription = __version__, description.summary
    metadata.userDefined.update(description.facts)
    for feature in _features(model):
        if feature.name not in description.features:
            raise LoweringError(f"{path.name}: {feature.name} has no description, expected one")
        feature.shortDescription = description.features[feature.name]


def _features(model: Any) -> Iterable[Any]:
    """Every input, output and state of all functions."""
    for owner in (model, *model.functions):
        yield from (*owner.input, *owner.output, *owner.state)
