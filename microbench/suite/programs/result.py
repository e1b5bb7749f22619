"""The end of a block of a matrix product: 16 x 16 words of C come, are combined with the sums, and go back.

A step is written so that its waits and address writes stand where the published programs have theirs.
"""

from __future__ import annotations

from codegen.engines.videocore4.assembler import move, operation
from codegen.engines.videocore4.registers import (
    DMA_LOAD_ADDRESS,
    DMA_LOAD_WAIT,
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    MUTEX,
    MUTEX_RELEASE,
    R0,
    R1,
    R3,
    R5,
    R5_ALL,
    UNIFORM,
    VPM_READ,
    VPM_READ_SETUP,
    VPM_WRITE,
    VPM_WRITE_SETUP,
)
from microbench.suite.benchmark import LINE_BYTES
from microbench.suite.loops import dma_load_pitch, dma_load_rows, dma_store_rows, dma_store_stride, wait
from microbench.suite.programs.matrices import BLOCK_ROWS, Lane, broadcast, point_at_coefficients, sum_of
from microbench.suite.programs.paced import PacedAssembler

_HORIZONTAL = 1 << 11


def vectors(block: int, vertical: bool) -> int:
    """VPM block setup (guide tables 32 and 33) of a block's 16 rows or columns, for reads and for writes."""
    return 1 << 12 | 2 << 8 | BLOCK_ROWS * block | (0 if vertical else _HORIZONTAL)


def set_pitch(k: PacedAssembler) -> None:
    """Rows of C are further apart than the 13 bits of the pitch hold, in the published programs too."""
    broadcast(k, Lane.C_STRIDE)
    k.load(R0, dma_load_pitch(0))
    k.or_(VPM_READ_SETUP, R0, R5)


def set_stride(k: PacedAssembler) -> None:
    broadcast(k, Lane.C_STRIDE)
    k.load(R0, dma_store_stride(0) - LINE_BYTES)
    k.add(VPM_WRITE_SETUP, R0, R5)


def load_setup(k: PacedAssembler, block: int) -> None:
    k.load(VPM_READ_SETUP, dma_load_rows(BLOCK_ROWS, 16) | BLOCK_ROWS * block << 4)


def store_setup(k: PacedAssembler, block: int) -> None:
    k.load(VPM_WRITE_SETUP, dma_store_rows(BLOCK_ROWS, 16) | BLOCK_ROWS * block << 7)


def combine(k: PacedAssembler, block: int) -> None:
    """34 instructions; r1 is alpha and r5 beta. The sums are 0 again."""
    sums = [sum_of(16 * block + i) for i in range(16)]
    k.fmul(sums[0], sums[0], R1)
    k.fmul(R0, VPM_READ, R5)
    for this, following in zip(sums, [*sums[1:], None], strict=True):
        added = operation("fadd", VPM_WRITE, this, R0)
        if following is None:
            k.together(added)
            k.mov(this, 0)
        else:
            k.together(added, operation("fmul", following, following, R1))
            k.together(move(this, 0), operation("fmul", R0, VPM_READ, R5))


def _combine_with_coefficients(k: PacedAssembler, block: int, vertical: bool) -> None:
    """40 instructions."""
    point_at_coefficients(k)
    k.load(VPM_READ_SETUP, vectors(block, vertical))
    k.load(VPM_WRITE_SETUP, vectors(block, vertical))
    k.mov(R1, UNIFORM)
    k.mov(R5_ALL, UNIFORM)
    combine(k, block)


def _load_after_previous(k: PacedAssembler, block: int, instructions: int = 9) -> None:
    with k.section(instructions):
        wait(k, instructions - 9)
        k.discard(DMA_LOAD_WAIT)
        load_setup(k, block)
        broadcast(k, Lane.C)
        k.load(R0, LINE_BYTES * block)
        wait(k, 2)
        k.add(DMA_LOAD_ADDRESS, R0, R5)


def _store_after_previous(k: PacedAssembler, block: int) -> None:
    with k.section(17):
        wait(k, 3)
        k.discard(DMA_STORE_WAIT)
        set_stride(k)
        wait(k, 2)
        store_setup(k, block)
        broadcast(k, Lane.C)
        k.load(R0, LINE_BYTES * block)
        wait(k, 2)
        k.add(DMA_STORE_ADDRESS, R0, R5)


