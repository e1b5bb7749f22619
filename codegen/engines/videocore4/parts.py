"""Layers that take longer than a launch may: their tiles are dealt out to several launches."""

from __future__ import annotations

import math
from dataclasses import replace

from codegen.algorithm import Algorithm
from codegen.engines.videocore4.layer import QpuLayer
from codegen.errors import ScheduleError
from codegen.schedule import Candidate
from codegen.target import Target

CYCLES = 4  # of an instruction, which all 16 lanes go through (VideoCore IV Guide p.16)
BYTES_PER_S = 0.5e9  # all QPUs together read more, streams and gathered lines alike
SHARE = 0.25  # of the limit, where a layer should end by this count: waiting and contention are not counted


def parts_of(algorithm: Algorithm, candidate: Candidate, target: Target) -> int:
    """In how many launches a layer's tiles are dealt out so that each ends in time, by a count from shapes alone; 1
    where the board's clock is not known.

    Raises ScheduleError where even a launch for each tile would take too long.
    """
    limit_s, whole_s = target.launch_limit_s, _busiest_s(algorithm, candidate, target, 1)
    if whole_s <= SHARE * limit_s:
        return 1
    parts = math.ceil(whole_s / (SHARE * limit_s))
    part_s = _busiest_s(algorithm, candidate, target, parts)
    if part_s > limit_s:
        raise ScheduleError(
            f"{candidate.spec.describe()} by {algorithm.name} would take {part_s:.3g} s for one of {parts} parts, and "
            f"a launch of {target.name}'s QPUs may take {limit_s:g} s; the CPU computes it"
        )
    return parts


def _busiest_s(algorithm: Algorithm, candidate: Candidate, target: Target, parts: int) -> float:
    """How long the longest of so many parts takes at least."""
    if not target.v3d_clock_hz:
        return 0.0
    work = algorithm.work(candidate.spec, dealt_to(target, parts), candidate.choice)
    cycles = CYCLES * work.instructions / target.qpus * work.balance
    return (cycles / target.v3d_clock_hz + work.streamed_bytes_read / BYTES_PER_S) / parts


def dealt_to(target: Target, parts: int) -> Target:
    """The board with its QPUs once for each part: what is lowered for it, `divided` takes apart."""
    return replace(target, qpus=target.qpus * parts, parts=target.parts * parts)


def divided(layer: QpuLayer, qpus: int) -> tuple[QpuLayer, ...]:
    """A phase dealt out to more QPUs than there are, as phases of no more; those in which no QPU has work are left out.

    They share code, weights and scratch memory.
    """
    rounds = (layer.blocks, *layer.more)
    parts = (
        tuple(blocks[first : first + qpus] for blocks in rounds)
        for first in range(0, max(map(len, rounds)), qpus)
    )
    return tuple(
        replace(layer, blocks=own[0], more=own[1:], then=None)
        for own in parts
        if any(block is not None for blocks in own for block in blocks)
    )
