"""Direct windows: depthwise convolution, maximum and average pooling. Lanes are output pixels of one channel.

A tile is 16 output pixels by a run of channels. Each tap's lane addresses are computed once a tile and then
stepped from channel to channel. Taps are asked for several requests before their use, and rows of the window take
turns on the two TMUs, so that a line is fetched into one TMU's cache only.
Results of `rows` channels are kept in registers and stored together. Steps run over whole groups of `rows`
channels; requests made ahead at the end of a tile stay within one channel's line behind the tensor, which the
linker keeps unused.

The kernel's block: address of the first tile's words, number of tiles, the input's address, the address of the
constant line that lanes outside the input read. Words of a tile:
    first pixel, WINDOW_ORIGIN_WORDS, byte offset of the first channel, TAP_WORDS for each tap, number of groups,
    output address, low, high (where no epilogue is `coded`), then (average) the address of a line of 1 / divisor,
    (depthwise) of the weights.
The weights stream (depthwise): for each channel its bias, then its taps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.kernels.pieces import (
    TAP_WORDS,
    WINDOW_ORIGIN_WORDS,
    WindowOrigin,
    advance,
    in_halves,
    lane_bytes,
    store_in_parts,
    stream_from,
    tap_address,
    window_origin,
)
from codegen.engines.videocore4.kernels.results import Results, take_bounds
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.registers import (
    DMA_STORE_WAIT,
    ELEMENT,
    NULL,
    R0,
    R1,
    R2,
    R3,
    R4,
    TMU_S,
    UNIFORM,
    Register,
)
from codegen.errors import ScheduleError
from codegen.expression import Expression

QUEUE_DEPTH = 4  # requests in flight on one TMU
MAXIMUM_TAPS = 16
LOWEST = -3.4028234663852886e38  # the identity of the maximum among float32

Window = Literal["depthwise", "max", "average"]


def tile_words(window: Window, taps: int, clamped: bool) -> int:
    """Uniform words of one tile."""
    extra = 0 if window == "max" else 1
    return 1 + WINDOW_ORIGIN_WORDS + (5 if clamped else 3) + extra + taps * TAP_WORDS


@dataclass(frozen=True)
class _Registers:
    results: tuple[Register, ...]
    addresses: tuple[Register, ...]
    increments: tuple[Register, ...]
    origin: WindowOrigin
    tile: Register
    tiles: Register
    groups: Register
    base: Register
    outside: Register
    output: Register
    output_step: Register
    bounds: tuple[Register, ...]
    divisor: Register | None


@dataclass(frozen=True)
class _Requests:
    """The order in which a group's taps are asked for, and on which TMU; it repeats from group to group."""

    taps: tuple[int, ...]
    tmus: tuple[int, ...]
    ahead: int

    @staticmethod
    def of(kernel: tuple[int, int], rows: int) -> _Requests:
        """Raises ScheduleError where the TMUs' turns would not repeat."""
        taps = [tap for _ in range(rows) for tap in range(kernel[0] * kernel[1])]
        # A run on one TMU longer than its queue would leave the other idle: then single taps take turns.
        run = kernel[1] if kernel[1] < QUEUE_DEPTH else 1
        if len(taps) // run % 2:
            raise ScheduleError("an odd number of turns a group would not repeat from group to group")
        tmus = [number // run % 2 for number in range(len(taps))]
        ahead = 1
        while ahead < min(2 * QUEUE_DEPTH - 1, len(taps)) and _fits_queues(tmus, ahead + 1):
            ahead += 1
        return _Requests(tuple(taps), tuple(tmus), ahead)

    def tap(self, number: int) -> int:
        return self.taps[number % len(self.taps)]

    def tmu(self, number: int) -> int:
        return self.tmus[number % len(self.tmus)]


def _fits_queues(tmus: Sequence[int], ahead: int) -> bool:
    runs = ([tmus[(start + i) % len(tmus)] for i in range(ahead)] for start in range(len(tmus)))
    return all(max(run.count(0), run.count(1)) <= QUEUE_DEPTH for run in runs)


@cache
def window_kernel(
    window: Window, kernel: tuple[int, int], rows: int, epilogue: Expression | None = None
) -> Assembler:
    """Code for windows of `kernel` rows and columns, storing `rows` channels at a time.

    Raises ScheduleError where the registers do not suffice.
    """
    taps = kernel[0] * kernel[1]
    if taps > MAXIMUM_TAPS:
        raise ScheduleError(
            f"a window of {taps} taps exceeds the {MAXIMUM_TAPS} whose addresses fit the registers"
        )
    requests = _Requests.of(kernel, rows)
    pool = RegisterPool()
    r = _allocate(pool, window, taps, rows, epilogue)
    results = Results.of(r.results, epilogue, r.bounds, pool.rest())
    k = Assembler()
    for register in (r.tile, r.tiles, r.base, r.outside):
        k.mov(register, UNIFORM)
    k.load(r.output_step, rows * 64)
    results.load_constants(k)
    k.label("tile")
    _start(k, r, window, taps)
    for number in range(requests.ahead):
        _request(k, r, requests, number)
    k.label("group")
    _group(k, r, window, taps, requests)
    _store(k, r, results)
    k.op("sub", r.groups, r.groups, 1, set_flags=True)
    k.branch("group", "any_zc")
    for number in range(requests.ahead):
        k.load_tmu(requests.tmu(number))
    k.op("sub", r.tiles, r.tiles, 1, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _allocate(
    pool: RegisterPool, window: Window, taps: int, rows: int, epilogue: Expression | None
) -> _Registers:
    tiles, groups = pool.take("a"), pool.take("a")
    addresses = tuple(pool.take("a") for _ in range(taps))
    increments = tuple(pool.take("b") for _ in range(taps))
    origin = WindowOrigin(pool.take(), pool.take())
    return _Registers(
        results=tuple(pool.take() for _ in range(rows)),
        addresses=addresses,
        increments=increments,
        origin=origin,
        tile=pool.take(),
        tiles=tiles,
        groups=groups,
        base=pool.take(),
        outside=pool.take(),
        output=pool.take(),
        output_step=pool.take(),
        bounds=take_bounds(pool, epilogue),
        divisor=pool.take() if window == "average" else None,
    )


def _start(k: Assembler, r: _Registers, window: Window, taps: int) -> None:
    stream_from(k, r.tile)
    advance(k, r.tile, tile_words(window, taps, bool(r.bounds)))
    k.mov(R3, ELEMENT)
    k.op("add", R3, R3, UNIFORM)
    window_origin(k, r.origin, R3)
    # The first channel's offset joins the base for this tile only.
    k.op("add", r.output, r.base, UNIFORM)
    for address, increment in zip(r.addresses, r.increments, strict=True):
        tap_address(k, r.origin, base=r.output, outside=r.outside, address=address, increment=increment)
    for register in (r.groups, r.output, *r.bounds):
        k.mov(register, UNIFORM)
    if r.divisor is not None:
        lane_bytes(k, R0)
        k.op("add", TMU_S[0], R0, UNIFORM)
        k.load_tmu(0)
        k.mov(r.divisor, R4)
    if window == "depthwise":
        k.mov(R3, UNIFORM)
        stream_from(k, R3)


def _request(k: Assembler, r: _Registers, requests: _Requests, number: int) -> None:
    tap = requests.tap(number)
    address, step = r.addresses[tap], r.increments[tap]
    k.together(operation("add", address, address, step), move(TMU_S[requests.tmu(number)], address))


def _group(k: Assembler, r: _Registers, window: Window, taps: int, requests: _Requests) -> None:
    """One group of channels: every tap is received, used, and replaced by a request further on."""
    for row, result in enumerate(r.results):
        accumulator = (R1, R3)[row % 2]
        if window == "depthwise":
            k.mov(accumulator, UNIFORM)
        for tap in range(taps):
            number = row * taps + tap
            k.load_tmu(requests.tmu(number))
            _request(k, r, requests, number + requests.ahead)
            last = tap == taps - 1
            target = R2 if last and r.divisor is not None else result if last else accumulator
            if window == "depthwise":
                k.op("fmul", R0, R4, UNIFORM)
                k.op("fadd", target, accumulator, R0)
            elif tap == 0:
                k.mov(target, R4)
            else:
                k.op("fmax" if window == "max" else "fadd", target, accumulator, R4)
        if r.divisor is not None:
            k.op("fmul", result, R2, r.divisor)


def _store(k: Assembler, r: _Registers, results: Results) -> None:
    results.compute_all(k)
    store_in_parts(k, in_halves(r.results, r.output), results.write_high)
    k.op("add", r.output, r.output, r.output_step)
