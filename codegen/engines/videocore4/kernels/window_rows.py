"""Windows of any size, a row of taps at a time. Lanes are 16 output pixels of one channel.

A tile is 16 output pixels by `channels` channels, whose results stay in registers while the window's rows pass. A row
has `columns` taps; wider windows come in several parts. For each part the lanes' input columns are computed once, for
each row of a part the taps' addresses; then all channels are gone through, two at a time, one on each TMU: a line is
fetched into one TMU's cache only, and the taps of a row that share it follow each other.

Lanes outside the input read constant lines, one for each channel, so that all lanes step alike.

The kernel's block: address of the first tile's words, number of tiles, the input's address, the address of the
constant lines, input columns, input rows, bytes from one block of the input to the next less those of a line, rows
from tap to tap. Words of a tile:
    first pixel, WINDOW_ORIGIN_WORDS, byte offset of the first channel, output address, low, high (where no epilogue is
    `coded`), address of a line of 1 / divisor (average), address of its stream.
The stream: each channel's bias (depthwise), number of parts; for each part the columns from the window's first of its
taps, the number of rows, and (depthwise) for each row the weights: two channels' in turn, by taps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.kernels.pieces import (
    WINDOW_ORIGIN_WORDS,
    WindowOrigin,
    advance,
    in_halves,
    lane_bytes,
    store_in_parts,
    stream_from,
    window_origin,
)
from codegen.engines.videocore4.kernels.results import Results, take_bounds
from codegen.engines.videocore4.kernels.window import LOWEST, QUEUE_DEPTH, Window
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.layout import LINE_BYTES
from codegen.engines.videocore4.registers import (
    DMA_STORE_WAIT,
    ELEMENT,
    NULL,
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R5_ALL,
    TMU_S,
    UNIFORM,
    Register,
)
from codegen.expression import Expression

HEAD_WORDS = 8
OUTSIDE = -(1 << 26)  # a pixel number of lanes outside: no sum with a row or a column of a plane reaches 0
ABSENT = 1 << 22  # columns from the window's first of a tap that a part lacks: outside of every plane
_ACCUMULATORS = (R1, R3)


def tile_words(window: Window, clamped: bool) -> int:
    """Uniform words of one tile."""
    return 1 + WINDOW_ORIGIN_WORDS + 3 + (2 if clamped else 0) + (window == "average")


def turns(channels: int, columns: int) -> tuple[tuple[int, int], ...]:
    """The order of a row's taps, as (channel, tap): two channels take turns, a channel left over goes alone."""
    pairs = [range(first, min(first + 2, channels)) for first in range(0, channels, 2)]
    return tuple((channel, tap) for pair in pairs for tap in range(columns) for channel in pair)


@dataclass(frozen=True)
class _Registers:
    tile: Register
    tiles: Register
    base: Register
    outside: Register
    width: Register
    height: Register
    block_gap: Register
    row_step: Register
    source: Register  # the input's address at the tile's first channel
    output: Register
    bounds: tuple[Register, ...]
    divisor: Register | None
    origin: WindowOrigin
    parts: Register
    row: Register
    rows: Register
    columns: tuple[Register, ...]
    addresses: tuple[Register, ...]
    results: tuple[Register, ...]


