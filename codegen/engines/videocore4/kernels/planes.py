"""Convolution of a few planes whose lanes are output channels: rows of the row-major input are the scalars.

A tile is 16 neighbouring output pixels of a row by 2 vectors of 16 output channels, all sums in registers. Of every
row of an input plane that meets it, the kernel has the pixels in lines of 16, in accumulators, and the weights of that
row's taps, a register each. Every pixel is sent to all lanes once, by rotation into r5, and meets each tap that it has
an output for: `kernel columns` / stride of them, of both vectors. What a pixel costs beside its products is that
rotation, beside whose successor the add ALU is free: there weights and lines leave r4. With strides, pixels meet every
so many of the taps: a row is gone through in as many turns, of the pixels that meet the same taps. During a turn the
weights of the next one arrive, a request a pixel, and during the last the next row's lines. Where there is one turn,
the next row's weights and lines arrive as soon as this row needs their registers no more.

Sums of the first vector are in file A and its weights in file B, those of the second the other way round: a sum and
the product behind it take different ports. From the second's products to the first's leads one that has both in file A,
and what stands beside a rotation, whose amount takes port B, is a sum in file A.

The kernel's block: address of the first tile's words, number of tiles. Words of a tile: addresses of its table, of the
biases of both vectors, of the weights, of the first plane and of the list of rows, number of rows; then low, high
(where no epilogue is `coded`), and for each vector and each of `pieces` of a store its set-up (0: none), that of its
stride and its address. The table has a line for each line of pixels: bytes from the row's first, below 0 outside. The
list: for each row, and one behind the last, which is fetched like the others, the bytes to it from the first plane's
start, and from its weights' to those behind them.
Weights: for each row of the window, tap by tap in the order of `Row.turns` a line of each vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.kernels.channel_lanes import DMA_WORDS, VECTORS
from codegen.engines.videocore4.kernels.pieces import advance, lane_bytes, stream_from, vpm_write_columns
from codegen.engines.videocore4.kernels.results import Results
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.engines.videocore4.operation import Operation
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
    VPM_WRITE_SETUP,
    Register,
)
from codegen.errors import ScheduleError
from codegen.expression import Expression

PIXELS = LANES
HEAD_WORDS = 7
PIXEL_LINES = (R1, R2, R3)  # rotation takes these
_QUEUE_DEPTH = 4  # requests of one TMU
_LATENCY = 6  # pixels, whose products take about as long as a line
_SIGN = 31


def tile_words(pieces: int, clamped: bool) -> int:
    """Words of a tile."""
    return HEAD_WORDS + (2 if clamped else 0) + VECTORS * pieces * DMA_WORDS


@dataclass(frozen=True)
class Row:
    """How outputs of a row meet a row of inputs."""

    taps: int
    stride: int
    outputs: int = PIXELS

    @property
    def pixels(self) -> int:
        return (self.outputs - 1) * self.stride + self.taps

    @property
    def lines(self) -> int:
        return -(-self.pixels // LANES)

    def met(self, pixel: int) -> Iterator[tuple[int, int]]:
        """(output, tap) of each product of a pixel."""
        for tap in range(self.taps):
            output, rest = divmod(pixel - tap, self.stride)
            if rest == 0 and 0 <= output < self.outputs:
                yield output, tap

    @property
    def step(self) -> int:
        """From a pixel of a turn to the next: with few taps for each pixel there is one turn."""
        return self.stride if self.taps // self.stride > 1 else 1

    @property
    def turns(self) -> tuple[range, ...]:
        """The taps of each: its pixels are those from the first tap on, and meet no others."""
        return tuple(range(first, self.taps, self.step) for first in range(self.step))

    @property
    def instructions(self) -> int:
        """Of a row, about: its products, rotations, and what has no room beside these."""
        rotations = sum(any(self.met(pixel)) for pixel in range(self.pixels))
        return self.outputs * VECTORS * self.taps + rotations + VECTORS * self.taps + self.lines


@dataclass(frozen=True)
class _Registers:
    sums: list[list[Register]]
    weights: list[list[Register]]
    offsets: list[Register]  # of lines of pixels, from the row's address
    masks: list[Register]
    row: Register
    source: Register  # of weights
    step: Register
    rows: Register
    tile: Register
    tiles: Register


@dataclass(frozen=True)
class _Fetch:
    """A line on its way into a register, once a pixel has been used."""

    behind: int
    tmu: int
    line: int | None  # of pixels
    tap: tuple[int, int] | None  # vector and tap


def leading(row: Row) -> set[int]:
    """Taps by which the second vector's products lead to the first's: in the middle, where most pixels have them."""
    others = [range(first, row.taps, row.stride) for first in range(min(row.stride, row.taps))]
    return {taps[(len(taps) - 1) // 2] for taps in others}


def _allocate(row: Row) -> tuple[_Registers, list[Register]]:
    pool = RegisterPool()
    sums = [[pool.take(file) for _ in range(PIXELS)] for file in ("a", "b")]
    leads = leading(row)
    first = [pool.take("a" if tap in leads else "b") for tap in range(row.taps)]
    second = [pool.take("a") for _ in range(row.taps)]
    rows, tiles = pool.take("a"), pool.take("a")  # they meet small immediates
    offsets = [pool.take("b") for _ in range(row.lines)]
    masks = [pool.take("b") for _ in range(row.lines)]
    step = pool.take("b")
    source, address = pool.take("a"), pool.take("a")  # they meet `offsets` and `step`
    tile = pool.take("b")
    registers = _Registers(sums, [first, second], offsets, masks, address, source, step, rows, tile, tiles)
    done = [*offsets, *masks, *first, *second, address, source, rows]
    return registers, [*pool.rest(), *done]


@cache
def planes_kernel(taps: int, stride: int, pieces: int, epilogue: Expression | None = None) -> Assembler:
    """Code for windows of so many columns. `pieces`: parts of a line that 16 pixels are stored in, at most.

    Raises ScheduleError where registers lack.
    """
    row = Row(taps, stride)
    if row.lines > len(PIXEL_LINES):
        raise ScheduleError(f"{row.pixels} pixels of a row: at most {len(PIXEL_LINES) * LANES} are at hand")
    r, free = _allocate(row)
    results = Results.of([x for sums in r.sums for x in sums], epilogue, (UNIFORM, UNIFORM), free)
    k = Assembler()
    k.mov(r.tile, UNIFORM)
    k.mov(r.tiles, UNIFORM)
    k.label("tile")
    _start(k, r, row)
    k.label("row")
    k.op("sub", r.rows, r.rows, 1, set_flags=True)
    _row(k, r, row)
    k.branch("row", "any_zc")
    k.label("store")
    stream_from(k, r.tile)
    advance(k, r.tile, tile_words(pieces, bool(results.bounds)) - HEAD_WORDS)
    results.load_constants(k)
    results.compute(k)
    results.compute_low(k)
    _store(k, r, results, pieces)
    k.op("sub", r.tiles, r.tiles, 1, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _fetches(row: Row, turn: int) -> list[_Fetch]:
    """What arrives during a turn, in the order in which registers come free."""
    turns = row.turns
    last = (PIXELS - 1) * row.stride if len(turns) == 1 else -row.taps
    found = [
        _Fetch(last + tap, vector, None, (vector, tap))
        for tap in turns[(turn + 1) % len(turns)]
        for vector in range(VECTORS)
    ]
    if turn == len(turns) - 1:
        found += [
            _Fetch(min(LANES * (line + 1), row.pixels) - 1, line % len(TMU_S), line, None)
            for line in range(row.lines)
        ]
    return sorted(found, key=lambda fetch: fetch.behind)


class _Fetches:
    """The fetches of a turn, as many under way as the TMUs take."""

    def __init__(self, k: Assembler, r: _Registers, fetches: list[_Fetch]) -> None:
        self._k, self._r = k, r
        self._waiting, self._due = list(fetches), list(fetches)
        self._in_flight = [0] * len(TMU_S)
        self._asked: list[int] = []  # when each that is due was, in pixels
        self._in_r4: _Fetch | None = None
        self._is_next = False

    def ask(self, now: int = 0, most: int | None = None) -> None:
        """As many as there is room for, each TMU's in turn."""
        for _ in range(len(self._waiting) if most is None else most):
            if not self._waiting or self._in_flight[self._waiting[0].tmu] == _QUEUE_DEPTH:
                return
            fetch = self._waiting.pop(0)
            self._in_flight[fetch.tmu] += 1
            self._asked.append(now)
            target = TMU_S[fetch.tmu]
            if fetch.line is not None:
                self._k.op("add", target, self._r.offsets[fetch.line], self._r.row)
            else:
                source, step = self._r.source, self._r.step
                self._k.together(operation("add", source, source, step), move(target, source))

    def beside(self, number: int, pixel: int) -> Operation | None:
        """What is done beside a pixel's products, which stay there: the next line that has had time and place is
        received, and another is asked for. Returns how the one before leaves r4.
        """
        if self._in_r4 or self._due:
            self._k.label(f"pixel{pixel}")
        leaves = self._leaves()
        arrived = bool(self._asked) and self._asked[0] + _LATENCY <= number
        if arrived and self._due[0].behind <= pixel:
            self._is_next = True
        self.ask(number, 1)
        return leaves

    def receive_next(self) -> None:
        """Once a line has left."""
        if self._is_next:
            self._receive()
            self._is_next = False

    def take_all(self, used: int) -> None:
        """All that may be received once a pixel is used, and as many requests more."""
        while True:
            leaves = self._leaves()
            if leaves is not None:
                self._k.together(leaves)
            if not self._due or self._due[0].behind > used:
                return
            self._receive()
            self.ask()

    def _receive(self) -> None:
        fetch = self._due.pop(0)
        del self._asked[0]
        self._k.load_tmu(fetch.tmu)
        self._in_flight[fetch.tmu] -= 1
        self._in_r4 = fetch

    def _leaves(self) -> Operation | None:
        """What moves the line out of r4, where there is one."""
        fetch, self._in_r4 = self._in_r4, None
        if fetch is None:
            return None
        if fetch.line is not None:
            return operation("and", PIXEL_LINES[fetch.line], R4, self._r.masks[fetch.line])
        assert fetch.tap is not None
        vector, tap = fetch.tap
        return Operation("mov", "add", self._r.weights[vector][tap], (R4,))


