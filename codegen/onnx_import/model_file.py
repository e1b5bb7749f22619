"""Reading and judging the file itself: bytes to a ModelProto whose versions are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto

from codegen.errors import ModelError
from codegen.onnx_import.tensors import open_data_file

MOST_FILE_BYTES = 2**31 - 1
DEFAULT_DOMAIN = ("", "ai.onnx")
OLDEST_OPSET = 7
NEWEST_OPSET = 28  # the newest whose operator definitions the handlers were compared with


def read_model(path: Path) -> ModelProto:
    """The model in a file, without external data. Raises ModelError where the file is missing or no ONNX."""
    try:
        with open_data_file(path) as file:
            data = file.read(MOST_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise ModelError("no such file; give the path of an .onnx file") from error
    except IsADirectoryError as error:
        raise ModelError("is a directory; give the path of an .onnx file") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot be read ({error}); give the path of an .onnx file") from error
    if len(data) > MOST_FILE_BYTES:
        raise ModelError("is larger than an ONNX file may be, 2 GiB; export it with external data")
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ModelError("is no ONNX model, or a truncated one; export or copy it again") from error
    if not model.ir_version or not model.HasField("graph"):
        raise ModelError("is no ONNX model: it holds no graph; export or copy it again")
    return model


def opset_of(model: ModelProto) -> int:
    """The version of the default operator set, the newest where no node is of it; raises ModelError outside the
    supported range.
    """
    versions = list({entry.version: None for entry in model.opset_import if entry.domain in DEFAULT_DOMAIN})
    if not versions and model.opset_import and all(n.domain not in DEFAULT_DOMAIN for n in model.graph.node):
        return NEWEST_OPSET
    if len(versions) != 1:
        raise ModelError(
            f"imports {len(versions)} versions of the default operator set, not one; export or copy it again"
        )
    if not OLDEST_OPSET <= versions[0] <= NEWEST_OPSET:
        raise ModelError(
            f"has operator set {versions[0]}; supported are {OLDEST_OPSET} to {NEWEST_OPSET}: "
            "export it with one of these, or convert it with onnx.version_converter"
        )
    return int(versions[0])


def check_names(model: ModelProto) -> None:
    """Raises ModelError for a name with control characters, which would reach terminals and generated code."""
    for name in _names(model.graph.node, model.graph):
        _check_name(name)
    for function in model.functions:
        for name in (
            function.name,
            function.domain,
            *function.input,
            *function.output,
            *_names(function.node),
        ):
            _check_name(name)


def check_unique(graph: GraphProto) -> None:
    """Raises ModelError where two inputs or two initializers have one name."""
    for things, what in (
        ([info.name for info in graph.input], "inputs"),
        ([tensor.name for tensor in graph.initializer], "initializers"),
    ):
        twice = [name for name, count in Counter(things).items() if count > 1]
        if twice:
            raise ModelError(f"has two {what} {twice[0]!r}; the model is malformed, export it again")


def _check_name(name: str | bytes) -> None:
    if isinstance(name, bytes):  # what the parser gives for a text that is no UTF-8
        raise ModelError(f"holds a name that is no UTF-8 ({name!r}); export it again")
    if any(character < " " or "\x7f" <= character < "\xa0" for character in name):
        raise ModelError(f"holds the name {name!r}, which has control characters; export it with other names")


def _names(nodes: Iterable[NodeProto], graph: GraphProto | None = None) -> Iterator[str]:
    if graph is not None:
        yield graph.name
        yield from (
            thing.name for things in (graph.input, graph.output, graph.initializer) for thing in things
        )
    for node in nodes:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
            if attribute.type == AttributeProto.GRAPH:
                yield from _names(attribute.g.node, attribute.g)
