"""Kernels on whole lines, whatever they hold: expressions of several tensors, and copies.

A tile is a run of groups of `rows` lines that lie one behind the other in every operand, or that one operand has a
single line or number for. Lines are asked for ahead of use and never beyond the tile. Results are kept in registers
and stored `rows` at a time. The kernel's block: address of the first tile's words, number of tiles. Words of a tile:
an address for each operand, number of groups, output address, and, where a clamp is all there is besides a copy or a
sum of two, low, high.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.expressions.emission import Element
from codegen.engines.videocore4.expressions.placement import Placement, place
from codegen.engines.videocore4.kernels.pieces import (
    advance,
    in_halves,
    lane_bytes,
    store_in_parts,
    stream_from,
)
from codegen.engines.videocore4.kernels.results import ACCUMULATORS, Results
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.layout import LINE_BYTES
from codegen.engines.videocore4.registers import (
    DMA_STORE_WAIT,
    NULL,
    R1,
    R3,
    R4,
    R5,
    R5_ALL,
    TMU_S,
    UNIFORM,
    Register,
)
from codegen.errors import ScheduleError
from codegen.expression import Expression, Operand, apply, as_clamp

QUEUE_DEPTH = 4
MAXIMUM_OPERANDS = 2 * QUEUE_DEPTH
_BATCHES = (4, 2, 1)  # lines whose operands are in registers at a time
COPY = Operand(0)
SUMS = apply("add", Operand(0), Operand(1)), apply("add", Operand(1), Operand(0))


class Access(NamedTuple):
    """How an operand is read: a word for each lane or one for all, and bytes from a line's to the next line's."""

    by_lane: bool
    step_bytes: int


LINES = Access(True, LINE_BYTES)
ONE_LINE = Access(True, 0)  # the same for every channel
ONE_NUMBER = Access(False, 0)
CHANNEL_NUMBERS = Access(False, 4)  # a flat word for each channel
CHANNEL_LINES = Access(False, LINE_BYTES)  # the first word of a line for each channel


def tile_words(operands: int, clamped: bool) -> int:
    """Uniform words of one tile."""
    return operands + (4 if clamped else 2)


def is_clamped(expression: Expression, accesses: Sequence[Access]) -> bool:
    """Whether a clamp with bounds from the uniforms is all there is besides a copy or a sum of two operands' lines."""
    inner = as_clamp(expression).value
    return set(accesses) == {LINES} and inner in (COPY, *SUMS) and inner.arity == len(accesses)


def lines_kernel(expression: Expression, accesses: Sequence[Access], rows: int) -> Assembler:
    """An expression of one operand for each access, one at least by lines; `rows` lines are stored at a time.

    Raises ScheduleError for more operands than the TMUs take requests, and where registers lack.
    """
    if is_clamped(expression, accesses):
        return _kernel(COPY if len(accesses) == 1 else SUMS[0], tuple(accesses), rows, True)
    if expression.arity > len(accesses) or LINES not in accesses:
        raise ScheduleError(
            f"an expression of {expression.arity} operands, of which {len(accesses)} are read"
        )
    if sum(access.step_bytes > 0 for access in accesses) > MAXIMUM_OPERANDS:
        raise ScheduleError(
            f"{len(accesses)} operands: the TMUs take requests of {MAXIMUM_OPERANDS} at a time"
        )
    return _kernel(expression, tuple(accesses), rows, False)