def _start(k: Assembler, r: _Registers, row: Row) -> None:
    """Addresses, biases, and the first row's lines and weights."""
    stream_from(k, r.tile)
    advance(k, r.tile, HEAD_WORDS)
    lane_bytes(k, R3)
    k.op("add", R0, R3, UNIFORM)
    k.load(r.step, LINE_BYTES)
    for line in range(row.lines):
        k.mov(TMU_S[line % len(TMU_S)], R0)
        k.op("add", R0, R0, r.step)
    for vector in range(VECTORS):
        k.op("add", TMU_S[(row.lines + vector) % len(TMU_S)], R3, UNIFORM)
    k.op("add", r.source, R3, UNIFORM)
    k.mov(R2, UNIFORM)
    k.mov(R1, UNIFORM)
    k.mov(r.rows, UNIFORM)
    stream_from(k, R1)
    k.load(R1, _SIGN)
    for line, (offset, mask) in enumerate(zip(r.offsets, r.masks, strict=True)):
        k.load_tmu(line % len(TMU_S))
        k.op("asr", R0, R4, R1)
        k.op("not", mask, R0)
        k.op("max", R0, R4, 0)
        k.op("add", offset, R0, R2)
    for vector, sums in enumerate(r.sums):
        k.load_tmu((row.lines + vector) % len(TMU_S))
        for register in sums:
            k.mov(register, R4)
    _next_row(k, r)
    fetches = _Fetches(k, r, _fetches(row, len(row.turns) - 1))
    fetches.ask()
    fetches.take_all(row.pixels)


