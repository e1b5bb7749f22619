"""One step of heat flow on 504 rows of 496 cells, with the accesses of QPULib's example HeatMap.

Rows are dealt out to the QPUs in turn. A QPU reads three rows by TMU, a vector and a half ahead, and stores each vector
of the row between them, from its column of the VPM.
"""

from __future__ import annotations

from codegen.engines.videocore4.assembler import word_of
from codegen.engines.videocore4.registers import (
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    ELEMENT,
    NULL,
    R0,
    R1,
    R2,
    R3,
    R4,
    TMU0_S,
    UNIFORM,
    VPM_WRITE,
    VPM_WRITE_SETUP,
    A,
    B,
    Register,
)
from microbench.suite.benchmark import LINE_BYTES
from microbench.suite.loops import dma_store_stride, wait
from microbench.suite.programs.columns import COLUMN_ROWS, begin_columns, end_columns
from microbench.suite.programs.launch import Buses, Program
from microbench.suite.programs.paced import PacedAssembler

ROWS, CELLS = 504, 496
PITCH_BYTES = 4 * 512
HEAT_K = 0.25

_VECTORS = CELLS // COLUMN_ROWS
_INDEX, _QPUS = A(0), A(1)
_FROM, _TO = A(2), B(3)
_ROWS_LEFT, _VECTORS_LEFT = A(4), A(5)
_K, _STEP, _STRIDE, _STORE = A(6), A(7), B(4), B(5)
_PREVIOUS, _CURRENT, _NEXT, _CURSOR = (
    [A(8 + i) for i in range(3)],
    [B(8 + i) for i in range(3)],
    [A(12 + i) for i in range(3)],
    [B(12 + i) for i in range(3)],
)


def heat(qpus: int) -> Program:
    """The outer rows and columns stay as they are; the rows of the result begin at the second."""

    def stream(qpu: int, buses: Buses) -> tuple[int, ...]:
        first = buses["from"] + qpu * PITCH_BYTES
        out = buses["to"] + (qpu + 1) * PITCH_BYTES
        return (qpu, qpus, first, out, ROWS // qpus, word_of(HEAT_K), LINE_BYTES)

    room = (ROWS + 4) * PITCH_BYTES  # the TMU asks past the last row
    return Program(
        words=_words(qpus),
        qpus=qpus,
        stream=stream,
        buffers={"from": room, "to": room},
        store_rows=COLUMN_ROWS,
    )


def _words(qpus: int) -> tuple[int, ...]:
    k = PacedAssembler()
    with k.section(34):
        for register in (_INDEX, _QPUS, _FROM, _TO, _ROWS_LEFT, _K, _STEP):
            k.mov(register, UNIFORM)
        begin_columns(k, _INDEX, _STORE)
        k.load(_STRIDE, dma_store_stride(0))
        k.shl(R0, ELEMENT, 2)
        k.add(_FROM, _FROM, R0)
    k.mark("row")
    _first_requests(k)
    k.mark("vector")
    _vector(k)
    k.loop("vector", "any_zc", "row's end")
    for row in range(3):
        k.load_tmu(0)
        k.mov(_NEXT[row], R4)
    with k.section(11, at_end=1):
        k.load(R0, qpus * PITCH_BYTES)
        k.load(R1, qpus * PITCH_BYTES - _VECTORS * LINE_BYTES)
        k.add(_FROM, _FROM, R0)
        k.add(_TO, _TO, R1)
        k.sub(_ROWS_LEFT, _ROWS_LEFT, 1, set_flags=True)
    k.loop("row", "any_zc", "after")
    end_columns(k, _INDEX, qpus)
    return k.assemble()


def _first_requests(k: PacedAssembler) -> None:
    for row in range(3):
        with k.section(7 if row == 0 else 8, at_end=1):
            k.load(R0, row * PITCH_BYTES)
            k.add(_CURSOR[row], _FROM, R0)
            k.load(_CURRENT[row], 0)
        k.mov(TMU0_S, _CURSOR[row])
    with k.section(3):
        k.load(_VECTORS_LEFT, _VECTORS)
    for row in range(3):
        k.load_tmu(0)
        k.mov(_NEXT[row], R4)
        k.add(TMU0_S, _CURSOR[row], _STEP)
    with k.section(8):
        for row in range(3):
            k.add(_CURSOR[row], _CURSOR[row], _STEP)


def _vector(k: PacedAssembler) -> None:
    for row in range(3):
        with k.section(7):
            k.add(_CURSOR[row], _CURSOR[row], _STEP)
            k.mov(_PREVIOUS[row], _CURRENT[row])
            wait(k, 1)
            k.mov(TMU0_S, _CURSOR[row])
            k.mov(_CURRENT[row], _NEXT[row])
            k.load_tmu(0)
            k.mov(_NEXT[row], R4)
    with k.section(60):
        _cell(k)
    k.discard(DMA_STORE_WAIT)
    k.mov(VPM_WRITE, R0)
    k.mov(VPM_WRITE_SETUP, _STRIDE)
    k.mov(VPM_WRITE_SETUP, _STORE)
    k.mov(DMA_STORE_ADDRESS, _TO)
    with k.section(10, at_end=1):
        k.add(_TO, _TO, _STEP)
        k.sub(_VECTORS_LEFT, _VECTORS_LEFT, 1, set_flags=True)


def _cell(k: PacedAssembler) -> None:
    """r0: what 16 cells become."""
    k.load(R3, 0.0)
    for row in range(3):
        if row != 1:
            k.fadd(R3, R3, _CURRENT[row])
        _add_shifted(k, _CURRENT[row], _NEXT[row], 15, 15)
        _add_shifted(k, _CURRENT[row], _PREVIOUS[row], 1, 0)
    k.fmul(R0, R3, 0.125)
    k.mov(R1, _CURRENT[1])
    k.fsub(R0, R1, R0)
    k.fmul(R0, R0, _K)
    k.fsub(R0, R1, R0)


def _add_shifted(k: PacedAssembler, vector: Register, beside: Register, lanes: int, seam: int) -> None:
    """Adds to r3 the vector rotated, with the neighbouring vector's element at the seam."""
    k.mov(R0, vector)
    k.mov(R1, beside)
    k.sub(NULL, ELEMENT, seam, set_flags=True)
    k.rotate(R2, R0, lanes)
    k.rotate(R0, R1, lanes)
    k.mov(R2, R0, condition="zs")
    k.fadd(R3, R3, R2)
