"""Statistics of many elements, sums or extremes one after the other, and what is computed of them: reductions, softmax.

A step reads one line of elements. Down, lanes are 16 results, and a step is the next element of each. Across, lanes are
neighbours of one result, and what they have found is joined in the end; the last step's may be too many. Elements are
read anew for each statistic, `rows` steps at a time, those behind the last in a tail of masked steps.

The kernel's block: address of the first tile's words, number of tiles, address of the stream and, where every element
gets a result, the stride of stores. Words of a tile:
    address of a line of the lanes' byte offsets, input, output,
    and where there is a single result for all elements: setup of its store, and across the number of results, which
    neighbours get one after the other, and bytes from the elements of one to those of the next.
The stream, which is read for each statistic: number of groups of `rows` whole steps, byte offset of each, what counts
the tail's elements, byte offsets of its `rows` steps. Behind it, for results of every element: the number again, for
each group its byte offsets, setup and byte offset of each store, and for the tail the same, across of one store more.
Several rows are stored in halves, and the VPM is given back once the second store has started, as in
`pieces.store_in_parts`: what the tail stores last lies in the second half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple, TypeVar

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.expressions.emission import Element
from codegen.engines.videocore4.expressions.placement import Placement, place
from codegen.engines.videocore4.kernels.pieces import (
    advance,
    begin_store,
    end_store,
    lane_bytes,
    stream_from,
    vpm_write_rows,
)
from codegen.engines.videocore4.kernels.results import ACCUMULATORS
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.layout import LANES
from codegen.engines.videocore4.registers import (
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    ELEMENT,
    MUTEX,
    MUTEX_RELEASE,
    NULL,
    R0,
    R1,
    R3,
    R4,
    TMU_S,
    UNIFORM,
    VPM_WRITE,
    VPM_WRITE_SETUP,
    Register,
)
from codegen.errors import ScheduleError
from codegen.expression import RESULT, Expression

T = TypeVar("T")
IN_FLIGHT = 8  # requests of both TMUs together
MOST_ROWS = 16  # whose tree of joins has as many levels as there are accumulators
IDENTITIES = {"fadd": 0, "fmul": 1.0, "fmax": -math.inf, "fmin": math.inf}


class Statistic(NamedTuple):
    """What is joined of all elements: an expression of each, and of the statistics before; and what becomes of it.

    Operand 0 is the element, or in `finished` what was joined; the others are the statistics before.
    """

    joined: Literal["fadd", "fmul", "fmax", "fmin"]
    element: Expression = RESULT
    finished: Expression = RESULT


class Form(NamedTuple):
    """`result`: an expression of an element and the statistics; None: the result is the last statistic itself."""

    statistics: tuple[Statistic, ...]
    result: Expression | None
    across: bool
    rows: int

    @property
    def collects(self) -> bool:
        """Whether a tile is several results, one after the other."""
        return self.across and self.result is None

    def halves(self, rows: Sequence[T]) -> tuple[Sequence[T], ...]:
        """What is stored together of the `rows` that are written."""
        half = self.rows // 2
        return (rows[:half], rows[half:]) if half else (rows,)

    @property
    def head_words(self) -> int:
        return 3 if self.result is None else 4

    @property
    def tile_words(self) -> int:
        return 3 + (self.result is None) + 2 * self.collects


@dataclass(frozen=True)
class _Registers:
    tile: Register
    tiles: Register
    stream: Register
    base: Register
    output: Register
    setup: Register  # of the result's store, or the stride of those of elements
    groups: Register
    left: Register
    identity: Register
    statistics: tuple[Register, ...]
    lines: tuple[Register, ...]
    count: Register
    number: Register
    pitch: Register
    collected: Register


@cache
def statistics_kernel(form: Form) -> Assembler:
    """The code; raises ScheduleError where registers lack."""
    if form.rows > MOST_ROWS:
        raise ScheduleError(f"{form.rows} steps at a time: they are joined by {MOST_ROWS} at most")
    pool = RegisterPool()
    r = _allocate(pool, form)
    free = [*ACCUMULATORS, *pool.rest()]
    k = Assembler()
    for register in (r.tile, r.tiles, r.stream, *([] if form.result is None else [r.setup])):
        k.mov(register, UNIFORM)
    k.label("tile")
    _start(k, r, form)
    k.label("row")
    for number in range(len(form.statistics)):
        _statistic(k, r, form, number, free)
    if form.result is not None:
        _results(k, r, form, form.result, free)
    else:
        _result(k, r, form)
    k.op("sub", r.tiles, r.tiles, 1, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _allocate(pool: RegisterPool, form: Form) -> _Registers:
    tiles, groups, count, number, left = (pool.take("a") for _ in range(5))  # port B has small immediates
    files: tuple[Literal["a", "b"], ...] = ("a", "b")
    return _Registers(
        tile=pool.take(),
        tiles=tiles,
        stream=pool.take(),
        base=pool.take("a"),
        output=pool.take(),
        setup=pool.take(),
        groups=groups,
        left=left,
        identity=pool.take(),
        statistics=tuple(pool.take() for _ in form.statistics),
        lines=tuple(
            pool.take(files[row % 2]) for row in range(form.rows)
        ),  # neighbours meet in one operation
        count=count,
        number=number,
        pitch=pool.take("b"),
        collected=pool.take(),
    )


def _start(k: Assembler, r: _Registers, form: Form) -> None:
    stream_from(k, r.tile)
    advance(k, r.tile, form.tile_words)
    lane_bytes(k, R3)
    k.op("add", TMU_S[0], R3, UNIFORM)
    k.load_tmu(0)
    k.op("add", r.base, R4, UNIFORM)
    k.mov(r.output, UNIFORM)
    if form.result is None:
        k.mov(r.setup, UNIFORM)
    if form.collects:
        k.mov(r.count, UNIFORM)
        k.mov(r.pitch, UNIFORM)
        k.mov(r.number, 0)


def _statistic(k: Assembler, r: _Registers, form: Form, number: int, free: Sequence[Register]) -> None:
    one, total, before = form.statistics[number], r.statistics[number], r.statistics[:number]
    elements = [Element((line, *before), line) for line in r.lines]
    placement = None if one.element == RESULT else place(one.element, elements, free)
    stream_from(k, r.stream)
    k.load(r.identity, IDENTITIES[one.joined])
    k.mov(total, r.identity)
    if placement is not None:
        placement.load(k)
    _count_groups(k, r, f"tail {number}")
    k.label(f"group {number}")
    _read(k, r)
    _apply(k, placement, elements)
    _join(k, one.joined, total, r.lines)
    k.op("sub", r.groups, r.groups, 1, set_flags=True)
    k.branch(f"group {number}", "any_zc")
    k.label(f"tail {number}")
    if form.across:
        k.mov(R0, ELEMENT)
        k.op("sub", r.left, UNIFORM, R0)
    else:
        k.mov(r.left, UNIFORM)
    _read(k, r)
    _apply(k, placement, elements)
    for line in r.lines:
        k.op("add", r.left, r.left, -LANES if form.across else -1, set_flags=True)
        k.mov(line, r.identity, condition="ns")
    _join(k, one.joined, total, r.lines)
    if form.across:
        _join_lanes(k, one.joined, total)
    if one.finished != RESULT:
        finish = place(one.finished, [Element((total, *before), total)], free)
        finish.load(k)
        finish.apply(k, [Element((total, *before), total)])


def _count_groups(k: Assembler, r: _Registers, without: str) -> None:
    """Goes on at a label where there are none."""
    k.mov(r.groups, UNIFORM, set_flags=True)
    k.branch(without, "all_zs")


def _read(k: Assembler, r: _Registers) -> None:
    """A line for each of the stream's next offsets."""
    ahead = min(len(r.lines), IN_FLIGHT)
    for number in range(ahead):
        k.op("add", TMU_S[number % 2], r.base, UNIFORM)
    for number, line in enumerate(r.lines):
        k.load_tmu(number % 2)
        k.mov(line, R4)
        if number + ahead < len(r.lines):
            k.op("add", TMU_S[number % 2], r.base, UNIFORM)


