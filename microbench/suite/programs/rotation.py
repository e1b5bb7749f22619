"""192,000 points turned about an axis, with the accesses of QPULib's example Rot3D.

QPULib keeps a vector in one column of the VPM for each QPU, so a store sends 16 rows of one word to memory, and a load
brings 16 such rows. The second and the third version of the example differ before their loop only.
"""

from __future__ import annotations

from codegen.engines.videocore4.assembler import word_of
from codegen.engines.videocore4.registers import (
    DMA_LOAD_ADDRESS,
    DMA_LOAD_WAIT,
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    ELEMENT,
    R0,
    R1,
    R2,
    R3,
    R4,
    TMU0_S,
    UNIFORM,
    VPM_READ,
    VPM_READ_SETUP,
    VPM_WRITE,
    VPM_WRITE_SETUP,
    A,
    B,
    Register,
)
from microbench.suite.benchmark import LINE_BYTES
from microbench.suite.loops import dma_load_pitch, dma_store_stride, wait
from microbench.suite.programs.columns import (
    COLUMN_ROWS,
    begin_columns,
    column_load,
    column_read,
    end_columns,
)
from microbench.suite.programs.launch import Buses, Program
from microbench.suite.programs.paced import PacedAssembler

POINTS = 192_000
COSINE, SINE = 0.8, 0.6

_INDEX, _QPUS = A(0), A(1)
_X, _Y = B(4), B(5)
_COS, _SIN = A(4), A(5)
_ROUNDS, _STEP = A(6), A(7)
_STRIDE, _STORE = A(8), B(8)
_PITCH, _LOAD, _READ = A(9), B(9), A(10)


def rotation(qpus: int, prefetched: bool) -> Program:
    """Prefetched: x and y by TMU a round ahead, stores waited for by the next. Otherwise by DMA, one at a time."""

    def stream(qpu: int, buses: Buses) -> tuple[int, ...]:
        first = LINE_BYTES * qpu
        rounds = POINTS // COLUMN_ROWS // qpus
        angle = word_of(COSINE), word_of(SINE)
        return (qpu, qpus, buses["x"] + first, buses["y"] + first, *angle, rounds)

    room = 4 * POINTS + qpus * LINE_BYTES  # the TMU asks a round ahead
    return Program(
        words=_prefetched(qpus) if prefetched else _row_by_row(qpus),
        qpus=qpus,
        stream=stream,
        buffers={"x": room, "y": room},
        load_rows=0 if prefetched else COLUMN_ROWS,
        store_rows=COLUMN_ROWS,
    )


def _begin(k: PacedAssembler) -> None:
    for register in (_INDEX, _QPUS, _X, _Y, _COS, _SIN, _ROUNDS):
        k.mov(register, UNIFORM)
    begin_columns(k, _INDEX, _STORE)
    k.load(_STRIDE, dma_store_stride(0))
    k.shl(_STEP, _QPUS, 6)


def _row_by_row(qpus: int) -> tuple[int, ...]:
    k = PacedAssembler()
    with k.section(26):
        _begin(k)
        k.load(_PITCH, dma_load_pitch(4))
        k.load(R0, column_load())
        k.add(_LOAD, R0, _INDEX)
        k.load(R0, column_read())
        k.add(_READ, R0, _INDEX)
    k.mark("round")
    for value, address in ((R0, _X), (R1, _Y)):
        _load(k, value, address)
    for first, second, combine, address in ((R0, R1, "fsub", _X), (R1, R0, "fadd", _Y)):
        wait(k, 2)
        _turn(k, first, second, combine)
        _store(k, address)
        k.discard(DMA_STORE_WAIT)
    with k.section(8, at_end=1):
        _next_round(k)
    k.loop("round", "any_zc", "after")
    end_columns(k, _INDEX, qpus)
    return k.assemble()


def _load(k: PacedAssembler, value: Register, address: Register) -> None:
    wait(k, 2)
    k.mov(VPM_READ_SETUP, _PITCH)
    k.mov(VPM_READ_SETUP, _LOAD)
    k.mov(DMA_LOAD_ADDRESS, address)
    k.discard(DMA_LOAD_WAIT)
    k.mov(VPM_READ_SETUP, _READ)
    wait(k, 3)
    k.mov(value, VPM_READ)


def _turn(k: PacedAssembler, first: Register, second: Register, combine: str) -> None:
    """r2: first cos - second sin, or their sum."""
    k.fmul(R2, first, _COS)
    k.fmul(R3, second, _SIN)
    k.op(combine, R2, R2, R3)


def _store(k: PacedAssembler, address: Register) -> None:
    k.mov(VPM_WRITE, R2)
    k.mov(VPM_WRITE_SETUP, _STRIDE)
    k.mov(VPM_WRITE_SETUP, _STORE)
    k.mov(DMA_STORE_ADDRESS, address)


def _next_round(k: PacedAssembler) -> None:
    k.add(_X, _X, _STEP)
    k.add(_Y, _Y, _STEP)
    k.sub(_ROUNDS, _ROUNDS, 1, set_flags=True)


def _prefetched(qpus: int) -> tuple[int, ...]:
    """Addresses are vectors: the TMU takes every lane's, the DMA engine that of lane 0."""
    k = PacedAssembler()
    with k.section(39):
        _begin(k)
        k.shl(R0, ELEMENT, 2)
        for address in (_X, _Y):
            k.add(address, address, R0)
        wait(k, 1)
        for address in (_X, _Y):
            k.mov(TMU0_S, address)
    k.mark("round")
    for address in (_X, _Y):
        wait(k, 1)
        k.add(TMU0_S, address, _STEP)
    for value in (R0, R1):
        k.load_tmu(0)
        k.mov(value, R4)
    for first, second, combine, address in ((R0, R1, "fsub", _X), (R1, R0, "fadd", _Y)):
        _turn(k, first, second, combine)
        k.discard(DMA_STORE_WAIT)
        _store(k, address)
    with k.section(11, at_end=1):
        wait(k, 3)
        _next_round(k)
    k.loop("round", "any_zc", "after")
    for _ in range(2):
        k.load_tmu(0)
        wait(k, 1)
    end_columns(k, _INDEX, qpus)
    return k.assemble()
