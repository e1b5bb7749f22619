"""Few input channels an output: all lines of a tap's groups are gone through in straight code. Lanes are output pixels.

A tile is 16 output pixels by `groups` groups of `outputs` channels, all accumulators in registers. The input channels
of its groups follow each other, so that one address is computed for each tap of the window: that of the next tap while
the lines of this one are under way. The last lines of a tap make room for requests of the next.

The kernel's block: address of the first tile's words, number of tiles, address of the zero line. Words of a tile:
    first pixel, WINDOW_ORIGIN_WORDS, the input's address at the first channel, address of its weights stream,
    low, high (where no epilogue is `coded`), output address.
The weights stream: biases, number of taps, TAP_WORDS of the first tap, then for each tap the TAP_WORDS of the next (one
outside the input behind the last) and its weights, line by line.
"""

from __future__ import annotations

from functools import cache

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.kernels.gemm import multiply_stream
from codegen.engines.videocore4.kernels.pieces import (
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
from codegen.engines.videocore4.kernels.results import Results
from codegen.engines.videocore4.kernels.window import QUEUE_DEPTH
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.registers import DMA_STORE_WAIT, ELEMENT, NULL, R0, R3, TMU_S, UNIFORM
from codegen.errors import ScheduleError
from codegen.expression import Expression

MOST_PRODUCTS = 420  # instructions of a tap that stay in the instruction cache with the rest of a kernel
HEAD_WORDS = 3
ABSENT = 1 << 22  # rows from the window's first of the tap behind the last: outside of every plane


WORDS_BEFORE_WEIGHTS = 1 + WINDOW_ORIGIN_WORDS + 2


def words_after_weights(clamped: bool) -> int:
    """Words of a tile that its store reads."""
    return 3 if clamped else 1


def tap_instructions(lines: int, outputs: int) -> int:
    """Of one tap, its address among them."""
    return 22 + lines * (outputs + 2)


@cache
def grouped_kernel(
    groups: int, group_lines: int, outputs: int, epilogue: Expression | None = None
) -> Assembler:
    """Code for tiles of `groups` groups with `group_lines` input and `outputs` output channels each.

    Raises ScheduleError where registers or instruction cache lack.
    """
    lines = groups * group_lines
    if tap_instructions(lines, outputs) > MOST_PRODUCTS:
        raise ScheduleError(
            f"{lines} input channels by {outputs} outputs: a tap is more than {MOST_PRODUCTS} instructions"
        )
    pool = RegisterPool()
    tiles, taps = pool.take("a"), pool.take("a")  # they meet small immediates, which take port B
    address, following = pool.take("a"), pool.take("a")
    increment, following_increment = pool.take("b"), pool.take("b")
    origin = WindowOrigin(pool.take(), pool.take())
    tile, base, outside = pool.take(), pool.take(), pool.take()
    accumulators = [pool.take() for _ in range(groups * outputs)]
    done = (address, following, increment, following_increment, origin.row, origin.column, base, taps)
    results = Results.of(accumulators, epilogue, (UNIFORM, UNIFORM), [*pool.rest(), *done])
    ahead = min(lines, 2 * QUEUE_DEPTH - 1)
    k = Assembler()

    def request(line: int) -> None:
        source, step = (address, increment) if line < lines else (following, following_increment)
        k.together(operation("add", source, source, step), move(TMU_S[line % lines % 2], source))

    for register in (tile, tiles, outside):
        k.mov(register, UNIFORM)
    lane_bytes(k, R0)
    k.op("add", outside, outside, R0)
    k.label("tile")
    stream_from(k, tile)
    advance(k, tile, WORDS_BEFORE_WEIGHTS)
    k.mov(R3, ELEMENT)
    k.op("add", R3, R3, UNIFORM)
    window_origin(k, origin, R3)
    k.mov(base, UNIFORM)
    k.mov(R3, UNIFORM)
    stream_from(k, R3)
    for accumulator in accumulators:
        k.mov(accumulator, UNIFORM)
    k.mov(taps, UNIFORM)
    tap_address(k, origin, base=base, outside=outside, address=address, increment=increment)
    for line in range(ahead):
        request(line)
    k.label("tap")
    tap_address(k, origin, base=base, outside=outside, address=following, increment=following_increment)
    for line in range(lines):
        k.load_tmu(line % 2)
        request(line + ahead)
        group = line // group_lines
        multiply_stream(k, accumulators[group * outputs : (group + 1) * outputs])
    k.mov(address, following)
    k.mov(increment, following_increment)
    k.op("sub", taps, taps, 1, set_flags=True)
    k.branch("tap", "any_zc")
    k.label("drain")
    for line in range(ahead):
        k.load_tmu(line % 2)
    results.load_constants(k)
    results.compute(k)
    k.label("store")
    stream_from(k, tile)
    advance(k, tile, words_after_weights(epilogue is None))
    results.compute_low(k)
    store_in_parts(k, in_halves(results.registers, UNIFORM), results.write_high)
    k.op("sub", tiles, tiles, 1, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k