def _apply(k: Assembler, placement: Placement | None, elements: Sequence[Element]) -> None:
    if placement is not None:
        placement.apply(k, elements)


def _join(k: Assembler, joined: str, total: Register, lines: Sequence[Register]) -> None:
    """Joins lines in pairs, and these, so that sums are of few terms each, and the last with the total."""

    def join(part: Sequence[Register], depth: int) -> Register:
        target = ACCUMULATORS[depth]
        if len(part) == 1:
            return part[0]
        if len(part) == 2:
            k.op(joined, target, *part)
            return target
        half = len(part) // 2
        k.op(joined, target, join(part[:half], depth), join(part[half:], depth + 1))
        return target

    whole = join(lines, 0)
    if whole not in ACCUMULATORS:
        k.mov(R0, whole)
        whole = R0
    k.op(joined, total, whole, total)


def _join_lanes(k: Assembler, joined: str, total: Register) -> None:
    k.mov(R0, total)
    for lanes in (8, 4, 2, 1):
        k.rotate(R1, R0, lanes)
        k.op(joined, R0, R0, R1)
    k.mov(total, R0)


def _result(k: Assembler, r: _Registers, form: Form) -> None:
    value = r.statistics[-1]
    if form.collects:
        k.mov(R0, ELEMENT)
        k.op("sub", NULL, R0, r.number, set_flags=True)
        k.mov(r.collected, value, condition="zs")
        k.op("add", r.number, r.number, 1)
        k.op("add", r.base, r.base, r.pitch)
        k.op("sub", r.count, r.count, 1, set_flags=True)
        k.branch("row", "any_zc")
        value = r.collected
    k.label("store")  # keeps the mutex behind what computes the value
    begin_store(k)
    k.mov(VPM_WRITE, value)
    k.mov(NULL, DMA_STORE_WAIT)
    k.mov(VPM_WRITE_SETUP, r.setup)
    k.mov(DMA_STORE_ADDRESS, r.output)
    end_store(k)


