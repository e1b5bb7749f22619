"""The spec of a graph at each stage, checked after import and after every pass."""

from __future__ import annotations

from typing import Literal, get_args

from codegen.errors import GraphSpecError
from codegen.graph import BatchNormalization, Chain, Graph, Node, Operator, Pad2d, Relayout
from codegen.shapes import infer_shape
from codegen.tensor import TensorType

Stage = Literal["imported", "fused"]

# What is not listed here is excluded nowhere: a new operator belongs to both stages.
EXCLUDED: dict[Stage, tuple[type[Operator], ...]] = {
    "imported": (Chain, Relayout),
    "fused": (Chain, Relayout, BatchNormalization, Pad2d),
}


def operators(stage: Stage) -> tuple[type[Operator], ...]:
    """The operators that a graph of that stage may hold."""
    return tuple(op for op in get_args(Operator) if op not in EXCLUDED[stage])


def check(graph: Graph, stage: Stage) -> None:
    """Raises GraphSpecError unless all of this holds.

    Nodes are in topological order and have unique names; every tensor is written once, is typed float32 and
    has no empty dimension; every weight exists, is float32 and fits its operator; output shapes are what the
    operators give; only the stage's operators occur; every output is written by a node.
    """
    _check_interface(graph)
    allowed = operators(stage)
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
        written.add(node.output)
    computed = written - set(graph.inputs)
    for output in graph.outputs:
        if output not in computed:
            raise GraphSpecError(f"graph {graph.name!r}: no node writes output {output!r}")


def _check_interface(graph: Graph) -> None:
    for kind, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        if len(set(tensors)) != len(tensors):
            raise GraphSpecError(f"graph {graph.name!r}: an {kind} is listed twice: {tensors}")
    if not graph.outputs:
        raise GraphSpecError(f"graph {graph.name!r} has no output")
    for tensor in graph.inputs:
        _typed(graph, tensor, f"graph {graph.name!r}, input")


def _typed(graph: Graph, tensor: str, where: str) -> TensorType:
    if tensor not in graph.types:
        raise GraphSpecError(f"{where}: tensor {tensor!r} has no type")
    type_ = graph.types[tensor]
    if type_.dtype != "float32" or not type_.shape or min(type_.shape) < 1:
        raise GraphSpecError(
            f"{where}: tensor {tensor!r} has type {type_}, not float32 with dimensions above 0"
        )
    return type_


def _check_order(node: Node, where: str, written: set[str]) -> None:
    for tensor in node.inputs:
        if tensor not in written:
            raise GraphSpecError(f"{where}: reads {tensor!r} before any node has written it")
    if node.output in written:
        raise GraphSpecError(f"{where}: writes {node.output!r}, which is written already")


def _check_weights(graph: Graph, node: Node, where: str) -> None:
    for name in node.weights:
        if name not in graph.constants:
            raise GraphSpecError(f"{where}: its weight {name!r} is no constant of the graph")
        if graph.constants[name].dtype != "float32":
            raise GraphSpecError(
                f"{where}: its weight {name!r} is {graph.constants[name].dtype}, not float32"
            )


def _check_shape(graph: Graph, node: Node, where: str) -> None:
    inputs = [_typed(graph, tensor, where).shape for tensor in node.inputs]
    output = _typed(graph, node.output, where).shape
    weights = [tuple(graph.constants[name].shape) for name in node.weights]
    try:
        expected = infer_shape(node.op, inputs, weights, output)
    except GraphSpecError as error:
        raise GraphSpecError(f"{where}: {error}") from error
    if expected != output:
        raise GraphSpecError(
            f"{where}: output {node.output!r} is typed {output} but the operator gives {expected}"
        )
