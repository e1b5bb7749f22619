"""The spec of a graph at each stage, checked after import and after every pass."""

from __future__ import annotations

from codegen.element_type import element_types
from codegen.errors import GraphSpecError
from codegen.graph import Graph, Node, type_of
from codegen.operator import Operator, Stage, Types
from codegen.operator_registry import operators_of
from codegen.operators.literal import Literal
from codegen.tensor import TensorType

# What type rules raise for parameters and ranks that no import gives: they are written for operators that it made.
_UNFIT = (GraphSpecError, ArithmeticError, LookupError, TypeError, ValueError)


def check(graph: Graph, stage: Stage) -> None:
    """Raises GraphSpecError unless all of this holds.

    Nodes are in topological order and have unique names; every tensor is written once, has a registered element type
    and, unless it is a Literal, no empty dimension; every weight exists, has a registered element type and fits its
    operator; output shapes are what the operators give; only the stage's operators occur; every output is written by a
    node; the length of one is an int64 scalar and an output as well.
    """
    _check_interface(graph)
    allowed = operators_of(stage)
    written = set(graph.inputs)
    names: set[str] = set()
    for node in graph.nodes:
        where = f"graph {graph.name!r} ({stage}), node {node.name!r}"
        if node.name in names:
            raise GraphSpecError(f"{where}: another node has that name")
        if not isinstance(node.op, allowed):
            raise GraphSpecError(
                f"{where}: {type(node.op).__name__} does not belong to this stage; "
                f"its operators: {', '.join(op.__name__ for op in allowed)}"
            )
        _check_order(node, where, written)
        _check_weights(graph, node, where)
        _check_shape(graph, node, where)
        names.add(node.name)
        written.update(node.outputs)
    computed = written - set(graph.inputs)
    for output in graph.outputs:
        if output not in computed:
            raise GraphSpecError(f"graph {graph.name!r}: no node writes output {output!r}")
    _check_lengths(graph)


def _check_interface(graph: Graph) -> None:
    for kind, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        if len(set(tensors)) != len(tensors):
            raise GraphSpecError(f"graph {graph.name!r}: an {kind} is listed twice: {tensors}")
    if not graph.outputs:
        raise GraphSpecError(f"graph {graph.name!r} has no output")
    for tensor in graph.inputs:
        _typed(graph, tensor, f"graph {graph.name!r}, input")


def _check_lengths(graph: Graph) -> None:
    for name, length in graph.lengths.items():
        is_length = graph.types.get(length.tensor) == TensorType((), "int64")
        fits = name in graph.outputs and 0 <= length.axis < len(graph.types[name].shape)
        if not fits or not is_length or length.tensor not in graph.outputs:
            raise GraphSpecError(f"graph {graph.name!r}: {name!r} has no length {length} among the outputs")


def _typed(graph: Graph, tensor: str, where: str, least: int = 1) -> TensorType:
    if tensor not in graph.types:
        raise GraphSpecError(f"{where}: tensor {tensor!r} has no type")
    type_ = graph.types[tensor]
    if type_.dtype not in element_types() or min(type_.shape, default=1) < least:
        raise GraphSpecError(
            f"{where}: tensor {tensor!r} has type {type_}, not a registered one with dimensions above 0"
        )
    return type_


def _check_order(node: Node, where: str, written: set[str]) -> None:
    for tensor in node.inputs:
        if tensor not in written:
            raise GraphSpecError(f"{where}: reads {tensor!r} before any node has written it")
    for tensor in node.outputs:
        if tensor in written:
            raise GraphSpecError(f"{where}: writes {tensor!r}, which is written already")
    if len(set(node.outputs)) != len(node.outputs) or not node.outputs:
        raise GraphSpecError(f"{where}: its outputs are {node.outputs}; it must have some, each once")


def _check_weights(graph: Graph, node: Node, where: str) -> None:
    for name in node.weights:
        if name not in graph.constants:
            raise GraphSpecError(f"{where}: its weight {name!r} is no constant of the graph")
        if str(graph.constants[name].dtype) not in element_types():
            raise GraphSpecError(
                f"{where}: its weight {name!r} is of {graph.constants[name].dtype}, no registered element type"
            )


def _check_shape(graph: Graph, node: Node, where: str) -> None:
    least = 0 if isinstance(node.op, Literal) else 1
    inputs = tuple(_typed(graph, tensor, where) for tensor in node.inputs)
    outputs = tuple(_typed(graph, tensor, where, least) for tensor in node.outputs)
    weights = tuple(map(type_of, graph.weights_of(node)))
    try:
        expected = node.op.infer(inputs, weights, outputs)
    except GraphSpecError as error:
        raise GraphSpecError(f"{where}: {error}") from error
    if expected != outputs:
        raise GraphSpecError(
            f"{where}: its outputs {', '.join(map(repr, node.outputs))} are typed {_shapes(outputs)} but the operator "
            f"gives {_shapes(expected)}"
        )


def check_layer(op: Operator, inputs: Types, weights: Types, outputs: Types) -> None:
    """Raises GraphSpecError unless what one layer, from a file perhaps, says of itself holds as in a graph: registered
    types, no empty dimension of an activation that is no Literal, outputs that the operator gives.
    """
    of_result = 0 if isinstance(op, Literal) else 1
    for types, least in ((inputs, 1), (weights, 0), (outputs, of_result)):
        for type_ in types:
            if type_.dtype not in element_types() or min(type_.shape, default=least) < least:
                raise GraphSpecError(f"{_shapes((type_,))} is no registered type with dimensions above 0")
    try:
        expected = tuple(op.infer(inputs, weights, outputs))
    except _UNFIT as error:
        raise GraphSpecError(
            f"{type(op).__name__} does not take {_shapes((*inputs, *weights))}: {error}"
        ) from error
    if expected != tuple(outputs):
        raise GraphSpecError(
            f"outputs are typed {_shapes(outputs)} but the operator gives {_shapes(expected)}"
        )


def _shapes(types: Types) -> str:
    return ", ".join(f"{type_.dtype} {type_.shape}" for type_ in types)