@cache
def window_rows_kernel(
    window: Window, columns: int, channels: int, epilogue: Expression | None = None
) -> Assembler:
    """Code for rows of `columns` taps and `channels` channels a tile; ScheduleError where registers lack."""
    pool = RegisterPool()
    r = _allocate(pool, window, columns, channels, epilogue)
    spare = [*pool.rest(), *r.columns, *r.addresses]
    results = Results.of(r.results, epilogue, r.bounds, spare)
    k = Assembler()
    head = (r.tile, r.tiles, r.base, r.outside, r.width, r.height, r.block_gap, r.row_step)
    for register in head:
        k.mov(register, UNIFORM)
    lane_bytes(k, R0)
    k.op("add", r.outside, r.outside, R0)
    k.load(R5_ALL, LINE_BYTES)
    k.label("tile")
    _start(k, r, window)
    k.label("part")
    _columns(k, r)
    k.label("row")
    _addresses(k, r)
    k.label("taps")
    _taps(k, r, window)
    k.op("add", r.row, r.row, r.row_step)
    k.op("sub", r.rows, r.rows, 1, set_flags=True)
    k.branch("row", "any_zc")
    k.label("part_end")
    k.op("sub", r.parts, r.parts, 1, set_flags=True)
    k.branch("part", "any_zc")
    k.label("results")
    if r.divisor is not None:
        for result in r.results:
            k.op("fmul", result, result, r.divisor)
    results.load_constants(k)
    results.compute_all(k)
    store_in_parts(k, in_halves(r.results, r.output), results.write_high)
    k.op("sub", r.tiles, r.tiles, 1, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _allocate(
    pool: RegisterPool, window: Window, columns: int, channels: int, epilogue: Expression | None
) -> _Registers:
    counters = [pool.take("a") for _ in range(3)]  # they meet small immediates, which take port B
    divisor = pool.take("a") if window == "average" else None
    row = pool.take("a")  # meets the plane's size and the step in file B
    width, height, row_step = (pool.take("b") for _ in range(3))
    return _Registers(
        results=tuple(pool.take("b" if divisor else None) for _ in range(channels)),
        columns=tuple(pool.take() for _ in range(columns)),
        addresses=tuple(pool.take() for _ in range(columns)),
        tiles=counters[0],
        parts=counters[1],
        rows=counters[2],
        tile=pool.take(),
        base=pool.take(),
        outside=pool.take(),
        width=width,
        height=height,
        block_gap=pool.take(),
        row_step=row_step,
        source=pool.take(),
        output=pool.take(),
        bounds=take_bounds(pool, epilogue),
        divisor=divisor,
        origin=WindowOrigin(pool.take(), pool.take()),
        row=row,
    )


def _start(k: Assembler, r: _Registers, window: Window) -> None:
    stream_from(k, r.tile)
    advance(k, r.tile, tile_words(window, bool(r.bounds)))
    k.mov(R3, ELEMENT)
    k.op("add", R3, R3, UNIFORM)
    window_origin(k, r.origin, R3)
    k.op("add", r.source, r.base, UNIFORM)
    for register in (r.output, *r.bounds):
        k.mov(register, UNIFORM)
    if r.divisor is not None:
        lane_bytes(k, R0)
        k.op("add", TMU_S[0], R0, UNIFORM)
        k.load_tmu(0)
        k.mov(r.divisor, R4)
    k.mov(R3, UNIFORM)
    stream_from(k, R3)
    for result in r.results:
        if window == "depthwise":
            k.mov(result, UNIFORM)
        else:
            k.load(result, LOWEST if window == "max" else 0)
    k.mov(r.parts, UNIFORM)


def _columns(k: Assembler, r: _Registers) -> None:
    """Each tap's input column, `OUTSIDE` in the lanes that have none, and the first row."""
    k.load(R2, OUTSIDE)
    for column in r.columns:
        k.op("add", R0, r.origin.column, UNIFORM, set_flags=True)
        k.op("sub", R1, r.width, R0)
        k.mov(R0, R2, condition="ns")
        k.op("sub", NULL, R1, 1, set_flags=True)
        k.mov(R0, R2, condition="ns")
        k.mov(column, R0)
    k.mov(r.rows, UNIFORM)
    k.mov(r.row, r.origin.row)


def _addresses(k: Assembler, r: _Registers) -> None:
    """Each tap's address: four bytes a pixel, and what lies between blocks."""
    k.load(R2, OUTSIDE)
    k.op("mul24", R3, r.row, r.width)
    k.op("sub", R1, r.height, r.row)
    k.mov(R0, r.row, set_flags=True)
    k.mov(R3, R2, condition="ns")
    k.op("sub", NULL, R1, 1, set_flags=True)
    k.mov(R3, R2, condition="ns")
    for column, address in zip(r.columns, r.addresses, strict=True):
        k.op("add", R0, R3, column, set_flags=True)
        k.op("shr", R1, R0, 4)
        k.op("mul24", R1, R1, r.block_gap)
        k.op("shl", R0, R0, 2)
        k.op("add", R0, R0, R1)
        k.op("add", address, R0, r.source)
        k.mov(address, r.outside, condition="ns")


def _taps(k: Assembler, r: _Registers, window: Window) -> None:
    """One row of taps of all channels: each is received, used, and replaced by a request further on."""
    order = turns(len(r.results), len(r.columns))
    ahead = min(2 * QUEUE_DEPTH, len(order))
    last = len(r.columns) - 1

    def request(number: int) -> None:
        address = r.addresses[order[number][1]]
        k.together(operation("add", address, address, R5), move(TMU_S[number % 2], address))

    for number in range(ahead):
        request(number)
    for number, (channel, tap) in enumerate(order):
        accumulator, result = _ACCUMULATORS[channel % 2], r.results[channel]
        source, target = result if tap == 0 else accumulator, result if tap == last else accumulator
        k.load_tmu(number % 2)
        if number + ahead < len(order):
            request(number + ahead)
        if window == "depthwise":
            k.op("fmul", R0, R4, UNIFORM)
            k.op("fadd", target, source, R0)
        else:
            k.op("fmax" if window == "max" else "fadd", target, source, R4)
