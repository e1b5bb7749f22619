"""From a file, or a model in memory, to the imported graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from onnx import FunctionProto, ModelProto, NodeProto

from codegen.errors import ModelError, UnsupportedOperatorError
from codegen.graph import Graph
from codegen.onnx_import.builder import GraphBuilder
from codegen.onnx_import.expansion import function_nodes, function_of
from codegen.onnx_import.folding import fold, is_foldable
from codegen.onnx_import.inputs import input_types
from codegen.onnx_import.model_file import NEWEST_OPSET, opset_of, read_model
from codegen.onnx_import.names import Names
from codegen.onnx_import.node import OnnxNode
from codegen.operator_registry import registry, supported_operators
from codegen.spec_check import check
from codegen.tensor import Array

Shapes = Mapping[str, tuple[int, ...]]
DEEPEST = 40  # functions and subgraphs in each other: no model that is exported comes near


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
    inputs = input_types(proto, shapes)
    reader = _Reader(builder, {(f.domain, f.name): f for f in model.functions})
    builder.expand = reader.expand
    sets = {entry.domain: entry.version for entry in model.opset_import}
    nodes = reader.named(proto.node, {**sets, "": opset})
    builder.reserve({node.name for node in nodes}, {tensor for node in nodes for tensor in node.outputs})
    for tensor, type_ in inputs.items():
        builder.add_input(tensor, type_)
    for node in nodes:
        reader.import_node(node)
    outputs = tuple(info.name for info in proto.output)
    if not outputs or len(set(outputs)) != len(outputs):
        raise ModelError(f"lists the outputs {list(outputs)}; it must have some, each once")
    return builder.graph(proto.name or name, tuple(inputs), outputs)


class _Reader:
    """Brings nodes into a builder: folded, by handlers, or as the functions that they are."""

    def __init__(self, builder: GraphBuilder, functions: Mapping[tuple[str, str], FunctionProto]) -> None:
        self._builder = builder
        self._functions = functions
        self._names = Names()
        self._depth = 0

    def named(self, protos: Iterable[NodeProto], sets: Mapping[str, int]) -> list[OnnxNode]:
        """Nodes under unique names: their own, or operator and index; the second of a name gets a number."""
        return [
            OnnxNode.of(
                node,
                self._names.take(node.name or f"{node.op_type}_{index}"),
                sets.get("" if node.domain == "ai.onnx" else node.domain, sets.get("", NEWEST_OPSET)),
            )
            for index, node in enumerate(protos)
        ]

    def import_node(self, node: OnnxNode) -> None:
        """Emits what the node computes; raises ModelError and its kin."""
        handlers, builder = registry().handlers, self._builder
        key = (node.domain, node.op_type)
        if not node.domain and is_foldable(node, builder):
            fold(node, builder)
        elif key in handlers:  # of a model's own function too: a package may know better what to do with it
            handlers[key](node, builder)
        else:
            function = self._functions.get(key) or function_of(node, builder)
            if function is None:
                raise _unsupported(node)
            protos, sets = function_nodes(node, function)
            self.expand(node, protos, sets=sets)
        builder.finish(node)

    def expand(
        self,
        node: OnnxNode,
        protos: Iterable[NodeProto],
        constants: Mapping[str, Array] | None = None,
        sets: Mapping[str, int] | None = None,
    ) -> None:
        """Imports nodes in the place of one, which read `constants` beside its inputs."""
        for name, value in (constants or {}).items():
            self._builder.define_constant(node, name, value)
        if self._depth >= DEEPEST:
            raise node.unsupported(
                f"functions and subgraphs in it are {DEEPEST} deep", "export the model without recursion"
            )
        self._depth += 1
        for inner in self.named(protos, sets or {"": node.opset}):
            self.import_node(inner)
        self._depth -= 1


def _unsupported(node: OnnxNode) -> UnsupportedOperatorError:
    if node.domain and all(domain != node.domain for domain, _ in registry().handlers):
        return UnsupportedOperatorError(
            f"{node.where}: it is of the operator set {node.domain!r}; only the default one of ONNX is "
            "supported: export the model without it"
        )
    return UnsupportedOperatorError(
        f"{node.where}: operator {node.op_type} is not supported; "
        f"supported are {', '.join(supported_operators())}"
    )
