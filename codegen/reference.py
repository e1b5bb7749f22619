"""A reference evaluator in float64: what every candidate's and every program's output is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from codegen.errors import GraphSpecError
from codegen.graph import Graph, LayerSpec
from codegen.tensor import Array, Doubles


def evaluate(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Doubles]:
    """The outputs of a graph by name, computed in float64 from inputs by name.

    Raises GraphSpecError where an input is missing or has another shape.
    """
    values = evaluate_all(graph, inputs)
    return {name: values[name] for name in graph.outputs}


def evaluate_all(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Doubles]:
    """Every activation of a graph by name, inputs included; errors as for `evaluate`."""
    values: dict[str, Doubles] = {}
    for name in graph.inputs:
        if name not in inputs:
            raise GraphSpecError(f"input {name!r} of graph {graph.name!r} has no value")
        values[name] = np.asarray(inputs[name], dtype=np.float64)
        if values[name].shape != graph.types[name].shape:
            raise GraphSpecError(
                f"input {name!r} has shape {values[name].shape}, not {graph.types[name].shape}"
            )
    for node in graph.nodes:
        arguments = [values[name] for name in node.inputs]
        results = evaluate_layer(LayerSpec.of(graph, node), arguments, graph.weights_of(node))
        values.update(zip(node.outputs, results, strict=True))
    return values


def evaluate_layer(spec: LayerSpec, inputs: Sequence[Array], weights: Sequence[Array]) -> tuple[Doubles, ...]:
    """The outputs of one layer in float64; shapes as the spec says."""
    arguments = [np.asarray(value, dtype=np.float64) for value in inputs]
    constants = [np.asarray(value, dtype=np.float64) for value in weights]
    with np.errstate(all="ignore"):
        return spec.op.evaluate(arguments, constants, spec.outputs)