def _next_row(k: Assembler, r: _Registers) -> None:
    k.mov(r.row, UNIFORM)
    k.op("add", r.source, r.source, UNIFORM)


def _row(k: Assembler, r: _Registers, row: Row) -> None:
    """All products of a row, and what the next one begins with."""
    pending: Register | None = None
    for turn, taps in enumerate(row.turns):
        if turn == len(row.turns) - 1:
            _next_row(k, r)
        fetches = _Fetches(k, r, _fetches(row, turn))
        if len(row.turns) == 1:
            fetches.ask()
        for number, pixel in enumerate(range(taps[0], row.pixels, row.step)):
            leaves = fetches.beside(number, pixel) if len(row.turns) > 1 else None
            products = products_of(r.weights, r.sums, row, pixel)
            if products:
                broadcast(k, PIXEL_LINES[pixel // LANES], pixel % LANES)
            for weight, total in products:
                if pending is not None:
                    k.op("fadd", pending, pending, R0)
                if leaves is None:
                    k.op("fmul", R0, weight, R5)
                else:
                    k.together(leaves, operation("fmul", R0, weight, R5))
                    leaves = None
                fetches.receive_next()
                pending = total
            if len(row.turns) == 1:
                fetches.take_all(pixel)
        fetches.take_all(row.pixels)
    if pending is not None:
        k.op("fadd", pending, pending, R0)


def products_of(
    weights: Sequence[Sequence[Register]], sums: Sequence[Sequence[Register]], row: Row, pixel: int
) -> list[tuple[Register, Register]]:
    """(weight, sum) of a pixel's products: file B's sums, then one of file A's with a weight in file A, then others."""
    met = list(row.met(pixel))
    first = [(weights[0][tap], sums[0][output]) for output, tap in met]
    second = [(weights[1][tap], sums[1][output]) for output, tap in met]
    return [*second, *sorted(first, key=lambda pair: pair[0].read_ports != "a")]


def broadcast(k: Assembler, line: Register, lane: int) -> None:
    if lane:
        k.rotate(R5_ALL, line, LANES - lane)
    else:
        k.mov(R5_ALL, line)


def _store(k: Assembler, r: _Registers, results: Results, pieces: int) -> None:
    """See `pieces.store_in_parts` for who may fill which rows when."""
    k.label("vpm")
    k.mov(NULL, MUTEX)
    for vector, sums in enumerate(r.sums):
        if vector:
            k.mov(NULL, DMA_STORE_WAIT)
        k.load(VPM_WRITE_SETUP, vpm_write_columns(LANES * vector))
        results.write_high(k, sums)
        for piece in range(pieces):
            following = f"behind{vector}_{piece}"
            k.mov(R0, UNIFORM, set_flags=True)
            k.mov(R1, UNIFORM)
            k.mov(R2, UNIFORM)
            k.branch(following, "all_zs")
            k.label(f"piece{vector}_{piece}")
            k.mov(NULL, DMA_STORE_WAIT)
            k.mov(VPM_WRITE_SETUP, R1)
            k.mov(VPM_WRITE_SETUP, R0)
            k.mov(DMA_STORE_ADDRESS, R2)
            k.label(following)
    k.mov(MUTEX_RELEASE, 0)
