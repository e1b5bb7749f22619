"""Rules about the distance of two instructions, in the order in which a thread executes them."""

from __future__ import annotations

from collections.abc import Iterator

from codegen.engines.videocore4 import rules
from codegen.engines.videocore4.effects import (
    NOSWAP,
    R5,
    READ_UNITS,
    UNIFORM,
    UNIFORMS_ADDRESS,
    WRITE_UNITS,
    Effects,
)
from codegen.engines.videocore4.isa import CONDITIONS
from codegen.engines.videocore4.rules_single import Broken
from codegen.engines.videocore4.syntax import read_name

WINDOW = 2  # no rule reaches further back
_R4 = 4
_VARYING = 35


def following(b: Effects, a: Effects, distance: int) -> Iterator[Broken]:
    """The rules that instruction `a` breaks when it is executed `distance` (1 or 2) instructions after `b`."""
    if distance == 1:
        yield from _next(b, a)
    if b.asks_sfu:
        if _R4 in a.accumulators_read:
            yield rules.SFU_READ, ""
        if a.loads_r4 or a.asks_sfu:
            yield rules.SFU_WRITE, "a load" if a.loads_r4 else "an SFU request"
    if UNIFORMS_ADDRESS in b.outputs and UNIFORM in a.inputs:
        yield rules.NEW_UNIFORMS, ""
    if NOSWAP in b.outputs and any(WRITE_UNITS[o] == "tmu" and o != NOSWAP for o in a.outputs):
        yield rules.NEW_NOSWAP, ""
    if b.is_branch and a.is_branch:
        yield rules.BRANCH_DISTANCE, f"{distance - 1} between"
    if b.ends:
        yield from _last_three(a)


def ending(e: Effects) -> Iterator[Broken]:
    """The rules that an instruction breaks by ending the thread."""
    if e.ends:
        if e.file_writes:
            yield rules.END_WRITES_FILE, ", ".join(read_name(*place) for place in sorted(e.file_writes))
        yield from _last_three(e)


def _next(b: Effects, a: Effects) -> Iterator[Broken]:
    fresh = b.file_writes & a.file_reads
    if fresh:
        yield rules.READ_AFTER_WRITE, ", ".join(read_name(*place) for place in sorted(fresh))
    for number in sorted(a.rotated):
        conditions = b.conditions_of_accumulator(number)
        if conditions:
            whole = CONDITIONS["always"] in conditions
            yield rules.ROTATE_AFTER_WRITE if whole else rules.ROTATE_AFTER_PART, f"r{number}"
    if a.rotates_by_r5 and R5 in b.outputs:
        yield rules.ROTATE_BY_NEW_R5, ""


def _last_three(e: Effects) -> Iterator[Broken]:
    if {(0, 14), (1, 14)} & (e.file_reads | e.file_writes):
        yield rules.END_REGISTER_14, ""
    if UNIFORM in e.inputs or _VARYING in e.inputs:
        yield rules.END_UNIFORM, ""
    units = [READ_UNITS[i] for i in e.inputs] + [WRITE_UNITS[o] for o in e.outputs]
    if "vpm" in units:
        yield rules.END_VPM, ""
