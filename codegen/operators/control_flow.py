"""If and Scan: their subgraphs in their place, as often as they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import AttributeProto, GraphProto

from codegen.errors import ModelError, NotConstantError
from codegen.onnx_import.arithmetic import Arithmetic
from codegen.onnx_import.expansion import graph_nodes
from codegen.onnx_import.node import MALFORMED
from codegen.onnx_import.quantities import most
from codegen.onnx_import.registry import handles
from codegen.onnx_import.sizes import bounds_of, declare, sizes_of
from codegen.onnx_import.steps import Steps

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode
    from codegen.tensor import TensorType

MOST_TURNS = 4096  # of a loop, each of which is a copy of its body


def body_of(node: OnnxNode, name: str) -> GraphProto:
    """The subgraph that an attribute holds."""
    attribute = node.attributes.get(name)
    if attribute is None or attribute.type != AttributeProto.GRAPH:
        raise node.malformed(f"attribute {name} is no graph")
    return attribute.g


def insert(
    node: OnnxNode,
    builder: GraphBuilder,
    graph: GraphProto,
    prefix: str,
    inputs: list[str],
    outputs: list[str],
) -> None:
    """Imports a subgraph with its inputs bound to tensors and its outputs under these names."""
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


@handles(
    "If",
    "all; by a condition that is computed both branches run and one is selected, with a length where one size differs",
)
def if_(node: OnnxNode, builder: GraphBuilder) -> None:
    """The branch that the condition chooses, where it is known; else both, and of each output the one chosen."""
    branches = ("then_branch", "else_branch")
    if builder.is_constant(node.input(0)):
        name = branches[not builder.whole(node, 0)]
        insert(node, builder, body_of(node, name), f"{node.name}/{name}", [], list(node.outputs))
        return
    steps = Steps(node, builder)
    condition = steps("Reshape", node.input(0), steps.integers())
    given: list[list[str]] = []
    for name in branches:
        prefix = f"{node.name}/{name}"
        given.append([f"{prefix}//{index}" for index in range(len(node.outputs))])
        _insert_branch(node, builder, name, prefix, given[-1])
    for output, one, other in zip(node.outputs, *given, strict=True):
        if output:
            select(node, builder, steps, condition, one, other, to=output)


def _insert_branch(node: OnnxNode, builder: GraphBuilder, name: str, prefix: str, outputs: list[str]) -> None:
    """A branch that is computed whatever the condition is. Raises NotConstantError where that cannot be for the shapes
    of the model's inputs: it may be the other one that is meant for them.
    """
    try:
        insert(node, builder, body_of(node, name), prefix, [], outputs)
    except ModelError as error:
        if type(error) is not ModelError:
            raise
        reason = str(error).removesuffix(MALFORMED)
        raise NotConstantError(
            f"{node.where}: its condition is computed from the model's inputs, and its {name} cannot be computed for "
            f"inputs of these shapes ({reason}): export the model with a condition that is known, or give shapes that "
            "both branches take",
            builder.sources(node.input(0)),
        ) from error


def select(
    node: OnnxNode, builder: GraphBuilder, steps: Steps, condition: str, one: str, other: str, to: str = ""
) -> str:
    """One tensor or the other by a scalar that is computed. Raises NotConstantError where their types differ: then the
    condition would have to be known.
    """
    if one in builder.sequences or other in builder.sequences:
        raise node.unsupported("it selects one of two sequences", "export the model with tensors")
    types = [builder.type_by_name(name) for name in (one, other) if builder.is_known(name)]
    sizes = [sizes_of(builder, name) for name in (one, other) if builder.is_known(name)]
    if len(types) == 2 and (types[0] != types[1] or sizes[0] != sizes[1]):
        differing = [axis for axis, pair in enumerate(zip(*sizes, strict=False)) if pair[0] != pair[1]]
        if types[0].dtype == types[1].dtype and len(sizes[0]) == len(sizes[1]) and len(differing) == 1:
            return _select_part(node, builder, condition, (one, other), differing[0], to)
        raise NotConstantError(
            f"{node.where}: its condition is computed from the model's inputs, and what it gives is "
            f"{_text(types[0])} or {_text(types[1])}; only one of both can be selected while the network runs: export "
            "the model with a condition that is known, or with shapes that differ along one axis alone",
            builder.sources(condition),
        )
    return steps("Where", condition, one, other, to=to)


def _select_part(
    node: OnnxNode, builder: GraphBuilder, condition: str, both: tuple[str, str], axis: int, to: str
) -> str:
    """One of two tensors that are of different sizes along an axis: as large as the larger, with a length."""
    steps, sizes = Steps(node, builder), [sizes_of(builder, name) for name in both]
    bound = max(most(size[axis]) for size in sizes)
    padded = []
    for name in both:
        shape, whole = builder.type_by_name(name).shape, builder.to_bound(node, name)
        lacking = (*shape[:axis], bound - shape[axis], *shape[axis + 1 :])
        rest = steps.constant(np.zeros(lacking), builder.type_by_name(name).dtype)
        padded.append(steps("Concat", whole, rest, axis=axis) if lacking[axis] else whole)
    chosen = Arithmetic(node, builder).chosen(condition, *(size[axis] for size in sizes))
    selected = [*sizes[0][:axis], chosen, *sizes[0][axis + 1 :]]
    bounds_of(node, selected)
    result = steps("Where", condition, *padded, to=to)
    declare(builder, result, selected)
    return result


def _text(type_: TensorType) -> str:
    return f"{type_.dtype} of shape {type_.shape}"


@handles("Scan", "without a batch axis: since operator set 9", takes_sequences=True)
def scan(node: OnnxNode, builder: GraphBuilder) -> None:
    """The body once for each slice of the scanned inputs; scanned outputs are stacked."""
    if node.opset < 9:
        raise node.unsupported("it is of operator set 8", "export the model with a newer one")
    body, steps = body_of(node, "body"), Steps(node, builder)
    scanned = node.integer("num_scan_inputs", 1)
    _require_lists(node, scanned, len(body.output) - len(node.inputs) + scanned)
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
        insert(node, builder, body, prefix, [*states, *slices], outputs)
        states = outputs[: len(states)]
        for stack, output in zip(stacks, outputs[len(states) :], strict=True):
            stack.append(output)
    finish(
        node,
        steps,
        states,
        stacks,
        list(node.integers("scan_output_axes") or (0,) * count_out),
        [bool(flag) for flag in node.integers("scan_output_directions") or (0,) * count_out],
    )


def _require_lists(node: OnnxNode, inputs: int, outputs: int) -> None:
    """Raises ModelError where a Scan has other counts of scanned inputs and outputs than its attributes."""
    if not 1 <= inputs <= len(node.inputs) or outputs < 0:
        raise node.malformed(f"it scans {inputs} of {len(node.inputs)} inputs and gives {outputs} stacks")
    for way, count in (("input", inputs), ("output", outputs)):
        for what in ("axes", "directions"):
            given = node.integers(f"scan_{way}_{what}")
            if given is not None and len(given) != count:
                raise node.malformed(f"attribute scan_{way}_{what} has {len(given)} elements, not {count}")


def finish(
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
