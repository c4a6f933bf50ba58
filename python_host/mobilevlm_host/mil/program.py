"""Read a saved Core ML package: its functions, their inputs, states and outputs, and their operations in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from google.protobuf.message import DecodeError

from mobilevlm_export.errors import MilError
from mobilevlm_export.files.strict_json import read_json
from mobilevlm_host.mil.protos import model_pb2
from mobilevlm_host.mil.values import Blob, Constant, TensorType, WeightFiles, constant, tensor_type

Precision = Literal["fp16", "fp32"]


@dataclass(frozen=True)
class Operation:
    """One operation: its arguments (names of values, or constants) by parameter, and its outputs."""

    kind: str
    name: str
    inputs: Mapping[str, tuple[str | Constant, ...]]
    outputs: tuple[tuple[str, TensorType], ...]

    @property
    def is_constant(self) -> bool:
        """Whether its value is fixed in the program: a ``const``, or a compressed weight."""
        return self.kind == "const" or self.kind.startswith("constexpr_")


@dataclass(frozen=True)
class ImageInput:
    """An image input: its size in pixels, and its colors (RGB, BGR or GRAYSCALE)."""

    height: int
    width: int
    colors: str

    @property
    def channels(self) -> int:
        """The number of values per pixel."""
        return 1 if self.colors.startswith("GRAY") else 3


@dataclass(frozen=True)
class Signature:
    """A saved function: its inputs, states and outputs with their types, and its operations in an order that can be run."""

    name: str
    inputs: Mapping[str, TensorType]
    images: Mapping[str, ImageInput]
    states: Mapping[str, TensorType]
    outputs: Mapping[str, TensorType]
    operations: tuple[Operation, ...]

    def counts(self) -> dict[str, int]:
        """The number of operations of each kind, most frequent first, without constants."""
        return dict(Counter(each.kind for each in self.operations if each.kind != "const").most_common())

    def blobs(self) -> Iterator[tuple[str, Blob]]:
        """Each use of the weight file, with its kind: ``fp16``, or a compression with its element type."""
        users = {
            source: each.kind
            for each in self.operations
            if each.kind.startswith("constexpr_")
            for sources in each.inputs.values()
            for source in sources
            if isinstance(source, str)
        }
        for each in self.operations:
            for sources in each.inputs.values():
                for source in sources:
                    if isinstance(source, Blob):
                        user = users.get(each.outputs[0][0], each.kind)
                        kind = user.removeprefix("constexpr_")
                        yield (
                            (source.type.dtype.name if user == "const" else f"{kind} {source.type.dtype.name}"),
                            source,
                        )


@dataclass(frozen=True)
class Package:
    """An ``.mlpackage`` that contains an ML Program."""

    path: Path
    functions: Mapping[str, Signature]
    default_function: str

    def weight_bytes(self) -> dict[str, int]:
        """Bytes of the weight file by kind; weights shared by functions count once."""
        seen: dict[tuple[Path, int], tuple[str, Blob]] = {}
        for function in self.functions.values():
            for kind, blob in function.blobs():
                seen[blob.file.path, blob.offset] = kind, blob
        sizes: Counter[str] = Counter()
        for kind, blob in seen.values():
            sizes[kind] += blob.bytes
        return dict(sizes.most_common())


def read_package(path: Path) -> Package:
    """Read the package ``path``; weights stay in their file until they are used.

    Raises:
        MilError: it isn't a package with an ML Program, is damaged, or uses a type that this evaluator doesn't support.
    """
    spec_path = _model_file(path)
    spec = model_pb2().Model()
    try:
        spec.ParseFromString(spec_path.read_bytes())
    except (DecodeError, OSError) as error:
        raise MilError(f"{spec_path}: can't be read ({str(error).splitlines()[0]}), expected a Core ML model") from None
    if (kind := spec.WhichOneof("Type")) != "mlProgram":
        raise MilError(f"{path}: got a model of the kind {kind}, expected an ML Program")
    weights = WeightFiles(spec_path.parent)
    described = {each.name: each for each in spec.description.functions}
    functions = {
        name: _function(name, proto, described.get(name, spec.description), weights, path)
        for name, proto in spec.mlProgram.functions.items()
    }
    if not functions:
        raise MilError(f"{path}: got no functions, expected at least one")
    default = spec.description.defaultFunctionName or ("main" if "main" in functions else next(iter(functions)))
    return Package(path, dict(sorted(functions.items())), default)


def _model_file(path: Path) -> Path:
    if path.suffix == ".mlmodelc":
        raise MilError(f"{path}: got a compiled model, expected the .mlpackage it was compiled from")
    if not path.is_dir():
        raise MilError(f"{path}: no such folder, expected a Core ML package NAME.mlpackage")
    manifest = path / "Manifest.json"
    try:
        values = read_json(manifest)
        inside = values["itemInfoEntries"][values["rootModelIdentifier"]]["path"]
        model = path / "Data" / inside
        contained = model.resolve().is_relative_to(path.resolve()) and model.is_file()
    except (OSError, ValueError, KeyError, TypeError):
        raise MilError(f"{manifest}: can't be read, expected the manifest of a Core ML package") from None
    if not contained:
        raise MilError(f"{manifest}: got the model {inside!r}, expected a file inside the package")
    return model


def _function(name: str, proto: Any, described: Any, weights: WeightFiles, path: Path) -> Signature:
    where = f"{path}: {name}"
    block = proto.block_specializations.get(proto.opset)
    if block is None:
        raise MilError(f"{where}: got no operations for {proto.opset or 'its opset'}, expected some")
    operations = tuple(_operation(each, weights, where) for each in block.operations)
    types = {output: of_type for each in operations for output, of_type in each.outputs}
    declared = {each.name: (each.type, tensor_type(each.type, f"{where}: {each.name}")) for each in proto.inputs}
    states = {key: value for key, (kind, value) in declared.items() if kind.WhichOneof("type") == "stateType"}
    inputs = {key: value for key, (_, value) in declared.items() if key not in states}
    if missing := [output for output in block.outputs if output not in types | inputs]:
        raise MilError(f"{where}: got the output {missing[0]!r}, expected an output of an operation")
    outputs = {output: (types | inputs)[output] for output in block.outputs}
    images = {
        each.name: _image(each.type.imageType)
        for each in described.input
        if each.type.WhichOneof("Type") == "imageType" and each.name in inputs
    }
    return Signature(name, inputs, images, states, outputs, operations)


def _image(proto: Any) -> ImageInput:
    return ImageInput(int(proto.height), int(proto.width), proto.ColorSpace.Name(proto.colorSpace))


def _operation(proto: Any, weights: WeightFiles, where: str) -> Operation:
    outputs = tuple((each.name, tensor_type(each.type, f"{where}: {each.name}")) for each in proto.outputs)
    name = (
        outputs[0][0] if outputs else next((value.name for arg in proto.inputs.values() for value in arg.arguments), "")
    )
    at = f"{where}: {proto.type} {name}"
    if proto.blocks:
        # Nested operations aren't read: they are unsupported, and the error names the operation itself.
        return Operation(proto.type, name, {}, outputs)
    inputs = {
        key: tuple(
            binding.name if binding.WhichOneof("binding") == "name" else constant(binding.value, weights, at)
            for binding in argument.arguments
        )
        for key, argument in proto.inputs.items()
    }
    # For iOS 16, the parameters of compressed weights are attributes, like the value of a const.
    attributes = {key: (constant(value, weights, at),) for key, value in proto.attributes.items() if key != "name"}
    return Operation(proto.type, name, inputs | attributes, outputs)
