"""Matrix products with the accesses of py-videocore's and qmkl's first: A by TMU, B through the uniforms."""

from __future__ import annotations

from codegen.engines.videocore4.registers import (
    DMA_LOAD_ADDRESS,
    DMA_STORE_WAIT,
    ELEMENT,
    HOST_INTERRUPT,
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    TMU0_S,
    UNIFORM,
    UNIFORM_ADDRESS,
)
from microbench.suite.loops import wait
from microbench.suite.programs.launch import Program
from microbench.suite.programs.matrices import (
    Lane,
    begin,
    blocks_left,
    broadcast,
    end,
    go_back,
    next_block,
    place_result,
    product,
    put,
    select,
    sum_of,
)
from microbench.suite.programs.paced import PacedAssembler
from microbench.suite.programs.result import (
    finish_alone,
    finish_streamed,
    load_setup,
    set_pitch,
    set_stride,
)

_SUMS = [sum_of(column) for column in range(64)]


def streamed(overlapped: bool) -> Program:
    """12 QPUs. Blocks of 16 x 64: a depth is 64 uniforms, each times a column of A, and one write of their address.

    `overlapped`: how C comes and goes, see `finish_streamed`.
    """
    k = PacedAssembler()
    begin(k, 78)
    with k.section(8):
        wait(k, 1)
        broadcast(k, Lane.COEFFICIENTS)
        k.mov(UNIFORM_ADDRESS, R5)
        wait(k, 2)
        for _ in range(3):
            k.discard(UNIFORM)
    _begin_block(k)
    _all_depths_but_the_last(k)
    k.mov(R1, R4).signal("load_tmu0")
    _last_depth(k)
    finish_streamed(k, overlapped)
    next_block(k)
    return product(end(k), 64)


def streamed_alone() -> Program:
    """One QPU and no mutex: C begins to come while the last depth is multiplied, and leaves during the next block."""
    k = PacedAssembler()
    begin(k, 74)
    wait(k, 1)
    set_pitch(k)
    set_stride(k)
    _begin_block(k)
    _all_depths_but_the_last(k, wait_for_store=True)
    k.mov(R1, R4).signal("load_tmu0")
    load_setup(k, 0)
    broadcast(k, Lane.C)
    k.mov(DMA_LOAD_ADDRESS, R5).mov(R3, R5)
    _last_depth(k)
    finish_alone(k)
    next_block(k)
    k.discard(DMA_STORE_WAIT)
    k.mov(HOST_INTERRUPT, 1)
    k.thread_end()
    return product(k.assemble(), 64, qpus=1)


def _begin_block(k: PacedAssembler) -> None:
    k.mark("row")
    with k.section(11):
        blocks_left(k, Lane.ROWS_LEFT, 4, Lane.A_STRIDE)
        go_back(k, Lane.A, Lane.A_END)
        wait(k, 1)
        broadcast(k, Lane.COLUMN_BLOCKS)
        put(k, Lane.COLUMNS_LEFT, R5)
    k.mark("block")
    with k.section(28):
        _place_stream(k)


def _all_depths_but_the_last(k: PacedAssembler, wait_for_store: bool = False) -> None:
    """`wait_for_store`: before the loop, for what the block before this one stores."""
    k.mov(UNIFORM_ADDRESS, R2)
    k.mov(TMU0_S, R1)
    k.add(R1, R1, 4)
    k.load_tmu(0)
    _next_depth(k)
    if wait_for_store:
        k.discard(DMA_STORE_WAIT)
    k.mark("depth")
    for column in range(3, 64):
        k.fadd(_SUMS[column - 1], _SUMS[column - 1], R0).fmul(R0, R4, UNIFORM)
    k.fadd(_SUMS[63], _SUMS[63], R0).mov(UNIFORM_ADDRESS, R2).signal("load_tmu0")
    _next_depth(k)
    k.loop("depth", "all_zc", "block's end")


def _last_depth(k: PacedAssembler) -> None:
    """r1 is the column of A."""
    for column in range(3, 64):
        k.fadd(_SUMS[column - 1], _SUMS[column - 1], R0).fmul(R0, R1, UNIFORM)
    k.fadd(_SUMS[63], _SUMS[63], R0)


def _place_stream(k: PacedAssembler) -> None:
    """r1: addresses of A; r3: what r2 advances by from depth to depth, B by a row and the depth by one."""
    place_result(k, 8)
    k.mov(R3, 0)
    broadcast(k, Lane.B_END)
    select(k, Lane.B)
    k.sub(R2, R5, R1, condition="zs")
    select(k, Lane.DEPTH_LEFT)
    k.mov(R3, -1, condition="zs")
    broadcast(k, Lane.DEPTH)
    k.mov(R2, R5, condition="zs")
    select(k, Lane.B)
    broadcast(k, Lane.B_STRIDE)
    k.mov(R3, R5, condition="zs")
    broadcast(k, Lane.A_STRIDE)
    k.mul24(R0, ELEMENT, R5)
    broadcast(k, Lane.A)
    k.add(R1, R0, R5)


def _next_depth(k: PacedAssembler) -> None:
    """Asks for the column after the next, and begins with the three columns of B that a branch leaves room for."""
    k.add(R2, R2, R3, set_flags=True).mov(TMU0_S, R1)
    k.add(R1, R1, 4).fmul(R0, R4, UNIFORM)
    for column in (0, 1):
        k.fadd(_SUMS[column], _SUMS[column], R0).fmul(R0, R4, UNIFORM)
