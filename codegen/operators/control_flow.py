"""If, Loop and Scan whose conditions and counts are known: their bodies in their place, as often as they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import AttributeProto, GraphProto

from codegen.errors import NotConstantError
from codegen.onnx_import.expansion import graph_nodes
from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

MOST_TURNS = 4096  # of a loop, each of which is a copy of its body


def _body(node: OnnxNode, name: str) -> GraphProto:
    attribute = node.attributes.get(name)
    if attribute is None or attribute.type != AttributeProto.GRAPH:
        raise node.malformed(f"attribute {name} is no graph")
    return attribute.g


def _insert(
    node: OnnxNode,
    builder: GraphBuilder,
    graph: GraphProto,
    prefix: str,
    inputs: list[str],
    outputs: list[str],
) -> None:
    if len(graph.input) != len(inputs) or len(graph.output) != len(outputs):
        raise node.malformed(
            f"its body has {len(graph.input)} inputs and {len(graph.output)} outputs, not {len(inputs)} and "
            f"{len(outputs)}"
        )
    nodes, initializers = graph_nodes(prefix, graph, inputs, outputs)
    constants = {
        name: builder.array(tensor, f"{node.where}: initializer {name!r}")
        for name, tensor in initializers.items()
    }
    builder.expand(node, nodes, constants)


@handles("If", "condition known before the network runs")
def if_(node: OnnxNode, builder: GraphBuilder) -> None:
    """The branch that the condition chooses."""
    condition = bool(builder.constant(node, 0).reshape(-1)[0])
    name = "then_branch" if condition else "else_branch"
    _insert(node, builder, _body(node, name), f"{node.name}/{name}", [], list(node.outputs))


@handles("Loop", "count and condition known before the network runs")
def loop(node: OnnxNode, builder: GraphBuilder) -> None:
    """The body once for each turn; scanned outputs are stacked."""
    body, steps = _body(node, "body"), Steps(node, builder)
    count = int(builder.constant(node, 0).reshape(-1)[0]) if node.has_input(0) else MOST_TURNS + 1
    goes_on = bool(builder.constant(node, 1).reshape(-1)[0]) if node.has_input(1) else True
    states = list(node.inputs[2:])
    stacks: list[list[str]] = [[] for _ in range(len(body.output) - 1 - len(states))]
    turn = 0
    while turn < count and goes_on:
        if turn >= MOST_TURNS:
            raise node.unsupported(f"it may run more than {MOST_TURNS} times", "give it a smaller count")
        prefix = f"{node.name}/{turn}"
        inputs = [steps.constant(turn, "int64"), steps.constant(True, "bool"), *states]
        outputs = [f"{prefix}//{index}" for index in range(len(body.output))]
        _insert(node, builder, body, prefix, inputs, outputs)
        if not builder.is_constant(outputs[0]):
            raise NotConstantError(
                f"{node.where}: whether it goes on is computed from the model's inputs; only a loop of a known length "
                "is supported: export the model with one",
                builder.sources(outputs[0]),
            )
        goes_on = bool(builder.value(outputs[0]).reshape(-1)[0])
        states = outputs[1 : 1 + len(states)]
        for stack, output in zip(stacks, outputs[1 + len(states) :], strict=True):
            stack.append(output)
        turn += 1
    _finish(node, steps, states, stacks, [0] * len(stacks), [False] * len(stacks))


@handles("Scan", "without a batch axis: since operator set 9")
def scan(node: OnnxNode, builder: GraphBuilder) -> None:
    """The body once for each slice of the scanned inputs; scanned outputs are stacked."""
    if node.opset < 9:
        raise node.unsupported("it is of operator set 8", "export the model with a newer one")
    body, steps = _body(node, "body"), Steps(node, builder)
    scanned = node.integer("num_scan_inputs", 1)
    states, inputs = list(node.inputs[: len(node.inputs) - scanned]), node.inputs[-scanned:]
    count_out = len(body.output) - len(states)
    ranks = [len(builder.type_by_name(name).shape) for name in inputs]
    axes = [
        node.axis(axis, rank)
        for axis, rank in zip(node.integers("scan_input_axes") or (0,) * scanned, ranks, strict=True)
    ]
    backward = node.integers("scan_input_directions") or (0,) * scanned
    lengths = {builder.type_by_name(name).shape[axis] for name, axis in zip(inputs, axes, strict=True)}
    if len(lengths) != 1 or max(lengths) > MOST_TURNS:
        raise node.unsupported(
            f"it runs over axes of the lengths {sorted(lengths)}", "give it one, of 4096 at most"
        )
    (length,) = lengths
    stacks: list[list[str]] = [[] for _ in range(count_out)]
    for turn in range(length):
        prefix = f"{node.name}/{turn}"
        slices = [
            steps("Gather", name, steps.constant(length - 1 - turn if back else turn, "int64"), axis=axis)
            for name, axis, back in zip(inputs, axes, backward, strict=True)
        ]
        outputs = [f"{prefix}//{index}" for index in range(len(body.output))]
        _insert(node, builder, body, prefix, [*states, *slices], outputs)
        states = outputs[: len(states)]
        for stack, output in zip(stacks, outputs[len(states) :], strict=True):
            stack.append(output)
    _finish(
        node,
        steps,
        states,
        stacks,
        list(node.integers("scan_output_axes") or (0,) * count_out),
        [bool(flag) for flag in node.integers("scan_output_directions") or (0,) * count_out],
    )


def _finish(
    node: OnnxNode,
    steps: Steps,
    states: list[str],
    stacks: list[list[str]],
    axes: list[int],
    backward: list[bool],
) -> None:
    """The last states and the stacked outputs under the names that the node gives them."""
    for name, state in zip(node.outputs, states, strict=False):
        if name:
            steps("Identity", state, to=name)
    for name, stack, axis, back in zip(node.outputs[len(states) :], stacks, axes, backward, strict=False):
        if not name:
            continue
        if not stack:
            raise node.unsupported("it never runs, so that an output is empty", "export the model without it")
        along = steps.constant(np.array([axis]), "int64")
        parts = [steps("Unsqueeze", part, along) for part in (reversed(stack) if back else stack)]
        steps("Concat", *parts, to=name, axis=axis)
