"""What the matrix products share: shapes, the state that they keep in the lanes of r2, and how they begin and end.

C = alpha A B + beta C, A of 96 x 363, B of 363 x 3072, on one QPU or on 12, each of which then has 48 rows and 512
columns of C. Blocks have 16 rows. All registers of the two files hold sums, so what a loop has to remember is in the
lanes of r2.
"""

from __future__ import annotations

from enum import IntEnum

from codegen.engines.videocore4.assembler import word_of
from codegen.engines.videocore4.operation import Source
from codegen.engines.videocore4.registers import (
    ELEMENT,
    HOST_INTERRUPT,
    NULL,
    R0,
    R1,
    R2,
    R5,
    R5_ALL,
    TMU_NOSWAP,
    UNIFORM,
    UNIFORM_ADDRESS,
    A,
    B,
    Register,
)
from codegen.program import WORD_BYTES
from microbench.suite.loops import wait
from microbench.suite.programs.launch import Buses, Program
from microbench.suite.programs.paced import PacedAssembler

ROWS, DEPTH, COLUMNS = 96, 363, 3072
ALPHA, BETA = 1.5, 0.0
BLOCK_ROWS = 16
QPUS = 12

_ACROSS = 6  # of 12 QPUs side by side; two such rows of them
_DONE = 0  # semaphore


class Lane(IntEnum):
    """Of r2. Addresses are of the block at hand; an `END` is of what follows the QPU's last block."""

    B = 0  # the lane from which the uniforms' address is taken
    DEPTH_LEFT = 1
    A = 2
    C = 3
    COLUMNS_LEFT = 4  # in blocks, as ROWS_LEFT
    ROWS_LEFT = 5
    COEFFICIENTS = 6  # address of alpha and beta
    A_END = 7
    B_END = 8
    C_END = 9
    A_STRIDE = 10  # bytes from row to row, as the others
    B_STRIDE = 11
    C_STRIDE = 12
    DEPTH = 13
    COLUMN_BLOCKS = 14
    A_ROW = 15  # where the row of blocks begins in A


_PARAMETERS = (
    *(Lane.COEFFICIENTS, Lane.A_END, Lane.B_END, Lane.C_END, Lane.A_STRIDE, Lane.B_STRIDE, Lane.C_STRIDE),
    *(Lane.DEPTH, Lane.COLUMN_BLOCKS, Lane.ROWS_LEFT),
)


