"""Products of row-major matrices all of whose scalars are uniforms: two lines of the second matrix' row times `rows`
words of the stream, of which each is used twice (see `relayed`).

Without rotations a channel takes hardly more instructions than products; but a QPU has no others with which to hide the
way of a line of uniforms. So QPUs ask a TMU for the lines of the next but one four channels, whose answer is dropped:
then they are in the L2. Requests of lines are of the channel after the next, whatever the last ones are: behind the
second matrix lie two rows more, and behind the streams `AHEAD_WORDS` for each row.

QPUs keep in step (`pace`), as they share lines in the L2: none begins a tile before all are near the end of theirs.

The block: address of the first tile's words, bytes of two rows of the second matrix. Words of a tile: with `constant`
the address of a line of biases for each vector; address of the second matrix' first row for each vector; the counter,
less than 0 by the bytes of the rows up to the pause or the first stop; address of what is fetched ahead; (in step)
those of `channel_lanes` about the pace; address of the stream; with `constant` and no epilogue that is `coded` low and
high; set-up of the stride of a store; output address of each vector; 1 where a tile follows, else 0. With `stops` (see
`repacked`) the token that a tile begins with is its first word, and the words of the stops stand behind the stream's
address: QPUs meet at one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.kernels.channel_lanes import VECTORS
from codegen.engines.videocore4.kernels.pace import give_tokens, take_token
from codegen.engines.videocore4.kernels.pieces import (
    VPM_ROWS,
    StoredPart,
    advance,
    lane_bytes,
    store_in_parts,
    stream_from,
)
from codegen.engines.videocore4.kernels.repacked import Stops
from codegen.engines.videocore4.kernels.results import Results
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.layout import LANES
from codegen.engines.videocore4.operation import Operation
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
    RELAY_A,
    RELAY_B,
    TMU_S,
    UNIFORM,
    UNIFORM_A,
    UNIFORM_B,
    Register,
)
from codegen.errors import ScheduleError
from codegen.expression import Expression
from codegen.program import WORD_BYTES

HEAD_WORDS = 2
STREAMED_ROWS = range(20, 28)  # up to what the register files hold
UNROLLED = 4  # channels of the loop
AHEAD_WORDS = 2 * UNROLLED  # of a row, behind the stream: more than is fetched ahead
ROWS_BEHIND = 2  # of the second matrix, that are asked for and not used
SHARING = 2  # QPUs that fetch a stream ahead together at most: each a part of it
_LINES = (R1, R4)


def words_before(constant: bool, in_step: bool, stops: bool = False) -> int:
    """Words of a tile before its stream, and its stops."""
    return VECTORS * (2 if constant else 1) + 3 + in_step * (1 if stops else 3)


def ahead_bytes(rows: int, sharing: int) -> int:
    """How much each of so many QPUs fetches of the stream in a turn of the loop."""
    return LANES * WORD_BYTES * _ahead_words(rows, sharing)


def _ahead_words(rows: int, sharing: int) -> int:
    """From lane to lane: those of all QPUs are as many channels as the loop has."""
    return -(-rows // (WORD_BYTES * sharing))


def words_behind(clamped: bool) -> int:
    """Words of a tile behind its stream."""
    return VECTORS + 2 + (2 if clamped else 0)


@dataclass(frozen=True)
class _Registers:
    accumulators: tuple[tuple[Register, ...], ...]  # of each vector, by file opposite to the uniforms' port
    even: tuple[Register, ...]  # addresses of lines, by vector, in the file that the uniforms' port leaves
    odd: tuple[Register, ...]
    step: Register  # bytes of the stream that the loop goes through
    tile: Register
    rest: Register  # in step: bytes of the second matrix behind the pause; spare with stops
    gives: (
        Register  # in step: the token that the others get from this QPU; with stops how far is fetched ahead
    )


@cache
def streamed_product_kernel(
    rows: int,
    epilogue: Expression | None = None,
    *,
    constant: bool,
    in_step: int,
    stops: bool = False,
    sharing: int = 1,
) -> Assembler:
    """Code for tiles of so many rows by 32 columns; `constant`: whether biases are added and results clamped, or an
    epilogue coded; `in_step`: how many QPUs keep in step, or 0; `stops`: whether parts of matrices are put in order
    meanwhile; `sharing`: how many QPUs fetch a stream ahead together.

    Raises ScheduleError where registers lack.
    """
    if rows not in STREAMED_ROWS or VECTORS * rows > VPM_ROWS:
        raise ScheduleError(f"{rows} rows: a tile has {STREAMED_ROWS[0]} to {STREAMED_ROWS[-1]}")
    pool = RegisterPool()
    r = _allocate(pool, rows)
    bounds = (UNIFORM, UNIFORM) if constant else ()
    values = [x for row in r.accumulators for x in row]
    results = Results.of(values, epilogue, bounds, [*r.even, *r.odd, *pool.rest()])
    k = Assembler()
    for register in (r.tile, R5_ALL):
        k.mov(register, UNIFORM)
    k.load(r.step, UNROLLED * WORD_BYTES * rows)
    k.label("tile")
    _start(k, r, constant, in_step > 0, stops, sharing)
    k.load_tmu(0)
    k.mov(R1, R4)
    k.load_tmu(1)
    k.verbatim("channels")
    for channel in range(UNROLLED):
        _channel(k, r, channel)
    k.branch("channels", "any_ns")
    if stops:
        Stops(r.tile, r.rest, in_step).emit(
            k, lambda k: _go_on(k, r), lambda k: _stream_again(k, r), lambda k: advance(k, r.tile, 1)
        )
    elif in_step:
        _pause(k, r, in_step)
    k.label("drain")
    for p in range(VECTORS):
        k.load_tmu(p)
    results.load_constants(k)
    k.label("store")
    if not stops:
        stream_from(k, r.tile)
    advance(k, r.tile, words_behind(bool(results.bounds)))
    results.compute_all(k)
    parts = [StoredPart(row, UNIFORM) for row in r.accumulators]
    store_in_parts(k, parts, results.write_high, UNIFORM)
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _allocate(pool: RegisterPool, rows: int) -> _Registers:
    even, odd = ((pool.take("b"), pool.take("a")) for _ in range(2))
    step = pool.take("b")
    half = _through_a(rows)
    accumulators = tuple(
        tuple(pool.take("b" if j < half else "a") for j in range(rows)) for _ in range(VECTORS)
    )
    return _Registers(accumulators, even, odd, step, *(pool.take() for _ in range(3)))


def _through_a(rows: int) -> int:
    """Uniforms that come through port A; the others come through B."""
    return (rows + 1) // 2


def _start(k: Assembler, r: _Registers, constant: bool, in_step: bool, stops: bool, sharing: int) -> None:
    """Biases, requests of the first two channels' lines, and r2 and r3 as `_channel` wants them."""
    stream_from(k, r.tile)
    advance(k, r.tile, words_before(constant, in_step, stops))
    if in_step and stops:  # what others have put in order is not asked for before
        k.mov(R0, UNIFORM)
        take_token(k, R0)
    lane_bytes(k, R2)
    for p in range(VECTORS if constant else 0):
        k.op("add", TMU_S[p], R2, UNIFORM)
    k.op("shr", R1, R5, 1)  # bytes from row to row
    for even, odd in zip(r.even, r.odd, strict=True):
        k.op("add", R0, R2, UNIFORM)
        k.mov(even, R0)
        k.op("add", odd, R0, R1)
    k.mov(R3, UNIFORM)
    for p, row in enumerate(r.accumulators):
        if constant:
            k.load_tmu(p)
        first = R4 if constant else 0
        for one, other in zip(row[: len(row) // 2], row[-(len(row) // 2) :], strict=True):
            k.together(move(one, first), move(other, first))
        if len(row) % 2:
            k.mov(row[len(row) // 2], first)
    for p in range(VECTORS):
        k.mov(TMU_S[p], r.even[p])
        k.mov(TMU_S[p], r.odd[p])
    k.op("sub", R0, R5, R3)
    for address in (*r.even, *r.odd):
        k.op("add", address, address, R0)
    k.op("sub", r.odd[1], r.odd[1], R5)  # asked for behind the counter's step
    k.mov(R0, ELEMENT)
    k.op("mul24", R0, R0, _ahead_words(len(r.accumulators[0]), sharing))
    k.op("shl", R0, R0, 2)
    k.op("add", R2, R0, UNIFORM)
    paces = in_step and not stops
    if paces:
        for register in (R0, r.rest, r.gives):
            k.mov(register, UNIFORM)
    k.mov(R1, UNIFORM)
    if stops:
        k.op("sub", r.gives, R2, R1)
    stream_from(k, R1)
    if paces:
        take_token(k, R0)


def _pause(k: Assembler, r: _Registers, qpus: int) -> None:
    """Once a tile, where there is a rest: all QPUs get here, then each may begin the next tile."""
    k.label("pause")
    k.mov(R0, r.rest, set_flags=True)
    k.branch("drain", "all_zs")
    k.label("meet")
    k.mov(r.rest, 0)
    _go_on(k, r)
    give_tokens(k, r.gives, qpus)
    k.branch("channels")


def _go_on(k: Assembler, r: _Registers) -> None:
    """With r0 bytes more of the second matrix."""
    k.op("sub", R3, R3, R0)
    for address in (*r.even, *r.odd):
        k.op("add", address, address, R0)


def _stream_again(k: Assembler, r: _Registers) -> None:
    """What the first lane fetches ahead is always as far from the stream's next word."""
    k.op("sub", R0, R2, r.gives)
    stream_from(k, R0)


def _channel(k: Assembler, r: _Registers, number: int) -> None:
    """The loop's channel: the lines in r1 and r4 by the stream's next words, then the next channel's lines.

    r2: where what is fetched ahead lies, by lanes; r3: the counter. The first channel asks for that, the second drops
    it.
    """
    odd, asks, drops = number % 2 == 1, number == 0, number == 1
    addresses = r.odd if odd else r.even
    rows = len(r.accumulators[0])
    half = _through_a(rows)
    pending: Operation | None = None
    for j in range(rows):
        if j == half:
            assert pending is not None
            fetched = [Operation("mov", "mul", TMU_S[1], (R2,))] if asks else []
            k.together(pending, *fetched)
            pending = None
        word, relay = (UNIFORM_A, RELAY_A) if j < half else (UNIFORM_B, RELAY_B)
        for p, line in enumerate(_LINES):
            last = j == rows - 1 and p == VECTORS - 1
            beside = pending
            if p == 0 and j in (0, half):
                vector = 0 if j == 0 else 1
                beside = operation("add", TMU_S[vector], R3, addresses[vector])
            product = operation("fmul", R0, line, relay if p else word)
            signal = "none" if not last else "load_tmu1" if drops else "load_tmu0"
            k.together(*([beside] if beside else []), product, signal=signal)
            sum_of = r.accumulators[p][j]
            pending = operation("fadd", sum_of, sum_of, R0)
        if odd and j == 1:
            assert pending is not None
            k.together(operation("add", R3, R3, R5, set_flags=number == UNROLLED - 1))
    assert pending is not None
    moved = Operation("mov", "mul", R1, (R4,))
    if drops:
        k.together(pending, signal="load_tmu0")
        k.together(operation("add", R2, R2, r.step), moved, signal="load_tmu1")
    else:
        k.together(pending, moved, signal="load_tmu1")
