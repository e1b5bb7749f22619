"""Register-blocked GEMM: lanes are output pixels, weights come through the uniform stream.

One tile is `blocks` x 16 output pixels by `channels` output channels, all accumulators in registers. For every
input channel a QPU asks the TMUs for one line per pixel block and reads one uniform per output channel; each
uniform is used `blocks` times. Pointwise convolutions read their lines directly; with `gather`, the lanes'
addresses are computed per tap of the window (implicit GEMM).

The kernel's block of uniforms: address of the first tile's words, number of tiles, then for a gather the
input's address and the zero line's. Words of a tile:
    direct: the input address of each block | gather: first pixel of each block and WINDOW_ORIGIN_WORDS of each
    address of its weights stream
    then: low, high, output address of each block
The weights stream: biases, number of taps - 1 (gather), then for each tap: TAP_WORDS per block (gather), number of
input channels - 2, and channels x input channels weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from codegen.errors import ScheduleError
from codegen.qpu.assembler import Assembler, move, operation
from codegen.qpu.kernels.pieces import (
    VPM_ROWS,
    WINDOW_ORIGIN_WORDS,
    WindowOrigin,
    advance,
    begin_store,
    end_store,
    lane_bytes,
    store_rows,
    stream_from,
    tap_address,
    window_origin,
    write_clamped,
)
from codegen.qpu.layer import RegisterPool, leave
from codegen.qpu.operation import Operation
from codegen.qpu.registers import (
    ELEMENT,
    NULL,
    R0,
    R2,
    R3,
    R4,
    R5,
    R5_ALL,
    TMU_S,
    UNIFORM,
    Register,
)

LINE_BYTES = 64


def words_before_weights(blocks: int, gather: bool) -> int:
    """Words of a tile before its weights are streamed."""
    return blocks * (1 + WINDOW_ORIGIN_WORDS if gather else 1) + 1


def words_after_weights(blocks: int) -> int:
    """Words of a tile that its store reads."""
    return 2 + blocks


@dataclass
class _Registers:
    """Everything a tile keeps in registers."""

    accumulators: list[list[Register]]  # [block][channel]
    vectors: list[dict[str, Register]]  # [block]: the current input line, by file
    addresses: list[Register]
    increments: list[Register]  # empty: every line is 64 bytes behind the last
    origins: list[WindowOrigin]
    tile: Register
    tiles: Register
    channels: Register
    taps: Register | None
    base: Register | None
    outside: Register | None


def _allocate(blocks: int, channels: int, gather: bool) -> _Registers:
    pool = RegisterPool()
    files = ("a", "b")
    # Counters meet small immediates, which take port B.
    tiles, channel_count, taps = pool.take("a"), pool.take("a"), pool.take("a") if gather else None
    both = blocks % 2 == 1 and blocks > 1
    vectors: list[dict[str, Register]] = []
    for p in range(blocks):
        own = ("a", "b") if both else (("a",) if p % 2 == 0 else ("b",))
        vectors.append({file: pool.take("a" if file == "a" else "b") for file in own} if blocks > 1 else {})
    accumulators: list[list[Register]] = []
    for p in range(blocks):
        row = []
        for j in range(channels):
            file = files[(p + j) % 2] if blocks % 2 == 1 else files[p % 2]
            row.append(pool.take("a" if file == "a" else "b"))
        accumulators.append(row)
    addresses = [pool.take() for _ in range(blocks)]
    increments = [pool.take("b" if a.read_ports == "a" else "a") for a in addresses] if gather else []
    origins = [WindowOrigin(pool.take(), pool.take()) for _ in range(blocks)] if gather else []
    return _Registers(
        accumulators,
        vectors,
        addresses,
        increments,
        origins,
        tile=pool.take(),
        tiles=tiles,
        channels=channel_count,
        taps=taps,
        base=pool.take() if gather else None,
        outside=pool.take() if gather else None,
    )


@cache
def gemm_kernel(blocks: int, channels: int, gather: bool) -> tuple[int, ...]:
    """Code for tiles of `blocks` pixel vectors by `channels` outputs; ScheduleError where registers or rows lack."""
    if blocks * channels > VPM_ROWS:
        raise ScheduleError(f"a tile of {blocks} x {channels} rows exceeds the VPM's {VPM_ROWS}")
    if not 1 <= blocks <= 4:
        raise ScheduleError(f"{blocks} pixel blocks: 1 to 4 keep at most four requests in a TMU's queue")
    r = _allocate(blocks, channels, gather)
    k = Assembler()
    k.mov(r.tile, UNIFORM)
    k.mov(r.tiles, UNIFORM)
    k.load(R5_ALL, LINE_BYTES)
    if r.base is not None and r.outside is not None:
        k.mov(r.base, UNIFORM)
        lane_bytes(k, r.outside)
        k.op("add", r.outside, r.outside, UNIFORM)
    k.label("tile")
    stream_from(k, r.tile)
    if gather:
        _gather_start(k, r)
    else:
        _direct_start(k, r)
    advance(k, r.tile, words_before_weights(blocks, gather))
    _biases(k, r)
    if gather and r.taps is not None and r.base is not None and r.outside is not None:
        k.mov(r.taps, UNIFORM)
        k.label("tap")
        for origin, address, increment in zip(r.origins, r.addresses, r.increments, strict=True):
            tap_address(k, origin, base=r.base, outside=r.outside, address=address, increment=increment)
        _accumulate(k, r)
        k.op("sub", r.taps, r.taps, 1, set_flags=True)
        k.branch("tap", "any_nc")
    else:
        _accumulate(k, r)
    _store(k, r)
    k.op("sub", r.tiles, r.tiles, 1, set_flags=True)
    k.branch("tile", "any_zc")
    leave(k)
    return k.assemble()


def _direct_start(k: Assembler, r: _Registers) -> None:
    lane_bytes(k, R0)
    for address in r.addresses:
        k.op("add", address, R0, UNIFORM)
    k.mov(R3, UNIFORM)
    stream_from(k, R3)


def _gather_start(k: Assembler, r: _Registers) -> None:
    for origin in r.origins:
        k.mov(R3, ELEMENT)
        k.op("add", R3, R3, UNIFORM)
        window_origin(k, origin, R3)
    k.mov(R3, UNIFORM)
    stream_from(k, R3)


def _biases(k: Assembler, r: _Registers) -> None:
    for column in zip(*r.accumulators, strict=True):
        first, rest = column[0], column[1:]
        partner = next((x for x in rest if x.write_files != first.write_files), None)
        if len(column) == 1:
            k.mov(first, UNIFORM)
        elif len(column) == 2 and partner is not None:
            k.together(move(first, UNIFORM), move(partner, UNIFORM))
        else:
            k.mov(R0, UNIFORM)
            for accumulator in column:
                k.mov(accumulator, R0)


def _accumulate(k: Assembler, r: _Registers) -> None:
    """All input channels of one tap. Two lines per block are always asked for ahead of use.

    The last two channels stand behind the loop, so that no line beyond the tensor is ever read.
    """
    name = "channels"
    k.mov(r.channels, UNIFORM)
    _request(k, r)
    _request(k, r)
    _receive(k, r)
    k.op("sub", NULL, r.channels, 0, set_flags=True)
    k.branch(f"{name}_end", "all_zs")
    k.label(name)
    k.op("sub", r.channels, r.channels, 1, set_flags=True)
    _request(k, r)
    _multiply(k, r)
    _receive(k, r)
    k.branch(name, "any_zc")
    k.label(f"{name}_end")
    _multiply(k, r)
    _receive(k, r)
    _multiply(k, r)


def _request(k: Assembler, r: _Registers) -> None:
    """Asks for each block's line and moves on to the next channel's in the same instruction."""
    for p, address in enumerate(r.addresses):
        step = r.increments[p] if r.increments else R5
        k.together(operation("add", address, address, step), move(TMU_S[p % 2], address))


def _receive(k: Assembler, r: _Registers) -> None:
    for p, vector in enumerate(r.vectors):
        k.load_tmu(p % 2)
        if len(vector) == 2:
            k.together(move(vector["a"], R4), move(vector["b"], R4))
        elif vector:
            k.mov(next(iter(vector.values())), R4)


def _multiply(k: Assembler, r: _Registers) -> None:
    if len(r.vectors) == 1:
        _multiply_stream(k, r.accumulators[0])
    else:
        _multiply_blocked(k, r.accumulators, r.vectors)


def _multiply_stream(k: Assembler, accumulators: Sequence[Register]) -> None:
    """One block: weights go from the stream straight into the multiplier, one instruction each."""
    previous: Register | None = None
    for accumulator in accumulators:
        product = operation("fmul", R0, R4, UNIFORM)
        if previous is None:
            k.together(product)
        else:
            k.together(operation("fadd", previous, previous, R0), product)
        previous = accumulator
    if previous is not None:
        k.op("fadd", previous, previous, R0)


def _multiply_blocked(
    k: Assembler, accumulators: Sequence[Sequence[Register]], vectors: Sequence[dict[str, Register]]
) -> None:
    """Several blocks: every slot pairs one multiply with the add of an earlier product.

    A weight is copied to r2 once, by the add ALU beside the first product for even channels and by the
    multiplier for odd ones: 2 * blocks + 1 instructions for two channels. The last product of an odd channel
    waits in r3 until a slot has its add ALU free.
    """
    channels = len(accumulators[0])
    waiting: Register | None = None  # accumulator that r3 belongs to
    last: Register | None = None  # accumulator that r0 belongs to

    def source(p: int, beside: Register | None) -> Register:
        options = vectors[p]
        if beside is not None and len(options) == 2:
            return options["b" if beside.read_ports == "a" else "a"]
        return next(iter(options.values()))

    def add(accumulator: Register, product: Register) -> Operation:
        return operation("fadd", accumulator, accumulator, product)

    for j in range(channels):
        single = j % 2 == 0
        for p in range(len(vectors)):
            partner: Operation | None = None
            beside: Register | None = None
            if p == 0 and single:
                partner = move(R2, UNIFORM)
            elif p == 0:
                k.together(*([add(last, R0)] if last else []), Operation("mov", "mul", R2, (UNIFORM,)))
                last = None
                if waiting is not None:
                    partner, beside, waiting = add(waiting, R3), waiting, None
            elif last is not None:
                partner, beside, last = add(last, R0), last, None
            weight = UNIFORM if p == 0 and single else R2
            final = p == len(vectors) - 1 and not single
            product = operation("fmul", R3 if final else R0, source(p, beside), weight)
            k.together(*([partner] if partner else []), product)
            if final:
                waiting = accumulators[p][j]
            else:
                last = accumulators[p][j]
    if last is not None:
        k.together(add(last, R0))
    if waiting is not None:
        k.together(add(waiting, R3))


def _store(k: Assembler, r: _Registers) -> None:
    k.label("store")  # keeps the mutex out of the last multiplications
    stream_from(k, r.tile)
    advance(k, r.tile, words_after_weights(len(r.vectors)))
    begin_store(k)
    channels = len(r.accumulators[0])
    write_clamped(k, [x for row in r.accumulators for x in row], UNIFORM, UNIFORM)
    for p in range(len(r.vectors)):
        store_rows(k, p * channels, channels, UNIFORM)
    end_store(k)