def sum_of(column: int) -> Register:
    """The register of a block's sum; neighbours are in different files."""
    return (B, A)[column % 2](column // 2)


def broadcast(k: PacedAssembler, lane: Lane) -> None:
    """r5: a lane of r2 in all lanes."""
    if lane == 0:
        k.mov(R5_ALL, R2)
    else:
        k.rotate(R5_ALL, R2, 16 - lane)


def select(k: PacedAssembler, lane: Lane) -> None:
    """The Z flag is set in that lane alone."""
    k.sub(NULL, ELEMENT, int(lane), set_flags=True)


def put(k: PacedAssembler, lane: Lane, value: Source) -> None:
    """Into a lane of r2, which must not be broadcast by the next instruction."""
    select(k, lane)
    k.mov(R2, value, condition="zs")


def advance(k: PacedAssembler, lane: Lane, by: Source) -> None:
    """Adds to a lane of r2, which must not be broadcast by the next instruction."""
    select(k, lane)
    k.add(R2, R2, by, condition="zs")


def go_back(k: PacedAssembler, lane: Lane, end: Lane) -> None:
    """Lane `lane`: what `end` holds, less r0."""
    broadcast(k, end)
    select(k, lane)
    k.sub(R2, R5, R0, condition="zs")


def blocks_left(k: PacedAssembler, count: Lane, shift: int, stride: Lane | None = None) -> None:
    """r0: how many blocks are left, shifted left, times a stride."""
    broadcast(k, count)
    k.shl(R0, R5, shift)
    if stride is not None:
        broadcast(k, stride)
        k.mul24(R0, R0, R5)


def begin(k: PacedAssembler, instructions: int) -> None:
    """Parameters into the lanes; sums are 0."""
    with k.section(instructions):
        k.mov(R2, 1)
        for lane in _PARAMETERS:
            put(k, lane, UNIFORM)
        k.mov(TMU_NOSWAP, 1)
        for index in range(32):
            k.mov(A(index), 0).mov(B(index), 0)


def place_result(k: PacedAssembler, column_shift: int) -> None:
    """Lane C; 2**column_shift bytes are a row of a block. r1: the bytes left in a row of blocks."""
    blocks_left(k, Lane.ROWS_LEFT, 4, Lane.C_STRIDE)
    broadcast(k, Lane.COLUMNS_LEFT)
    k.shl(R1, R5, column_shift)
    broadcast(k, Lane.C_END)
    k.sub(R0, R5, R0)
    select(k, Lane.C)
    k.sub(R2, R0, R1, condition="zs")


def next_block(k: PacedAssembler) -> None:
    """Back for the next block of columns, then of rows."""
    for lane, label, after in (
        (Lane.COLUMNS_LEFT, "block", "row's end"),
        (Lane.ROWS_LEFT, "row", "after"),
    ):
        select(k, lane)
        k.sub(R2, R2, 1, condition="zs", set_flags=True)
        wait(k, 3)
        k.loop(label, "all_zc", after)


def end(k: PacedAssembler) -> tuple[int, ...]:
    """QPU 0 waits for all and interrupts the host."""
    k.release(_DONE)
    point_at_coefficients(k)
    wait(k, 2)
    for _ in range(2):
        k.discard(UNIFORM)
    k.mov(NULL, UNIFORM, set_flags=True)
    k.discard(UNIFORM)
    wait(k, 2)
    k.loop("end", "any_zc", "first")
    for _ in range(QPUS):
        k.acquire(_DONE)
    k.mov(HOST_INTERRUPT, 1)
    k.mark("end")
    wait(k, 1)
    k.thread_end()
    return k.assemble()


def point_at_coefficients(k: PacedAssembler) -> None:
    """The next uniforms, two instructions later, are alpha and beta."""
    broadcast(k, Lane.COEFFICIENTS)
    k.mov(UNIFORM_ADDRESS, R5)


def product(
    words: tuple[int, ...],
    block_columns: int,
    a_transposed: bool = False,
    b_transposed: bool = False,
    qpus: int = QPUS,
) -> Program:
    """The launch of a kernel of blocks of 16 rows. A transposed matrix is stored column by column."""
    a_stride, b_stride = (
        WORD_BYTES * (ROWS if a_transposed else DEPTH),
        WORD_BYTES * (DEPTH if b_transposed else COLUMNS),
    )
    c_stride = WORD_BYTES * COLUMNS
    across = min(_ACROSS, qpus)
    qpu_rows, qpu_columns = ROWS * across // qpus, COLUMNS // across

    def stream(qpu: int, buses: Buses) -> tuple[int, ...]:
        row, column = (1 + qpu // across) * qpu_rows, (1 + qpu % across) * qpu_columns
        parameters = {
            Lane.COEFFICIENTS: buses["stream"] + WORD_BYTES * len(_PARAMETERS),
            Lane.A_END: buses["a"] + row * (WORD_BYTES if a_transposed else a_stride),
            Lane.B_END: buses["b"] + column * (b_stride if b_transposed else WORD_BYTES),
            Lane.C_END: buses["c"] + row * c_stride + column * WORD_BYTES,
            Lane.A_STRIDE: a_stride,
            Lane.B_STRIDE: b_stride,
            Lane.C_STRIDE: c_stride,
            Lane.DEPTH: DEPTH,
            Lane.COLUMN_BLOCKS: qpu_columns // block_columns,
            Lane.ROWS_LEFT: qpu_rows // BLOCK_ROWS,
        }
        return (*(parameters[lane] for lane in _PARAMETERS), word_of(ALPHA), word_of(BETA), qpu, qpus)

    # The TMU asks past the last row and column.
    sizes = {"a": WORD_BYTES * ROWS * DEPTH + 8192, "b": WORD_BYTES * DEPTH * COLUMNS + 65536}
    return Program(
        words=words,
        qpus=qpus,
        stream=stream,
        buffers={**sizes, "c": c_stride * ROWS},
        load_rows=BLOCK_ROWS,
        store_rows=BLOCK_ROWS,
    )
