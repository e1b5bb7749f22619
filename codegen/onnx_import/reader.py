"""From a file, or a model in memory, to the imported graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from onnx import GraphProto, ModelProto

from codegen.errors import ModelError, UnsupportedOperatorError
from codegen.graph import Graph
from codegen.onnx_import.builder import GraphBuilder
from codegen.onnx_import.folding import fold, is_foldable
from codegen.onnx_import.inputs import input_shapes
from codegen.onnx_import.model_file import opset_of, read_model
from codegen.onnx_import.names import Names
from codegen.onnx_import.node import OnnxNode
from codegen.operator_registry import registry, supported_operators
from codegen.spec_check import check

Shapes = Mapping[str, tuple[int, ...]]


def load_graph(path: Path, shapes: Shapes | None = None) -> Graph:
    """The graph (stage `imported`) of an ONNX file, external data read from beside it.

    `shapes` gives or replaces input shapes by name. Raises ModelError, UnsupportedOperatorError or
    DynamicShapeError, each naming the file, the thing in it and the remedy.
    """
    path = Path(path)
    try:
        model = read_model(path)
        return import_model(model, directory=path.parent, shapes=shapes, name=path.stem)
    except ModelError as error:
        raise type(error)(f"{path}: {error}") from error


def import_model(
    model: ModelProto, *, directory: Path = Path(), shapes: Shapes | None = None, name: str = "model"
) -> Graph:
    """The graph (stage `imported`) of a model in memory; errors as for `load_graph`, without the file's name.

    `name` is what the graph is called where the model does not name itself.
    """
    try:
        graph = _import(model, directory, shapes or {}, name)
    except UnicodeDecodeError as error:
        raise ModelError(f"holds a name that is no UTF-8 ({error}); export it again") from error
    check(graph, "imported")
    return graph


def _import(model: ModelProto, directory: Path, shapes: Shapes, name: str) -> Graph:
    opset, proto = opset_of(model), model.graph
    if proto.sparse_initializer:
        raise ModelError("holds sparse initializers, which are not supported; export it with dense ones")
    initializers = {tensor.name: tensor for tensor in proto.initializer}
    builder = GraphBuilder(initializers, directory)
    inputs = input_shapes(proto, shapes)
    nodes = _named_nodes(proto, opset)
    builder.reserve({node.name for node in nodes}, {tensor for node in nodes for tensor in node.outputs})
    for tensor, shape in inputs.items():
        builder.add_input(tensor, shape)
    for node in nodes:
        _import_node(node, builder)
    outputs = tuple(info.name for info in proto.output)
    if not outputs or len(set(outputs)) != len(outputs):
        raise ModelError(f"lists the outputs {list(outputs)}; it must have some, each once")
    return builder.graph(proto.name or name, tuple(inputs), outputs)


def _named_nodes(proto: GraphProto, opset: int) -> list[OnnxNode]:
    """The nodes under unique names: their own, or operator and index; the second of a name gets a number."""
    names = Names()
    return [
        OnnxNode.of(node, names.take(node.name or f"{node.op_type}_{index}"), opset)
        for index, node in enumerate(proto.node)
    ]


def _import_node(node: OnnxNode, builder: GraphBuilder) -> None:
    handlers = registry().handlers
    key = (node.domain, node.op_type)
    if not node.domain and is_foldable(node, builder):
        fold(node, builder)
    elif key in handlers:
        handlers[key](node, builder)
    elif node.domain and all(domain != node.domain for domain, _ in handlers):
        raise UnsupportedOperatorError(
            f"{node.where}: it is of the operator set {node.domain!r}; only the default one of ONNX is "
            "supported: export the model without it"
        )
    else:
        raise UnsupportedOperatorError(
            f"{node.where}: operator {node.op_type} is not supported; "
            f"supported are {', '.join(supported_operators())}"
        )
    builder.finish(node)
