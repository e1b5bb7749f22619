"""The composition for a board: within its GPU memory, and with every launch that its limits ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from codegen.graph import Graph, LayerSpec
from codegen.launches import Filling
from codegen.target import Target
from explorer.compose.compose import UNLIMITED, Composition, Limits, compose, priced
from explorer.compose.footprint import Footprint, FootprintOf, footprint_of
from explorer.compose.kept_memory import Keeping
from explorer.compose.memory_use import held_bytes
from explorer.compose.steps import ComposedStep, Overheads, starts_launch
from explorer.compose.timed_candidates import TimedCandidate, TimedCandidates, launchable
from explorer.errors import CompositionError, TooLittleMemoryError

MOST_PHASES = 4  # of a layer
AMPLE_CODE_BYTES = 32 << 10  # of a layer, with its streams
AMPLE_WEIGHTS = 4  # as often as any packing has them
AMPLE_COPIES = 3  # of what a layer writes: in two layouts, and as scratch memory


def compose_on(
    graph: Graph,
    timed_candidates: TimedCandidates,
    overheads: Overheads,
    limits: Limits,
    target: Target,
    footprint: FootprintOf | None = None,
) -> Composition:
    """The fastest composition that the board can run, or the best found with a proven gap.

    Errors as those of `compose`; CompositionError too where GPU memory holds none. `footprint`: what candidates take of
    engines that launch; None: what their programs do.
    """
    of = footprint or partial(footprint_of, target=target)
    ways = launchable(timed_candidates, target, of)
    found = compose(graph, ways, overheads, limits)
    if has_gpu_memory_to_mind(graph, target):
        found = _within_gpu_memory(found, _keeping(graph, ways, overheads, limits, of), target)
    steps, parts = divided(found.steps, target, of)
    if steps == found.steps:
        return replace(found, launches=found.launches + parts)
    more = priced(steps, overheads, *held_bytes(graph, steps), found.gap)
    price = limits.price(more)
    gap = 1 - limits.price(found) * (1 - found.gap) / price if price else 0.0
    return replace(more, launches=more.launches + parts, gap=gap)


def exceeds_gpu_memory(
    graph: Graph, timed_candidates: TimedCandidates, overheads: Overheads, target: Target
) -> bool:
    """Whether the fastest composition asks for more GPU memory than the board has; errors as those of `compose`."""
    if not has_gpu_memory_to_mind(graph, target):
        return False
    ways, of = launchable(timed_candidates, target), partial(footprint_of, target=target)
    found = compose(graph, ways, overheads)
    charged = _keeping(graph, ways, overheads, UNLIMITED, of).charged(found, found, 0.0)
    return charged.needed > target.gpu_memory_bytes


def has_gpu_memory_to_mind(graph: Graph, target: Target) -> bool:
    """Whether a plan might ask for more GPU memory than the board has, by a count that is generous and quick."""
    specs = (LayerSpec.of(graph, node) for node in graph.nodes)
    return 0 < target.gpu_memory_bytes < sum(map(_ample_bytes, specs))


def _ample_bytes(spec: LayerSpec) -> int:
    weights, outputs = (
        sum(tensor.size_bytes for tensor in tensors) for tensors in (spec.weights, spec.outputs)
    )
    return AMPLE_CODE_BYTES + AMPLE_WEIGHTS * weights + AMPLE_COPIES * outputs


def divided(
    steps: Sequence[ComposedStep], target: Target, footprint: FootprintOf
) -> tuple[tuple[ComposedStep, ...], int]:
    """The same steps, with an engine started anew where a launch would take longer than it may or have more marks; and
    how many launches begin with a part of a layer that is divided, whose time counts them.
    """
    found: list[ComposedStep] = []
    more = 0
    for step, starts in zip(steps, starts_launch(steps), strict=True):
        if step.is_free or not step.timed.engine.launches:
            found.append(step)
            continue
        limits = step.timed.engine.launch_limits(target)
        if starts:
            filling = Filling(limits)
        is_told = len(steps) * MOST_PHASES > limits.marks or step.time_s > limits.seconds
        own = footprint(step.timed.candidate) if is_told else Footprint()
        begins, *within = map(filling.starts, own.pieces(step.time_s))
        found.append(replace(step, starts_launch=True) if begins and not starts else step)
        more += sum(within)
    return tuple(found), more


def _within_gpu_memory(free: Composition, keeping: Keeping, target: Target) -> Composition:
    room = target.gpu_memory_bytes
    try:
        return keeping.within(free, room)
    except TooLittleMemoryError as error:
        raise CompositionError(
            f"no plan was found within the {room:,} bytes of GPU memory that the board has, weights included; the "
            f"least that one was found for is {error.least_bytes:,} bytes: raise gpu_mem, or let layers run on the CPU"
        ) from error


def _keeping(
    graph: Graph, ways: TimedCandidates, overheads: Overheads, limits: Limits, footprint: FootprintOf
) -> Keeping:
    """Of GPU memory alone."""

    def composed(dear: TimedCandidates, within: Limits, cap: float) -> Composition:
        caps = replace(within.caps, gpu_bytes=min(within.caps.gpu_bytes, cap))
        return compose(graph, dear, overheads, replace(within, caps=caps))

    def kept(way: TimedCandidate) -> int:
        return footprint(way.candidate).kept_bytes if way.engine.launches else 0

    return Keeping(ways, overheads, limits, composed, kept, lambda found: found.gpu_bytes)