def finish_in_turn(k: PacedAssembler, blocks: int, vertical: bool) -> None:
    """As qmkl does it from the start of 2017 on: a block comes while the one before it is combined."""
    with k.section(15):
        k.discard(MUTEX)
        set_pitch(k)
        wait(k, 2)
        load_setup(k, 0)
        broadcast(k, Lane.C)
        k.mov(DMA_LOAD_ADDRESS, R5)
    for block in range(blocks):
        if block + 1 < blocks:
            _load_after_previous(k, block + 1, 12 if block == 2 else 9)
        else:
            k.discard(DMA_LOAD_WAIT)
        _combine_with_coefficients(k, block, vertical)
        if block == 0:
            _first_store(k, 15 if blocks > 2 else 12)
        else:
            _store_after_previous(k, block)
    k.discard(DMA_STORE_WAIT)
    k.mov(MUTEX_RELEASE, 0)


def _first_store(k: PacedAssembler, instructions: int) -> None:
    with k.section(instructions):
        wait(k, 3)
        set_stride(k)
        store_setup(k, 0)
        broadcast(k, Lane.C)
        wait(k, 1)
        k.mov(DMA_STORE_ADDRESS, R5)


def finish_streamed(k: PacedAssembler, overlapped: bool) -> None:
    """As py-videocore does it. `overlapped`: a block comes, and the one before leaves, while one is combined.

    Otherwise, as in qmkl's first version, all four come one after the other, and each store is waited for.
    """
    with k.section(12):
        k.discard(MUTEX)
        set_pitch(k)
        set_stride(k)
        load_setup(k, 0)
        broadcast(k, Lane.C)
        k.mov(R3, R5)
        k.mov(DMA_LOAD_ADDRESS, R3)
    if overlapped:
        with k.section(3):
            point_at_coefficients(k)
        _set_up_and_load(k, 0)
    else:
        for block in range(1, 4):
            k.discard(DMA_LOAD_WAIT)
            _load(k, block)
        k.discard(DMA_LOAD_WAIT)
        point_at_coefficients(k)
        _set_up(k, 0)
    k.mov(R1, UNIFORM)
    k.mov(R5_ALL, UNIFORM)
    for block in range(4):
        combine(k, block)
        if overlapped and block:
            k.discard(DMA_STORE_WAIT)
        _store(k, block)
        if not overlapped:
            k.discard(DMA_STORE_WAIT)
        if block < 3:
            if overlapped:
                _set_up_and_load(k, block + 1)
            else:
                _set_up(k, block + 1)
    if overlapped:
        k.discard(DMA_STORE_WAIT)
    k.mov(MUTEX_RELEASE, 0)


def finish_alone(k: PacedAssembler) -> None:
    """As py-videocore does it on one QPU: a block comes, and the one before leaves, while one is combined.

    The first block has begun to come; r3 is its address. No store is waited for here.
    """
    k.discard(DMA_LOAD_WAIT)
    _load(k, 1)
    point_at_coefficients(k)
    for block in range(4):
        _set_up(k, block)
        if block == 0:
            k.mov(R1, UNIFORM)
            k.mov(R5_ALL, UNIFORM)
        combine(k, block)
        if block < 3:
            k.discard(DMA_LOAD_WAIT)
        _store(k, block)
        if block < 2:
            _load(k, block + 2)


def _store(k: PacedAssembler, block: int) -> None:
    store_setup(k, block)
    if block:
        k.load(R0, LINE_BYTES * block)
        k.add(DMA_STORE_ADDRESS, R3, R0)
    else:
        k.mov(DMA_STORE_ADDRESS, R3)


def _set_up(k: PacedAssembler, block: int) -> None:
    k.load(VPM_READ_SETUP, vectors(block, vertical=True))
    k.load(VPM_WRITE_SETUP, vectors(block, vertical=True))


def _set_up_and_load(k: PacedAssembler, block: int) -> None:
    """Once a block has come: it is to be combined, and the one behind it begins to come."""
    k.discard(DMA_LOAD_WAIT)
    _set_up(k, block)
    if block < 3:
        _load(k, block + 1)


def _load(k: PacedAssembler, block: int) -> None:
    load_setup(k, block)
    k.load(R0, LINE_BYTES * block)
    k.add(DMA_LOAD_ADDRESS, R3, R0)
