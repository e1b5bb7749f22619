"""Who is served when several QPUs wait: the DMA engines and the mutex under three QPUs that ask for them unequally.

Two of them ask again as soon as they were served, so that something always waits; the third, the slow one, works in
between on what nobody else wants. Where whoever asked first is served first, it makes no difference which of the three
the slow one is. Where the lowest number is, the slow one waits until the others have ended if it is the last, and
hardly at all if it is the first; the launch takes as long as the slow one.
"""

from __future__ import annotations

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.registers import (
    DMA_LOAD_ADDRESS,
    DMA_LOAD_WAIT,
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    MUTEX,
    MUTEX_RELEASE,
    R2,
)
from microbench.suite.benchmark import Address, Benchmark, Rounds, Uniform
from microbench.suite.families.dma import open_load, open_store
from microbench.suite.gpu import BoardShape
from microbench.suite.loops import (
    Emit,
    counted_loop,
    discard,
    dma_load_pitch,
    dma_load_rows,
    dma_store_rows,
    dma_store_stride,
    nothing,
    wait,
)

QPUS = 3
SLOW = {"first": 0, "last": QPUS - 1}
HELD_INSTRUCTIONS = 40  # of the mutex
SLOW_INSTRUCTIONS = 120  # about twice what an engine takes for the rows below
ROWS = 16


def benchmarks(shape: BoardShape, queue_depth: int) -> tuple[Benchmark, ...]:
    """Each of the three shared things with the slow QPU first and last."""
    transfers = (Rounds(), dma_store_rows(ROWS, 16), dma_store_stride(0), Address())
    loads = (Rounds(), dma_load_rows(ROWS, 16), dma_load_pitch(64), Address())
    return tuple(
        benchmark
        for place in SLOW
        for benchmark in (
            _unequal("mutex", place, _lock, nothing, (Rounds(),)),
            _unequal("store", place, _store, open_store, transfers),
            _unequal("load", place, _load, open_load, loads),
        )
    )


def _unequal(what: str, place: str, use: Emit, before: Emit, uniforms: tuple[Uniform, ...]) -> Benchmark:
    def slow(asm: Assembler) -> None:
        use(asm)
        wait(asm, SLOW_INSTRUCTIONS)

    programs = [counted_loop(use, before)] * QPUS
    programs[SLOW[place]] = counted_loop(slow, before)
    return Benchmark(
        f"arbitration.{what}.slow={place}",
        "arbitration",
        tuple(programs),
        uniforms,
        QPUS,
        (4, 16),
        units=QPUS,
        data_bytes=ROWS * 64,
    )


def _lock(asm: Assembler) -> None:
    discard(asm, MUTEX)
    wait(asm, HELD_INSTRUCTIONS)
    asm.mov(MUTEX_RELEASE, 0)


def _store(asm: Assembler) -> None:
    asm.mov(DMA_STORE_ADDRESS, R2)
    discard(asm, DMA_STORE_WAIT)


def _load(asm: Assembler) -> None:
    asm.mov(DMA_LOAD_ADDRESS, R2)
    discard(asm, DMA_LOAD_WAIT)
