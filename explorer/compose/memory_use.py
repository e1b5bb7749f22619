"""The most bytes that a sequence of steps holds, by the lives of its buffers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from codegen.engine_registry import layout_named, memories
from codegen.graph import Graph
from codegen.memory_space import GPU, HOST
from explorer.compose.problem import OUTSIDE_LAYOUT
from explorer.compose.steps import ComposedStep, starts_launch

Key = tuple[str, str]
"""A tensor in a layout."""


class HeldBytes(NamedTuple):
    """GPU memory and the CPU's arena."""

    gpu: int
    arena: int


def held_bytes(graph: Graph, steps: Sequence[ComposedStep]) -> HeldBytes:
    """The peaks over all steps; see `explorer.compose.compose` for what is held when."""
    homes = _homes(steps)
    lives: dict[Key, tuple[int, int]] = {}
    on_gpu: set[Key] = set()
    ends = _launch_ends(steps)
    for index, step in enumerate(steps):
        if step.is_free:
            continue
        for key in (homes.get(key, key) for key in (*_reads(step), *_writes(step))):
            first, last = lives.get(key, (index, index))
            begins, stops = ends[index]
            lives[key] = (min(first, begins), max(last, stops))
            if HOST not in step.timed.engine.reads:
                on_gpu.add(key)
    inputs = {(tensor, OUTSIDE_LAYOUT) for tensor in graph.inputs}
    results = {homes.get((tensor, OUTSIDE_LAYOUT), (tensor, OUTSIDE_LAYOUT)) for tensor in graph.outputs}
    gpu, arena = [0] * (len(steps) + 1), [0] * (len(steps) + 1)
    for key, (first, last) in lives.items():
        size = layout_named(key[1]).size_bytes(graph.types[key[0]])
        if key in on_gpu:
            span = (0 if key in inputs else first, len(steps) - 1 if key in results else last)
            _hold(gpu, span, memories()[GPU].taken_bytes(size))
        elif key not in results and key not in inputs:
            _hold(arena, (first, last), size)
    workspaces = (0 if step.is_free else step.timed.workspace_bytes for step in steps)
    return HeldBytes(
        max(accumulate(gpu), default=0),
        max((held + own for held, own in zip(accumulate(arena), workspaces, strict=False)), default=0),
    )


def _hold(changes: list[int], span: tuple[int, int], size: int) -> None:
    changes[span[0]] += size
    changes[span[1] + 1] -= size


def _reads(step: ComposedStep) -> Iterator[Key]:
    tensors = step.node.inputs if step.node else step.tensors
    return zip(tensors, step.timed.candidate.choice.input_layouts, strict=True)


def _writes(step: ComposedStep) -> Iterator[Key]:
    return zip(step.tensors, step.timed.candidate.choice.output_layouts, strict=True)


def _homes(steps: Sequence[ComposedStep]) -> dict[Key, Key]:
    """The buffers of views and of parts: those that they show, or are written in."""
    homes: dict[Key, Key] = {}
    for step in reversed(steps):
        if step.in_place:
            (whole,) = _writes(step)
            homes |= dict.fromkeys(_reads(step), whole)
    for step in steps:
        if step.is_view:
            (source,), (shown,) = _reads(step), _writes(step)
            homes[shown] = homes.get(source, source)
    return homes


def _launch_ends(steps: Sequence[ComposedStep]) -> list[tuple[int, int]]:
    """For each step the first and the last that keep what it touches: those of its launch, or it alone."""
    numbers = [
        number if not step.is_free and step.timed.engine.launches else None
        for number, step in zip(accumulate(starts_launch(steps)), steps, strict=True)
    ]
    spans: dict[int, tuple[int, int]] = {}
    for index, number in enumerate(numbers):
        if number is not None:
            spans[number] = (spans.get(number, (index, index))[0], index)
    return [(i, i) if number is None else spans[number] for i, number in enumerate(numbers)]