@cache
def _kernel(expression: Expression, accesses: tuple[Access, ...], rows: int, clamped: bool) -> Assembler:
    pool = RegisterPool()
    tiles, groups = pool.take("a"), pool.take("a")
    # Small steps are small immediates, which take port B.
    sources = [pool.take("a" if 0 < access.step_bytes < LINE_BYTES else None) for access in accesses]
    output, step = pool.take("b"), pool.take("a")  # they meet in one addition
    tile = pool.take()
    bounds = (pool.take(), pool.take()) if clamped else ()
    lines = tuple(pool.take() for _ in range(rows))
    results = Results(lines, bounds, None)
    computation = None if clamped else _computation(expression, accesses, sources, lines, pool)
    k = Assembler()
    k.mov(tile, UNIFORM)
    k.mov(tiles, UNIFORM)
    k.load(R5_ALL, LINE_BYTES)
    k.load(step, rows * LINE_BYTES)
    if computation is not None:
        computation.placement.load(k)
    k.label("tile")
    stream_from(k, tile)
    advance(k, tile, tile_words(len(accesses), clamped))
    lane_bytes(k, R3)
    for access, source in zip(accesses, sources, strict=True):
        _start(k, access, source)
    for register in (groups, output, *bounds):
        k.mov(register, UNIFORM)
    k.label("group")
    if computation is None:
        _group(k, sources, lines)
    else:
        computation.group(k)
    results.compute_low(k)
    store_in_parts(k, in_halves(lines, output), results.write_high)
    k.op("add", output, output, step)
    k.op("sub", groups, groups, 1, set_flags=True)
    k.branch("group", "any_zc")
    k.op("sub", tiles, tiles, 1, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _start(k: Assembler, access: Access, source: Register) -> None:
    """An operand's first address, or what it is for the whole tile; r3 has the lanes' byte offsets."""
    target = source if access.step_bytes else TMU_S[0]
    if access.by_lane:
        k.op("add", target, R3, UNIFORM)
    else:
        k.mov(target, UNIFORM)
    if not access.step_bytes:
        k.load_tmu(0)
        k.mov(source, R4)


def _ask(k: Assembler, access: Access, address: Register, tmu: int) -> None:
    step = R5 if access.step_bytes == LINE_BYTES else access.step_bytes
    k.together(operation("add", address, address, step), move(TMU_S[tmu], address))


def _group(k: Assembler, addresses: list[Register], results: Sequence[Register]) -> None:
    """Fills the queues, then takes a line and asks for another until none is left."""
    copies = len(addresses) == 1
    ahead = min(len(results), 2 * QUEUE_DEPTH if copies else QUEUE_DEPTH)

    def tmu(line: int, operand: int) -> int:
        return line % 2 if copies else operand

    def ask(line: int) -> None:
        for operand, address in enumerate(addresses):
            _ask(k, LINES, address, tmu(line, operand))

    for line in range(ahead):
        ask(line)
    for line, result in enumerate(results):
        k.load_tmu(tmu(line, 0))
        if copies:
            k.mov(result, R4)
        else:
            k.mov(R1, R4)
            k.load_tmu(1)
            k.op("fadd", result, R1, R4)
        if line + ahead < len(results):
            ask(line + ahead)


@dataclass(frozen=True)
class _Computation:
    """A group of lines of an expression: some lines' operands at a time are in registers."""

    placement: Placement
    elements: tuple[Element, ...]
    batch: int
    asked: tuple[
        tuple[int, Access, Register], ...
    ]  # operands that are read line by line, with their addresses

    def group(self, k: Assembler) -> None:
        count = len(self.elements)
        a_turn = (len(self.asked) + 1) // 2 if self._apart else 0.5  # requests of a line on one TMU
        ahead = min(count, int(QUEUE_DEPTH / a_turn))
        for line in range(ahead):
            self._ask(k, line)
        for first in range(0, count, self.batch):
            lines = range(first, min(first + self.batch, count))
            for line in lines:
                for position, (operand, _, _) in enumerate(self.asked):
                    k.load_tmu(self._tmu(line, position))
                    k.mov(self.elements[line].operands[operand], R4)
                if line + ahead < count:
                    self._ask(k, line + ahead)
            self.placement.apply(k, [self.elements[line] for line in lines])

    @property
    def _apart(self) -> bool:
        """Whether operands share out the TMUs; those of a single one take turns."""
        return len(self.asked) > 1

    def _tmu(self, line: int, position: int) -> int:
        return position % 2 if self._apart else line % 2

    def _ask(self, k: Assembler, line: int) -> None:
        for position, (_, access, address) in enumerate(self.asked):
            _ask(k, access, address, self._tmu(line, position))


def _computation(
    expression: Expression,
    accesses: Sequence[Access],
    sources: Sequence[Register],
    lines: Sequence[Register],
    pool: RegisterPool,
) -> _Computation:
    """As many lines at a time as registers allow; the first operand by lines arrives where its result will be."""
    first = accesses.index(LINES)
    asked = tuple((i, a, s) for i, (a, s) in enumerate(zip(accesses, sources, strict=True)) if a.step_bytes)
    free = pool.rest()
    for batch in _BATCHES:
        needed = (len(asked) - 1) * batch
        if needed > len(free):
            continue
        extra, spare = free[:needed], free[needed:]
        elements = []
        for line, result in enumerate(lines):
            arriving = iter(extra[line % batch :: batch])
            elements.append(
                Element(
                    tuple(
                        source if not access.step_bytes else result if operand == first else next(arriving)
                        for operand, (access, source) in enumerate(zip(accesses, sources, strict=True))
                    ),
                    result,
                )
            )
        try:
            placement = place(expression, elements, [*ACCUMULATORS, *spare])
        except ScheduleError:
            continue
        return _Computation(placement, tuple(elements), batch, asked)
    raise ScheduleError(
        f"{len(lines)} lines of an expression of {len(accesses)} operands need more registers than there are; "
        "store fewer lines at a time"
    )
