"""What a sequence of steps holds at one time, by the rules alone: an oracle for the composition's accounts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from codegen.engine_registry import layout_named
from codegen.graph import Graph
from explorer.compose.steps import ComposedStep, starts_launch

Life = tuple[int, int]


def held_memory(graph: Graph, steps: Sequence[ComposedStep]) -> tuple[int, int]:
    """The most bytes of GPU memory and of the CPU's arena over all steps."""
    roots, touched, on_gpu = _touched(graph, steps)
    launches = _launches(steps)
    gpu, arena = [0] * len(steps), [step.timed.workspace_bytes * _on_cpu(step) for step in steps]
    results = {roots.get((name, "nchw"), (name, "nchw")) for name in graph.outputs}
    for root, times in touched.items():
        size = layout_named(root[1]).size_bytes(graph.types[root[0]])
        first, last = min(times), max(times)
        if root in on_gpu:
            first = 0 if root[0] in graph.inputs and root[1] == "nchw" else first
            last = len(steps) - 1 if root in results else last
            first, last = _widened((first, last), times, launches)
            for time in range(first, last + 1):
                gpu[time] += -(-size // 64) * 64 + 512
        elif root not in results and not (root[0] in graph.inputs and root[1] == "nchw"):
            for time in range(first, last + 1):
                arena[time] += size
    return max(gpu), max(arena)


Key = tuple[str, str]


def _touched(
    graph: Graph, steps: Sequence[ComposedStep]
) -> tuple[dict[Key, Key], dict[Key, list[int]], set[Key]]:
    roots: dict[Key, Key] = {}
    touched: dict[Key, list[int]] = {}
    on_gpu: set[Key] = set()
    for index, step in enumerate(steps):
        choice = step.timed.candidate.choice
        tensors = step.node.inputs if step.node else (step.tensors[0],)
        reads = [roots.get(key, key) for key in zip(tensors, choice.input_layouts, strict=True)]
        output = (step.tensors[0], choice.output_layout)
        if step.is_view:
            roots[output] = reads[0]
            continue
        for key in (*reads, output):
            touched.setdefault(key, []).append(index)
        if choice.engine == "videocore4":
            on_gpu |= {*reads, output}
    for key in (roots.get((name, "nchw"), (name, "nchw")) for name in graph.outputs):
        touched.setdefault(key, [])
    return roots, {key: times for key, times in touched.items() if times}, on_gpu


def _launches(steps: Sequence[ComposedStep]) -> list[int | None]:
    """The number of the launch of each step, None where it runs on the CPU or computes nothing."""
    numbers = accumulate(starts_launch(steps))
    return [
        number if step.timed.candidate.choice.engine == "videocore4" and not step.is_free else None
        for step, number in zip(steps, numbers, strict=True)
    ]


def _widened(life: Life, times: Sequence[int], launches: Sequence[int | None]) -> Life:
    """A launch that touches a buffer holds it from its first step to its last."""
    touching = {launches[time] for time in times} - {None}
    inside = [index for index, launch in enumerate(launches) if launch in touching]
    return min([life[0], *inside]), max([life[1], *inside])


def _on_cpu(step: ComposedStep) -> bool:
    return step.timed.candidate.choice.engine == "cpu" and not step.is_free
