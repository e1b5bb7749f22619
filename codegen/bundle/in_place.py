"""Concatenations in place: the parts are written where the whole lies, and nothing is copied.

Row-major, a part is a run of bytes of the whole, and any layer may read it; so it is in blocks of channels where
every part but the last fills its blocks. In pixel16 a part's lines lie in the blocks of the whole,
[ceil(H*W / 16)][block_lines(channels of the whole)][16 pixels], from its first channel on: its producer writes with
the whole's stride from block to block, those of all images of a batch, and nobody but the concatenation reads it. A
part may itself be a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from codegen.engine_registry import engine_named, layout_named, layouts
from codegen.errors import PlanError
from codegen.graph import Graph, Node
from codegen.operator import Operator
from codegen.operators.concat import Concat
from codegen.operators.relayout import Relayout
from codegen.operators.reshape import Reshape
from codegen.operators.side_by_side import SideBySide
from codegen.plan import Plan, PlanStep


@dataclass(frozen=True)
class Part:
    """A buffer that lies within another.

    `offset_bytes` from the start of `whole`, which is part of nothing; in pixel16 `output_lines` are the lines
    from one block to the next.
    """

    whole: str
    offset_bytes: int
    output_lines: int | None


@dataclass(frozen=True)
class _Layer:
    """What the rule asks about a layer, of a graph or of a plan."""

    name: str
    op: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    batch: int
    channels: tuple[int, ...]  # of the inputs


def _layer(
    name: str,
    op: Operator,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    shapes: Sequence[tuple[int, ...]],
) -> _Layer:
    channels = tuple(shape[1] for shape in shapes if len(shape) > 1)
    return _Layer(name, op, inputs, outputs, shapes[0][0] if shapes and shapes[0] else 0, channels)


def can_place(graph: Graph, node: Node, layout: str) -> bool:
    """Whether a node can be a concatenation in place, its parts and its output being in that layout.

    Where parts are spread over the whole's blocks the engines must fit as well: see `Engine.part_layouts`.
    """
    layers = [
        _layer(n.name, n.op, n.inputs, n.outputs, [graph.types[tensor].shape for tensor in n.inputs])
        for n in graph.nodes
    ]
    concat = next(layer for layer in layers if layer.name == node.name)
    return _refusal(concat, layers, graph.inputs, graph.outputs, layout) is None


def parts_of(plan: Plan) -> Mapping[str, Part]:
    """Every buffer of a plan that is a part of another; raises PlanError where a step cannot be in place."""
    parts: dict[str, Part] = {}
    # A whole comes behind its parts: from the last on, a whole's own place is known.
    for step in reversed(plan.steps):
        if step.in_place:
            _check(step, plan)
            (written,) = step.writes
            whole = parts.get(written, Part(written, 0, None))
            parts.update(_slices(step, whole))
    return parts


def _slices(step: PlanStep, whole: Part) -> Iterator[tuple[str, Part]]:
    offset_bytes = whole.offset_bytes
    layout = layout_named(step.choice.output_layout)
    lines = whole.output_lines or layout.part_lines(step.spec.output)
    for buffer, type_ in zip(step.reads, step.spec.inputs, strict=True):
        yield buffer, Part(whole.whole, offset_bytes, lines)
        offset_bytes += layout.part_bytes(type_)


def _check(step: PlanStep, plan: Plan) -> None:
    layers = [
        _layer(s.name, s.spec.op, s.inputs, s.outputs, [tensor.shape for tensor in s.spec.inputs])
        for s in plan.steps
        if not isinstance(s.spec.op, Relayout)
    ]
    concat = next(layer for layer in layers if layer.name == step.name)
    layout = step.choice.output_layout
    inputs, outputs = ([tensor.name for tensor in tensors] for tensors in (plan.inputs, plan.outputs))
    why = _refusal(concat, layers, inputs, outputs, layout)
    if why is None and layout_named(layout).spreads_parts:
        why = _refusal_of_steps(step, plan)
    if why is not None:
        raise PlanError(
            f"step {step.name!r} cannot be in place: {why}; let it copy, or make a new plan by `explore run`"
        )


def _refusal(
    concat: _Layer, layers: Sequence[_Layer], inputs: Sequence[str], outputs: Sequence[str], layout: str
) -> str | None:
    """Why a layer cannot be a concatenation in place, None where it can."""
    if not isinstance(concat.op, Concat) or layout not in layouts():
        return "it does not put channels behind each other in a known layout"
    way = layout_named(layout)
    if concat.batch != 1 and not way.spreads_parts:
        return f"in {layout} the parts of several images do not lie behind each other"
    if len({*concat.inputs}) != len(concat.inputs):
        return "a tensor appears twice in it"
    if any(channels % way.part_channels for channels in concat.channels[:-1]):
        return f"a part before the last does not fill its blocks of {way.part_channels} channels"
    producers = {tensor: layer for layer in layers for tensor in layer.outputs}
    for part in concat.inputs:
        if part in inputs or part in outputs:
            return f"{part!r} is an input or an output of the network"
        producer = producers[part]
        if len(producer.outputs) != 1 and not isinstance(producer.op, SideBySide):
            return f"{part!r} is one of several outputs of {producers[part].name!r}"
        if isinstance(producers[part].op, Reshape):
            return f"{part!r} may be a view"
        others = [layer for layer in layers if part in layer.inputs and layer.name != concat.name]
        if others and way.spreads_parts:
            return f"{part!r} is also read by {others[0].name!r}, which expects the blocks of {part!r} alone"
        second = next((layer for layer in others if isinstance(layer.op, Concat)), None)
        if second is not None:
            return f"{part!r} is also a part of {second.name!r}"
    return None


def _refusal_of_steps(concat: PlanStep, plan: Plan) -> str | None:
    """What only the choices tell of a concatenation whose layout spreads parts."""
    for part in concat.reads:
        writer = next(step for step in plan.steps if part in step.writes)
        engine = engine_named(writer.choice.engine)
        if not writer.in_place and not engine.part_layouts.issuperset(writer.choice.output_layouts):
            return (
                f"step {writer.name!r} on engine {engine.name!r} cannot write {part!r} to blocks of the whole"
            )
        reader = next((s for s in plan.steps if part in s.reads and s.name != concat.name), None)
        if reader is not None:
            return f"{part!r} is also read by {reader.name!r}, which expects the blocks of {part!r} alone"
    return None
