"""Lines whose lanes are gathered from anywhere in a tensor: copies in another arrangement, and weighted sums.

A tile is a run of lines, stored `rows` at a time at one distance from each other. Where lanes keep their distances
from line to line, a table says once a tile where each lane reads, for every tap, and a stream of uniforms how far
each line's places lie from there; otherwise every line has a line of the table of its own (`by_line`).

The kernel's block: address of the first tile's words, number of tiles and, where lanes are filled, the bits of the
number that they get, or by line the address of a line that they read. Words of a tile: TILE_WORDS as `Tile` lists them.
A table holds byte offsets, `taps` lines, then as many lines of weights where they are weighted, or a line of masks
where they are filled: -1 for a lane that gets the number, else 0. By line a lane that is filled has an offset below 0.
A tile's stream of uniforms holds a byte offset for each line.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.kernels.pieces import (
    VPM_ROWS,
    advance,
    lane_bytes,
    stream_from,
    vpm_write_rows,
)
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.layout import LINE_BYTES
from codegen.engines.videocore4.registers import (
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    MUTEX,
    MUTEX_RELEASE,
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
    VPM_WRITE,
    VPM_WRITE_SETUP,
    Register,
)
from codegen.errors import ScheduleError

IN_FLIGHT = 8  # requests of both TMUs together
# Table, stream, input, groups, output, DMA stride, DMA rows of each half (0: none), bytes from group to group.
TILE_WORDS = 9


class Form(NamedTuple):
    """What a kernel computes of the elements that a lane gathers."""

    taps: int = 1
    weighted: bool = False
    filled: bool = False
    by_line: bool = False

    @property
    def table_lines(self) -> int:
        """Of a tile, or by line of a line."""
        return self.taps * (2 if self.weighted else 1) + (self.filled and not self.by_line)


@cache
def gather_kernel(form: Form, rows: int) -> Assembler:
    """Code for tiles of lines stored `rows` at a time; raises ScheduleError where registers or the VPM lack."""
    if rows > VPM_ROWS:
        raise ScheduleError(f"{rows} lines exceed the VPM's {VPM_ROWS} rows")
    if form.by_line and form.taps > 1:
        raise ScheduleError(f"{form.taps} taps for each line: a table by line has one")
    pool = RegisterPool()
    tiles, groups = pool.take("a"), pool.take("a")
    output, step = pool.take("b"), pool.take("a")  # they meet in one addition
    tile, stream, stride, first, second = (pool.take() for _ in range(5))
    addresses = [pool.take() for _ in range(form.taps)]
    weights = [pool.take() for _ in range(form.taps if form.weighted else 0)]
    fill, mask = (pool.take(), pool.take()) if form.filled else (NULL, NULL)
    lines = tuple(pool.take() for _ in range(rows))
    k = Assembler()
    k.mov(tile, UNIFORM)
    k.mov(tiles, UNIFORM)
    if form.filled:
        k.mov(fill, UNIFORM)
    k.load(R5_ALL, LINE_BYTES)
    k.label("tile")
    stream_from(k, tile)
    advance(k, tile, TILE_WORDS)
    lane_bytes(k, R3)
    if form.by_line:
        k.op("add", stream, R3, UNIFORM)
        k.mov(NULL, UNIFORM)
        k.mov(addresses[0], UNIFORM)
    else:
        k.op("add", R1, R3, UNIFORM)
        k.mov(stream, UNIFORM)
        k.mov(R2, UNIFORM)
        _read_table(k, R1, [*addresses, *weights, *([mask] if form.filled else [])], form.taps, R2)
    for register in (groups, output, stride, first, second, step):
        k.mov(register, UNIFORM)
    if not form.by_line:
        stream_from(k, stream)
    k.label("group")
    if form.by_line:
        _group_by_line(k, addresses[0], stream, lines, fill if form.filled else None)
    elif form.weighted:
        _weighted_group(k, addresses, weights, lines)
    else:
        _group(k, addresses[0], lines)
    if form.filled and not form.by_line:
        k.mov(NULL, mask, set_flags=True)
        for line in lines:
            k.mov(line, fill, condition="zc")
    _store(k, lines, stride, (first, second), output, step)
    k.op("sub", groups, groups, 1, set_flags=True)
    k.branch("group", "any_zc")
    k.op("sub", tiles, tiles, 1, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _store(
    k: Assembler,
    lines: Sequence[Register],
    stride: Register,
    halves: tuple[Register, Register],
    output: Register,
    step: Register,
) -> None:
    """In halves, as `pieces.store_in_parts` does; one half alone is waited for."""
    half = len(lines) // 2
    k.label("store")
    k.mov(NULL, MUTEX)
    k.load(VPM_WRITE_SETUP, vpm_write_rows(0))
    k.mov(VPM_WRITE_SETUP, stride)
    for line in lines[:half]:
        k.mov(VPM_WRITE, line)
    k.mov(NULL, DMA_STORE_WAIT)
    k.mov(VPM_WRITE_SETUP, halves[0])
    k.mov(DMA_STORE_ADDRESS, output)
    for line in lines[half:]:
        k.mov(VPM_WRITE, line)
    k.mov(R0, step)
    k.op("shr", R0, R0, 1)
    k.op("add", R0, R0, output)
    k.op("add", output, output, step)
    k.mov(NULL, DMA_STORE_WAIT)
    k.mov(R1, halves[1], set_flags=True)
    k.branch("stored", "all_zs")
    k.label("second")
    k.mov(VPM_WRITE_SETUP, R1)
    k.mov(DMA_STORE_ADDRESS, R0)
    k.label("stored")
    k.mov(MUTEX_RELEASE, 0)


def _read_table(
    k: Assembler, address: Register, targets: Sequence[Register], offsets: int, base: Register
) -> None:
    """Lines one behind the other; the first `offsets` of them are added to the base."""
    ahead = min(len(targets), IN_FLIGHT)

    def ask(number: int) -> None:
        k.mov(TMU_S[number % 2], address)
        k.op("add", address, address, R5)

    for number in range(ahead):
        ask(number)
    for number, target in enumerate(targets):
        k.load_tmu(number % 2)
        if number < offsets:
            k.op("add", target, R4, base)
        else:
            k.mov(target, R4)
        if number + ahead < len(targets):
            ask(number + ahead)


def _group(k: Assembler, address: Register, lines: Sequence[Register]) -> None:
    ahead = min(len(lines), IN_FLIGHT)
    for number in range(ahead):
        k.op("add", TMU_S[number % 2], address, UNIFORM)
    for number, line in enumerate(lines):
        k.load_tmu(number % 2)
        k.mov(line, R4)
        if number + ahead < len(lines):
            k.op("add", TMU_S[(number + ahead) % 2], address, UNIFORM)


def _weighted_group(
    k: Assembler, addresses: Sequence[Register], weights: Sequence[Register], lines: Sequence[Register]
) -> None:
    taps = len(addresses)
    count = len(lines) * taps
    ahead = min(count, IN_FLIGHT)

    def ask(number: int) -> None:
        tap = number % taps
        if tap == 0:
            k.mov(R3, UNIFORM)
        k.op("add", TMU_S[number % 2], addresses[tap], R3)

    for number in range(ahead):
        ask(number)
    for number in range(count):
        line, tap = divmod(number, taps)
        total = (R1, R2)[line % 2]
        k.load_tmu(number % 2)
        target = lines[line] if tap == taps - 1 else total
        if tap == 0:
            k.op("fmul", target, R4, weights[0])
        else:
            k.op("fmul", R0, R4, weights[tap])
            k.op("fadd", target, total, R0)
        if number + ahead < count:
            ask(number + ahead)


def _group_by_line(
    k: Assembler, base: Register, table: Register, lines: Sequence[Register], fill: Register | None
) -> None:
    """As many lines of the table as the TMUs take requests, then the elements."""
    for first in range(0, len(lines), IN_FLIGHT):
        batch = range(first, min(first + IN_FLIGHT, len(lines)))
        for number in batch:
            k.together(operation("add", table, table, R5), move(TMU_S[number % 2], table))
        for number in batch:
            k.load_tmu(number % 2)
            if fill is None:
                k.op("add", TMU_S[number % 2], R4, base)
            else:
                k.mov(NULL, R4, set_flags=True)
                k.op("add", R0, R4, base)
                k.mov(R0, fill, condition="ns")
                k.mov(TMU_S[number % 2], R0)
        for number in batch:
            k.load_tmu(number % 2)
            k.mov(lines[number], R4)
