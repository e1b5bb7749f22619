"""Register-blocked GEMM: lanes are output pixels, weights come through the uniform stream.

One tile is `blocks` x 16 output pixels by `channels` output channels, all accumulators in registers. For every
input channel a QPU asks the TMUs for one line per pixel block and reads one uniform per output channel; each
uniform is used `blocks` times. Pointwise convolutions read their lines directly; with `gather`, the lanes'
addresses are computed per tap of the window (implicit GEMM).

The kernel's block of uniforms: address of the first tile's words, number of tiles, then for a gather the
input's address and the zero line's. Words of a tile:
    direct: the input address of each block | gather: first pixel of each block and WINDOW_ORIGIN_WORDS of each
    address of its weights stream
    then: with a residual its address for each block; low, high (where no epilogue is `coded`, and with a residual),
    output address of each block
The weights stream: biases, number of taps - 1 (gather), then for each tap: TAP_WORDS per block (gather), number of
input channels - 2, and channels x input channels weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.kernels.pieces import (
    VPM_ROWS,
)
from codegen.engines.videocore4.kernels.tile import TileRegisters, request_lines, take_gather, tiles_kernel
from codegen.engines.videocore4.layer import RegisterPool
from codegen.engines.videocore4.operation import Operation
from codegen.engines.videocore4.registers import (
    NULL,
    R0,
    R2,
    R3,
    R4,
    UNIFORM,
    Register,
)
from codegen.errors import ScheduleError
from codegen.expression import Expression


def _allocate(blocks: int, channels: int, gather: bool) -> TileRegisters:
    pool = RegisterPool()
    files = ("a", "b")
    # Counters meet small immediates, which take port B.
    tiles, channel_count = pool.take("a"), pool.take("a")
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
    return TileRegisters(
        accumulators,
        vectors,
        addresses,
        tile=pool.take(),
        tiles=tiles,
        channels=channel_count,
        gather=take_gather(pool, addresses) if gather else None,
        rest=pool.rest(),
    )


@cache
def gemm_kernel(
    blocks: int, channels: int, gather: bool, epilogue: Expression | None = None, *, residual: bool = False
) -> Assembler:
    """Code for tiles of `blocks` pixel vectors by `channels` outputs; ScheduleError where registers or rows lack."""
    if blocks * channels > VPM_ROWS:
        raise ScheduleError(f"a tile of {blocks} x {channels} rows exceeds the VPM's {VPM_ROWS}")
    if not 1 <= blocks <= 4:
        raise ScheduleError(f"{blocks} pixel blocks: 1 to 4 keep at most four requests in a TMU's queue")
    return tiles_kernel(_allocate(blocks, channels, gather), _accumulate, epilogue, residual=residual)


def _accumulate(k: Assembler, r: TileRegisters) -> None:
    """All input channels of one tap. Two lines per block are always asked for ahead of use.

    The last two channels stand behind the loop, so that no line beyond the tensor is ever read.
    """
    name = "channels"
    k.mov(r.channels, UNIFORM)
    request_lines(k, r)
    request_lines(k, r)
    _receive(k, r)
    k.op("sub", NULL, r.channels, 0, set_flags=True)
    k.branch(f"{name}_end", "all_zs")
    k.label(name)
    k.op("sub", r.channels, r.channels, 1, set_flags=True)
    request_lines(k, r)
    _multiply(k, r)
    _receive(k, r)
    k.branch(name, "any_zc")
    k.label(f"{name}_end")
    _multiply(k, r)
    _receive(k, r)
    _multiply(k, r)


def _receive(k: Assembler, r: TileRegisters) -> None:
    for p, vector in enumerate(r.vectors):
        k.load_tmu(p % 2)
        if len(vector) == 2:
            k.together(move(vector["a"], R4), move(vector["b"], R4))
        elif vector:
            k.mov(next(iter(vector.values())), R4)


def _multiply(k: Assembler, r: TileRegisters) -> None:
    if len(r.vectors) == 1:
        multiply_stream(k, r.accumulators[0])
    else:
        _multiply_blocked(k, r.accumulators, r.vectors)


def multiply_stream(k: Assembler, accumulators: Sequence[Register]) -> None:
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
