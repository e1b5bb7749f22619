"""Sums of products of two tensors: 16 lanes by `rows` results, each with its elements of both wherever these are.

For each step of the sums a stream of uniforms says how far both tensors' elements lie from the first step's. The first
tensor's are at one distance from row to row; the second's likewise, or where they are `shared` the same for all rows.
Requests run ahead of use into the next steps, and behind the last into a few more that the stream has for that.

The kernel's block: address of the first tile's words, number of tiles, address of the stream, number of `unroll` steps,
bytes from row to row of the first tensor and of the second, stride and setup of a store. Words of a tile: for each
tensor the address of its lanes' offsets, and its own; output. The stream: for each step the byte offset in the second,
and in the first tensor.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import NamedTuple

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.pieces import (
    advance,
    end_store,
    lane_bytes,
    stream_from,
    vpm_write_rows,
)
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.registers import (
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    MUTEX,
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

HEAD_WORDS = 8
TILE_WORDS = 5
_QUEUE_DEPTH = 4


class _Request(NamedTuple):
    """Of a step: the row's element of the first tensor, or the second's of the row, or of all rows."""

    first: bool
    row: int
    opens: bool  # whether it is the first of its step for its tensor, which takes the offset from the stream


def requests(rows: int, shared: bool) -> list[_Request]:
    """Those of a step, in order."""
    found: list[_Request] = []
    for row in range(rows):
        if not (shared and row):
            found.append(_Request(False, row, row == 0))
        found.append(_Request(True, row, row == 0))
    return found


def ahead_of(count: int) -> int:
    """How many requests may run ahead in a loop of `count`, the even ones of which go to one TMU, the odd ones to the
    other.
    """
    for ahead in range(min(count, 2 * _QUEUE_DEPTH), 1, -1):
        windows = ([(first + i) % count % 2 for i in range(ahead)] for first in range(count))
        if all(max(window.count(0), window.count(1)) <= _QUEUE_DEPTH for window in windows):
            return ahead
    return 1


@cache
def contraction_kernel(rows: int, unroll: int, shared: bool) -> Assembler:
    """The code; raises ScheduleError where registers lack."""
    pool = RegisterPool()
    tiles, left = pool.take("a"), pool.take("a")
    tile, stream, steps, output, stride, setup = (pool.take() for _ in range(6))
    pitches = pool.take(), pool.take()
    offsets = pool.take("b"), pool.take("b")  # meet addresses
    first = [pool.take("a") for _ in range(rows)]
    second = [pool.take("a") for _ in range(1 if shared else rows)]
    factor = pool.take("b")
    sums = [pool.take("b" if row % 2 else None) for row in range(rows)]
    k = Assembler()
    for register in (tile, tiles, stream, steps, *pitches, stride, setup):
        k.mov(register, UNIFORM)
    k.label("tile")
    stream_from(k, tile)
    advance(k, tile, TILE_WORDS)
    lane_bytes(k, R3)
    for addresses, pitch in zip((first, second), pitches, strict=True):
        k.op("add", TMU_S[0], R3, UNIFORM)
        k.load_tmu(0)
        k.op("add", addresses[0], R4, UNIFORM)
        k.mov(R0, pitch)
        for before, address in pairwise(addresses):
            k.op("add", address, before, R0)
    k.mov(output, UNIFORM)
    for total in sums:
        k.mov(total, 0)
    k.mov(left, steps)
    stream_from(k, stream)
    order = requests(rows, shared) * unroll
    ahead = ahead_of(len(order))

    def ask(number: int) -> None:
        one = order[number % len(order)]
        offset = offsets[one.first]
        if one.opens:
            k.mov(offset, UNIFORM)
        address = first[one.row] if one.first else second[one.row]
        k.op("add", TMU_S[number % len(order) % 2], address, offset)

    for number in range(ahead):
        ask(number)
    k.label("steps")
    for number, one in enumerate(order):
        k.load_tmu(number % 2)
        _use(k, one, factor, sums)
        ask(number + ahead)
    k.op("sub", left, left, 1, set_flags=True)
    k.branch("steps", "any_zc")
    for number in range(ahead):
        k.load_tmu(number % 2)
    k.label("store")
    k.mov(NULL, MUTEX)
    k.load(VPM_WRITE_SETUP, vpm_write_rows(0))
    k.mov(VPM_WRITE_SETUP, stride)
    for total in sums:
        k.mov(VPM_WRITE, total)
    k.mov(NULL, DMA_STORE_WAIT)
    k.mov(VPM_WRITE_SETUP, setup)
    k.mov(DMA_STORE_ADDRESS, output)
    end_store(k)
    k.op("sub", tiles, tiles, 1, set_flags=True)
    k.branch("tile", "any_zc")
    leave(k)
    return k


def _use(k: Assembler, request: _Request, factor: Register, sums: list[Register]) -> None:
    if not request.first:
        k.mov(factor, R4)
        return
    k.op("fmul", R0, R4, factor)
    k.op("fadd", sums[request.row], sums[request.row], R0)
