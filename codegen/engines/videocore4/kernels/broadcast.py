"""Expressions of operands that broadcast in any way: for each line a pattern says how lanes lie in an operand.

A group is `rows` lines that lie one behind the other in the output. Each line's place in each operand comes from a
stream of uniforms; the lanes' distances from there are of one pattern for all lines of an operand, or line by line of
one of a table.

The kernel's block: address of the stream, number of groups, output, setup of a group's store, then for each operand its
address, and the address of its pattern or table. The stream: for each `batch` of a group's lines, for each line and
each operand by table its pattern's byte offset; for each of these again, and then for the others, the byte offset of
its place. Behind a group's lines stands their byte offset in the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.expressions.emission import Element
from codegen.engines.videocore4.expressions.placement import Placement, place
from codegen.engines.videocore4.kernels.pieces import begin_store, end_store, lane_bytes, stream_from
from codegen.engines.videocore4.kernels.results import ACCUMULATORS
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.registers import (
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    NULL,
    R0,
    R3,
    R4,
    TMU_S,
    UNIFORM,
    VPM_WRITE,
    VPM_WRITE_SETUP,
    Register,
)
from codegen.errors import ScheduleError
from codegen.expression import Expression

IN_FLIGHT = 8  # requests of both TMUs together
HEAD_WORDS = 4
OPERAND_WORDS = 2
_BATCHES = 8, 4, 2, 1  # lines whose operands are in registers at a time


@dataclass(frozen=True)
class BroadcastKernel:
    """The code, and how many lines' operands its stream gives at a time."""

    code: Assembler
    batch: int


@dataclass(frozen=True)
class _Operand:
    """`lanes`: what a pattern's offsets are relative to, and the pattern; by table, the table's lanes, and `base`."""

    by_table: bool
    lanes: Register
    base: Register


def turns(batch: int, by_table: Sequence[bool]) -> list[tuple[int, int]]:
    """The order in which a batch's operands are read, as (line, operand): those by table first."""
    pairs = [(line, operand) for line in range(batch) for operand in range(len(by_table))]
    return sorted(pairs, key=lambda pair: not by_table[pair[1]])


@cache
def broadcast_kernel(expression: Expression, by_table: tuple[bool, ...], rows: int) -> BroadcastKernel:
    """An expression of as many operands; raises ScheduleError for too many of them, and where registers lack."""
    if len(by_table) > IN_FLIGHT:
        raise ScheduleError(f"{len(by_table)} operands: the TMUs take requests of {IN_FLIGHT} at a time")
    pool = RegisterPool()
    groups, stream, setup = pool.take("a"), pool.take(), pool.take()
    output = pool.take()
    operands = [
        _Operand(is_table, lanes, pool.take() if is_table else lanes)
        for is_table in by_table
        for lanes in (pool.take(),)
    ]
    lines = [pool.take() for _ in range(rows)]
    batch, elements, placement = _computation(expression, len(by_table), lines, pool.rest())
    k = Assembler()
    for register in (stream, groups, output, setup):
        k.mov(register, UNIFORM)
    lane_bytes(k, R3)
    for operand in operands:
        if operand.by_table:
            k.mov(operand.base, UNIFORM)
            k.op("add", operand.lanes, R3, UNIFORM)
        else:
            k.mov(R0, UNIFORM)
            k.op("add", TMU_S[0], R3, UNIFORM)
            k.load_tmu(0)
            k.op("add", operand.lanes, R0, R4)
    placement.load(k)
    stream_from(k, stream)
    k.label("group")
    for first in range(0, rows, batch):
        own = elements[first : first + batch]
        _read(k, operands, own)
        placement.apply(k, own)
    k.label("store")
    begin_store(k)
    for line in lines:
        k.mov(VPM_WRITE, line)
    k.mov(NULL, DMA_STORE_WAIT)
    k.mov(VPM_WRITE_SETUP, setup)
    k.op("add", DMA_STORE_ADDRESS, output, UNIFORM)
    end_store(k)
    k.op("sub", groups, groups, 1, set_flags=True)
    k.branch("group", "any_zc")
    leave(k)
    return BroadcastKernel(k, batch)


def _computation(
    expression: Expression, operands: int, lines: Sequence[Register], free: Sequence[Register]
) -> tuple[int, list[Element], Placement]:
    """As many lines at a time as registers and requests allow; the first operand arrives where its result will be."""
    for batch in _BATCHES:
        needed = (operands - 1) * batch
        if batch > len(lines) or batch * operands > IN_FLIGHT or needed > len(free):
            continue
        extra, spare = free[:needed], free[needed:]
        elements = [
            Element((line, *extra[number % batch :: batch]), line) for number, line in enumerate(lines)
        ]
        try:
            return batch, elements, place(expression, elements, [*ACCUMULATORS, *spare])
        except ScheduleError:
            continue
    raise ScheduleError(
        f"{len(lines)} lines of an expression of {operands} operands need more registers than there are; "
        "store fewer lines at a time"
    )


def _read(k: Assembler, operands: Sequence[_Operand], elements: Sequence[Element]) -> None:
    order = turns(len(elements), [operand.by_table for operand in operands])
    tables = [operand for _, operand in order if operands[operand].by_table]
    for number, operand in enumerate(tables):
        k.op("add", TMU_S[number % 2], operands[operand].lanes, UNIFORM)
    for number, operand in enumerate(tables):
        k.load_tmu(number % 2)
        k.op("add", R0, R4, operands[operand].base)
        k.op("add", TMU_S[number % 2], R0, UNIFORM)
    for number, (_, operand) in list(enumerate(order))[len(tables) :]:
        k.op("add", TMU_S[number % 2], operands[operand].lanes, UNIFORM)
    for number, (line, operand) in enumerate(order):
        k.load_tmu(number % 2)
        k.mov(elements[line].operands[operand], R4)
