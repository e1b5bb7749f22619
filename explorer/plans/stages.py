"""Networks that decide, compared by stages: sorting, selection and suppression of values as near as rounding.

Where two scores lie within rounding of each other, a compiled network may put them in another order than the reference,
and whatever lies behind differs altogether though all was computed right. Such a bundle is compiled once more, by the
same plan, with the values that its decisions are made from as further outputs. These are compared with the reference's
as any output is; what lies behind them, with what the reference makes of the very values that the bundle decided by.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from codegen.bundle import compile_bundle
from codegen.bundle.step_weights import as_stored
from codegen.errors import GpuMemoryError
from codegen.graph import Graph, LayerSpec, Node
from codegen.lengths import cut_to_lengths
from codegen.plan import Plan, PlanTensor, buffer_name, read_plan
from codegen.reference import evaluate_layer
from codegen.target import Target
from codegen.tensor import AnyArray, Doubles
from explorer.measure.judge import relative_error

Run = Callable[[Path, tuple[AnyArray, ...]], Sequence[AnyArray]]


@dataclass(frozen=True)
class Staged:
    """What the stages say: the largest error of any tensor relative to its largest value, how many tensors that
    decisions are made from were compared, and the outputs that the reference makes of them, for each set of inputs.
    """

    error: float
    tensors: int
    outputs: tuple[tuple[AnyArray, ...], ...]


def decided_by(graph: Graph) -> tuple[str, ...]:
    """The tensors of floating-point numbers that become integers or truth values: orders, places, counts, choices."""
    found = {
        tensor: None
        for node in graph.nodes
        if not all(graph.types[name].element_type.is_floating for name in node.outputs)
        for tensor in node.inputs
        if graph.types[tensor].element_type.is_floating
    }
    return tuple(name for name in found if name not in graph.inputs)


def in_stages(
    run: Run, target: Target, bundle: Path, graph: Graph, inputs: Sequence[tuple[AnyArray, ...]]
) -> Staged | None:
    """Compares the bundle of a plan by stages; None where the network decides nothing, or its memory does not hold what
    it would have to keep. `run` gives a bundle's outputs for inputs. Raises what compiling and running do.
    """
    if not decided_by(graph):
        return None
    plan = read_plan(bundle / "plan.json")
    watched_graph, watched_plan = _watched(graph, plan)
    names = watched_graph.outputs[len(graph.outputs) :]
    if not names:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "bundle"
        try:
            compile_bundle(watched_graph, watched_plan, target, place)
        except GpuMemoryError:
            return None
        found = [run(place, values) for values in inputs]
    stored = as_stored(watched_graph, plan)
    stages = [_stages(stored, frozenset(names), *one) for one in zip(inputs, found, strict=True)]
    outputs = tuple(tuple(wanted[name] for name in graph.outputs) for _, wanted in stages)
    return Staged(max(error for error, _ in stages), len(names), outputs)


def _watched(graph: Graph, plan: Plan) -> tuple[Graph, Plan]:
    """Both with further outputs: of what decisions are made from all that the plan has in row-major order."""
    written = {buffer for step in plan.steps for buffer in step.writes}
    names = [
        name
        for name in decided_by(graph)
        if name not in graph.outputs and buffer_name(name, "nchw") in written
    ]
    tensors = (
        PlanTensor(name=name, shape=graph.types[name].shape, dtype=graph.types[name].dtype) for name in names
    )
    return (
        replace(graph, outputs=(*graph.outputs, *names)),
        plan.model_copy(update={"outputs": (*plan.outputs, *tensors)}),
    )


def _stages(
    graph: Graph, watched: frozenset[str], inputs: Sequence[AnyArray], outputs: Sequence[AnyArray]
) -> tuple[float, Mapping[str, AnyArray]]:
    """The largest error, and every output of the graph as the reference has it where it goes on from the watched
    tensors that the bundle has.
    """
    own = {
        name: np.asarray(value, np.float64).reshape(graph.types[name].shape)
        for name, value in zip(graph.outputs, outputs, strict=True)
    }
    values: dict[str, Doubles] = {
        name: np.asarray(value, np.float64) for name, value in zip(graph.inputs, inputs, strict=True)
    }
    wanted = {name: values[name] for name in graph.outputs if name in values}
    for node in graph.nodes:
        for name, value in _results(graph, node, values).items():
            values[name] = own[name] if name in watched else value
            if name in own:
                wanted[name] = value
    own, wanted = cut_to_lengths(own, graph.lengths), cut_to_lengths(wanted, graph.lengths)
    error = max(
        relative_error(own[name], wanted[name]) if own[name].shape == wanted[name].shape else float("inf")
        for name in graph.outputs
    )
    return error, wanted


def _results(graph: Graph, node: Node, values: Mapping[str, Doubles]) -> dict[str, Doubles]:
    arguments = [values[name] for name in node.inputs]
    results = evaluate_layer(LayerSpec.of(graph, node), arguments, graph.weights_of(node))
    return dict(zip(node.outputs, results, strict=True))
