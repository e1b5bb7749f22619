"""GEMM on two pixel blocks without copies of the weights: 52 multiply-adds in 57 instructions.

The first product of a weight reads it from the uniform stream through one port of the register files; the second
reads it again as that port's last value (`registers.RELAY_A`). The ports take turns: half of the weights come
through A, with their accumulators in file B, the other half the other way round. Input lines stay in r1 and r2,
products in r0, the channel counter in r3, so that no port is left wanting.

Words and weights are those of `gemm_kernel`. Instructions of the inner loop stand in the order in
which they issue: nothing may come between a weight and its relay.
"""

from __future__ import annotations

from functools import cache

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.kernels.pieces import VPM_ROWS
from codegen.engines.videocore4.kernels.tile import TileRegisters, request_lines, take_gather, tiles_kernel
from codegen.engines.videocore4.layer import RegisterPool
from codegen.engines.videocore4.operation import Operation
from codegen.engines.videocore4.registers import (
    R0,
    R1,
    R2,
    R3,
    R4,
    RELAY_A,
    RELAY_B,
    UNIFORM,
    UNIFORM_A,
    UNIFORM_B,
    Register,
)
from codegen.errors import ScheduleError
from codegen.expression import Expression

BLOCKS = 2
LINES = (R1, R2)
MINIMUM_CHANNELS = 6  # room for the two requests between weights


@cache
def relayed_kernel(
    channels: int, gather: bool, epilogue: Expression | None = None, *, residual: bool = False
) -> Assembler:
    """Code for tiles of 2 pixel vectors by `channels` outputs; ScheduleError where registers or rows lack."""
    if channels < MINIMUM_CHANNELS or BLOCKS * channels > VPM_ROWS:
        raise ScheduleError(f"{channels} channels: a tile has {MINIMUM_CHANNELS} to {VPM_ROWS // BLOCKS}")
    pool = RegisterPool()
    one = pool.take("a")

    def accumulate(k: Assembler, r: TileRegisters) -> None:
        _accumulate(k, r, one)

    return tiles_kernel(_allocate(pool, channels, gather), accumulate, epilogue, (one, 1), residual=residual)


def _allocate(pool: RegisterPool, channels: int, gather: bool) -> TileRegisters:
    tiles = pool.take("a")
    addresses = [pool.take("b") for _ in range(BLOCKS)]
    through_a = (channels + 1) // 2
    accumulators: list[list[Register]] = [[], []]
    for j in range(channels):
        for row in accumulators:
            row.append(pool.take("b" if j < through_a else "a"))
    return TileRegisters(
        accumulators,
        vectors=[{}, {}],
        addresses=addresses,
        tile=pool.take(),
        tiles=tiles,
        channels=R3,
        gather=take_gather(pool, addresses) if gather else None,
        rest=pool.rest(),
    )


def _accumulate(k: Assembler, r: TileRegisters, one: Register) -> None:
    k.mov(R3, UNIFORM)
    request_lines(k, r)
    request_lines(k, r)
    k.label("first")
    k.op("sub", R3, R3, 0, set_flags=True)
    k.load_tmu(0)
    k.mov(R1, R4)
    k.load_tmu(1)  # the body takes the second line from r4
    k.branch("last", "all_zs")
    k.verbatim("channels")
    _body(k, r, one, more=True, request=True)
    k.branch("channels", "any_zc")
    k.verbatim("last")
    _body(k, r, one, more=True, request=False)
    _body(k, r, one, more=False, request=False)


def _body(k: Assembler, r: TileRegisters, one: Register, *, more: bool, request: bool) -> None:
    """One input channel: every product's add issues beside the next product.

    `request` asks for the lines after next, `more` receives the next ones and counts.
    """
    channels = len(r.accumulators[0])
    through_a = (channels + 1) // 2
    pending: Operation | None = None
    for j in range(channels):
        if j == through_a and pending is not None:
            k.together(pending)  # its accumulator needs the port that the next weight comes through
            pending = None
        first_of_half = j == through_a
        weight, relay = (UNIFORM_A, RELAY_A) if j < through_a else (UNIFORM_B, RELAY_B)
        for p in range(BLOCKS):
            beside = pending
            if j == 0 and p == 0:
                beside = move(R2, R4)
            elif first_of_half and p == 0 and more:
                beside = operation("sub", R3, R3, one, set_flags=True)
            product = operation("fmul", R0, LINES[p], relay if p else weight)
            last = more and j == channels - 1 and p == BLOCKS - 1
            k.together(*([beside] if beside else []), product, signal="load_tmu0" if last else "none")
            pending = operation("fadd", r.accumulators[p][j], r.accumulators[p][j], R0)
        if request and j == 1:
            request_lines(k, r)
    if pending is not None:
        if more:
            k.together(pending, move(R1, R4), signal="load_tmu1")
        else:
            k.together(pending)