def _results(
    k: Assembler, r: _Registers, form: Form, expression: Expression, free: Sequence[Register]
) -> None:
    elements = [Element((line, *r.statistics), line) for line in r.lines]
    placement = place(expression, elements, free)
    placement.load(k)
    _count_groups(k, r, "last")
    halves = form.halves(r.lines)
    for label, more in (("elements", 0), ("last", int(form.across))):
        k.label(label)
        _read(k, r)
        placement.apply(k, elements)
        k.label(f"vpm of {label}")  # keeps the mutex behind what computes the values
        k.mov(NULL, MUTEX)
        k.mov(VPM_WRITE_SETUP, r.setup)
        row = 0
        for number, half in enumerate(halves):
            if number:
                k.mov(NULL, DMA_STORE_WAIT)
            k.load(VPM_WRITE_SETUP, vpm_write_rows(row))
            for line in half:
                k.mov(VPM_WRITE, line)
            _store_next(k, r)
            row += len(half)
        for _ in range(more):
            _store_next(k, r)
        if len(halves) == 1:
            k.mov(NULL, DMA_STORE_WAIT)
        k.mov(MUTEX_RELEASE, 0)
        if label == "elements":
            k.op("sub", r.groups, r.groups, 1, set_flags=True)
            k.branch("elements", "any_zc")


def _store_next(k: Assembler, r: _Registers) -> None:
    """Starts the stream's next store, when the one before has ended."""
    k.mov(NULL, DMA_STORE_WAIT)
    k.mov(VPM_WRITE_SETUP, UNIFORM)
    k.op("add", DMA_STORE_ADDRESS, r.output, UNIFORM)
