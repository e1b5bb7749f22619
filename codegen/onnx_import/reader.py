"""From a file, or a model in memory, to the imported graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnx import FunctionProto, GraphProto, ModelProto, NodeProto

from codegen.errors import (
    DynamicShapeError,
    FoldingError,
    ModelError,
    ObstaclesError,
    UnsupportedOperatorError,
    UnsupportedTypeError,
)
from codegen.graph import Graph
from codegen.onnx_import.builder import GraphBuilder
from codegen.onnx_import.dequantized import dequantized
from codegen.onnx_import.expansion import function_nodes, function_of, is_function
from codegen.onnx_import.folding import fold, is_foldable
from codegen.onnx_import.inference import outer_names
from codegen.onnx_import.inputs import input_types
from codegen.onnx_import.model_file import NEWEST_OPSET, check_names, check_unique, opset_of, read_model
from codegen.onnx_import.names import Names
from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.number_rules import follow
from codegen.onnx_import.order import in_order
from codegen.onnx_import.signature import check_signature, refusal
from codegen.onnx_import.texts import texts_as_places
from codegen.operator_registry import registry
from codegen.spec_check import check
from codegen.tensor import Array

Shapes = Mapping[str, tuple[int, ...]]
OBSTACLES = (DynamicShapeError, FoldingError, UnsupportedOperatorError, UnsupportedTypeError)
"""What is said of a model that is not malformed: its other nodes can be judged all the same."""
MOST_NODES = 200_000  # with those of functions and of each turn of a loop
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
        error.args = (f"{path}: {error}",)
        raise


def input_names(path: Path) -> tuple[str, ...]:
    """The inputs of an ONNX file by name, initializers left out; raises ModelError where it cannot be read."""
    try:
        graph = read_model(path).graph
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    initializers = {tensor.name for tensor in graph.initializer}
    return tuple(info.name for info in graph.input if info.name not in initializers)


def import_model(
    model: ModelProto, *, directory: Path = Path(), shapes: Shapes | None = None, name: str = "model"
) -> Graph:
    """The graph (stage `imported`) of a model in memory; errors as for `load_graph`, without the file's name.

    `name` is what the graph is called where the model does not name itself. Of several things that are not supported
    all are told: by an ObstaclesError.
    """
    found = survey(model, directory=directory, shapes=shapes, name=name)
    if len(found.obstacles) > 1:
        raise ObstaclesError(found.obstacles)
    if found.graph is None:
        raise found.obstacles[0]
    return found.graph


@dataclass(frozen=True)
class Survey:
    """The imported graph, None where there are obstacles; `unjudged` nodes read what a node that is not supported
    writes.
    """

    graph: Graph | None
    obstacles: tuple[ModelError, ...] = ()
    unjudged: int = 0


def survey(
    model: ModelProto, *, directory: Path = Path(), shapes: Shapes | None = None, name: str = "model"
) -> Survey:
    """All that keeps a model from being imported, or its graph; raises ModelError where it is malformed."""
    try:
        found = _survey(model, directory, shapes or {}, name)
    except UnicodeDecodeError as error:
        raise ModelError(f"holds a name that is no UTF-8 ({error}); export it again") from error
    if found.graph is not None:
        check(found.graph, "imported")
    return found


def _survey(given: ModelProto, directory: Path, shapes: Shapes, name: str) -> Survey:
    model, _ = texts_as_places(given)
    opset, proto = opset_of(model), model.graph
    check_names(model)
    check_unique(proto)
    initializers = {tensor.name: tensor for tensor in proto.initializer}
    builder = GraphBuilder(initializers, directory)
    inputs, obstacles = input_types(proto, shapes)
    obstacles += _sparse(proto, builder)
    reader = _Reader(builder, {(f.domain, f.name): f for f in model.functions}, obstacles)
    builder.expand = reader.expand
    sets = {entry.domain: entry.version for entry in model.opset_import}
    nodes = reader.named(proto.node, {**sets, "": opset})
    builder.reserve({node.name for node in nodes}, {tensor for node in nodes for tensor in node.outputs})
    for tensor, type_ in inputs.items():
        builder.add_input(tensor, type_)
    for info in proto.input:
        if info.name not in inputs and info.name not in initializers:
            builder.add_unknown(info.name)
    outputs = tuple(info.name for info in proto.output)
    if not outputs or len(set(outputs)) != len(outputs):
        raise ModelError(f"lists the outputs {list(outputs)}; it must have some, each once")
    for node in _needed(nodes, outputs):
        reader.import_node(node)
    found = reader.obstacles + [
        UnsupportedTypeError(f"output {output!r} is a sequence; export the model with tensors as its outputs")
        for output in outputs
        if output in builder.sequences
    ]
    if found:
        return Survey(None, tuple(found), reader.unjudged)
    return Survey(builder.graph(proto.name or name, tuple(inputs), outputs))


def _sparse(graph: GraphProto, builder: GraphBuilder) -> list[ModelError]:
    """An error for each sparse initializer, of which nothing more is known."""
    names = [tensor.values.name for tensor in graph.sparse_initializer]
    for name in names:
        builder.add_unknown(name)
    return [
        UnsupportedTypeError(f"initializer {name!r} is sparse; export the model with dense ones")
        for name in names
    ]


def _needed(nodes: Sequence[OnnxNode], outputs: Iterable[str]) -> list[OnnxNode]:
    """The nodes that an output depends on: what nobody reads is neither computed nor judged."""
    wanted, found = set(outputs), []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.outputs):
            wanted.update(outer_names(node))
            found.append(node)
    return found[::-1]


_TYPED_BY = {"QuantizeLinear": 2, "CastLike": 1}  # the input whose element type is the result's


class _Reader:
    """Brings nodes into a builder: folded, by handlers, or as the functions that they are. Those that cannot be are
    obstacles; what they write has then the type that ONNX's own inference gives, or none.
    """

    def __init__(
        self,
        builder: GraphBuilder,
        functions: Mapping[tuple[str, str], FunctionProto],
        obstacles: Sequence[ModelError],
    ) -> None:
        self.obstacles = list(obstacles)
        self.unjudged = 0
        self._builder = builder
        self._functions = functions
        self._names = Names()
        self._depth = 0
        self._count = 0
        self._in_steps = 0

    def named(self, protos: Iterable[NodeProto], sets: Mapping[str, int]) -> list[OnnxNode]:
        """Nodes under unique names, each behind those that it reads: their own names, or operator and index; the second
        of a name gets a number.
        """
        return in_order(
            [
                OnnxNode.of(
                    node,
                    self._names.take(node.name or f"{node.op_type}_{index}"),
                    sets.get("" if node.domain == "ai.onnx" else node.domain, sets.get("", NEWEST_OPSET)),
                )
                for index, node in enumerate(protos)
            ]
        )

    def import_node(self, node: OnnxNode) -> None:
        """Emits what the node computes, or adds what keeps it from that to `obstacles`; raises ModelError where the
        model is malformed.
        """
        builder = self._builder
        check_signature(node)
        self._count += 1
        if self._count > MOST_NODES:
            raise FoldingError(
                f"{node.where}: functions, loops and branches in their place make more than {MOST_NODES} nodes; give "
                "loops smaller counts"
            )
        if builder.reads_unknown(node):
            self.unjudged += 1
            if not self._is_known(node):
                self.obstacles.append(_refusal(node))
            builder.forget(node)
            return
        try:
            builder.require_inputs(node)
            self._emit(node)
        except OBSTACLES as error:
            if self._in_steps:
                raise
            self.obstacles.append(error)
            builder.guess(node)
        builder.finish(node)

    def _is_known(self, node: OnnxNode) -> bool:
        key = (node.domain, node.op_type)
        return key in registry().handlers or key in self._functions or is_function(node)

    def _emit(self, node: OnnxNode) -> None:
        handlers, builder = registry().handlers, self._builder
        key = (node.domain, node.op_type)
        typed_by = _TYPED_BY.get(node.op_type)
        if typed_by and node.has_input(typed_by) and builder.is_narrow(node.inputs[typed_by]):
            raise node.unsupported(
                "it gives integers of 4 bits", "quantise or cast what is computed to 8 bits or more"
            )
        if not node.domain and is_foldable(node, builder):
            fold(node, builder, import_model)
            if node.op_type == "DequantizeLinear" and (origin := dequantized(node, builder)):
                builder.dequantized[node.output] = origin
        elif follow(node, builder):
            return
        elif key in handlers:  # of a model's own function too: a package may know better what to do with it
            if not handlers[key].takes_sequences:
                builder.refuse_sequences(node)
            handlers[key](node, builder)
        else:
            function = self._functions.get(key) or function_of(node, builder)
            if function is None:
                raise _refusal(node)
            protos, sets = function_nodes(node, function)
            self.expand(node, protos, sets=sets)

    def expand(
        self,
        node: OnnxNode,
        protos: Iterable[NodeProto],
        constants: Mapping[str, Array] | None = None,
        sets: Mapping[str, int] | None = None,
        *,
        is_step: bool = False,
    ) -> None:
        """Imports nodes in the place of one, which read `constants` beside its inputs. Steps are a handler's own: what
        keeps one of them from being imported is an obstacle of `node`.
        """
        for name, value in (constants or {}).items():
            self._builder.define_constant(node, name, value)
        if self._depth >= DEEPEST:
            raise node.unsupported(
                f"functions and subgraphs in it are {DEEPEST} deep", "export the model without recursion"
            )
        self._depth += 1
        self._in_steps += is_step
        try:
            for inner in self.named(protos, sets or {"": node.opset}):
                self.import_node(inner)
        finally:
            self._depth -= 1
            self._in_steps -= is_step


def _refusal(node: OnnxNode) -> UnsupportedOperatorError:
    return refusal(node, {domain for domain, _ in registry().handlers})
