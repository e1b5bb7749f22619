"""Kernel of fully connected layers of a few rows: weights are held in registers while each row's inputs pass by."""

from __future__ import annotations

from functools import cache

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.pieces import (
    advance,
    dma_store_rows,
    lane_bytes,
    stream_from,
    vpm_write_rows,
)
from codegen.engines.videocore4.kernels.results import Results, take_bounds
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
    VPM_WRITE_SETUP,
    Register,
)
from codegen.errors import ScheduleError
from codegen.expression import Expression
from codegen.program import WORD_BYTES

IN_FLIGHT = 8  # requests on both TMUs: as many lines behind a tile's last one are read


def few_rows_tile_words(clamped: bool) -> int:
    """Uniform words of one tile."""
    return 8 if clamped else 6


@cache
def few_rows_kernel(rows: int, group: int, epilogue: Expression | None = None) -> Assembler:
    """`rows` rows by 16 outputs a tile. Lines of weights of `group` inputs, an even number that divides that of all
    inputs, lie in registers at a time; every row's inputs of these come as uniforms, from where they lie.

    Weights: for each tile of outputs a line of biases, then a line for each input.
    Words of a tile: weights, low, high, output, set-up of the stride between stored rows, bytes from row to row of the
    input, number of groups, input. low and high are there without an epilogue that is `coded`. Raises ScheduleError
    where registers lack.
    """
    if group % 2:
        raise ScheduleError(f"groups of {group} inputs: both TMUs take turns, so it must be even")
    pool = RegisterPool()
    tiles, groups = pool.take("a"), pool.take("a")
    tile, address, output, stride, pitch, source = (pool.take() for _ in range(6))
    bounds = take_bounds(pool, epilogue)
    accumulators = [pool.take() for _ in range(rows)]
    weights = [pool.take() for _ in range(group)]
    results = Results.of(accumulators, epilogue, bounds, pool.rest())
    k = Assembler()
    k.mov(tile, UNIFORM)
    k.mov(tiles, UNIFORM)
    k.load(R5_ALL, LINE_BYTES)
    results.load_constants(k)
    k.label("tile")
    stream_from(k, tile)
    advance(k, tile, few_rows_tile_words(epilogue is None))
    lane_bytes(k, R0)
    k.op("add", address, R0, UNIFORM)
    k.mov(TMU_S[0], address)
    for register in (*bounds, output, stride, pitch, groups, source):
        k.mov(register, UNIFORM)
    k.load_tmu(0)
    for accumulator in accumulators:
        k.mov(accumulator, R4)
    for number in range(IN_FLIGHT):
        _ask_next_line(k, address, number)
    k.label("inputs")
    for number, weight in enumerate(weights):
        k.load_tmu(number % 2)
        k.mov(weight, R4)
        _ask_next_line(k, address, number)
    k.mov(R3, source)
    for accumulator in accumulators:
        stream_from(k, R3)
        k.op("add", R3, R3, pitch)
        k.mov(R2, accumulator)
        for weight in weights:
            k.op("fmul", R1, weight, UNIFORM)
            k.op("fadd", R2, R2, R1)
        k.mov(accumulator, R2)
    k.load(R0, WORD_BYTES * group)
    k.op("add", source, source, R0)
    k.op("sub", groups, groups, 1, set_flags=True)
    k.branch("inputs", "any_zc")
    for number in range(IN_FLIGHT):
        k.load_tmu(number % 2)
    results.compute_all(k)
    k.label("store")
    k.mov(NULL, MUTEX)
    k.load(VPM_WRITE_SETUP, vpm_write_rows(0))
    k.mov(VPM_WRITE_SETUP, stride)
    results.write_high(k, results.registers)
    k.load(VPM_WRITE_SETUP, dma_store_rows(0, rows))
    k.mov(DMA_STORE_ADDRESS, output)
    k.mov(NULL, DMA_STORE_WAIT)
    k.mov(MUTEX_RELEASE, 0)
    k.op("sub", tiles, tiles, 1, set_flags=True)
    k.branch("tile", "any_zc")
    leave(k)
    return k


def _ask_next_line(k: Assembler, address: Register, number: int) -> None:
    k.op("add", address, address, R5)
    k.mov(TMU_S[number % 2], address)
