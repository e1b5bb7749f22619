"""DMA between memory and VPM, by rows and by row length (guide section 7, tables 34 to 37)."""

from __future__ import annotations

from dataclasses import replace

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.registers import (
    DMA_LOAD_ADDRESS,
    DMA_LOAD_WAIT,
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    R2,
    R3,
    UNIFORM,
    VPM_READ_SETUP,
    VPM_WRITE_SETUP,
)
from codegen.program import WORD_BYTES
from microbench.suite.benchmark import Address, Benchmark, Rounds, Uniform
from microbench.suite.gpu import BoardShape
from microbench.suite.loops import (
    counted_loop,
    discard,
    dma_load_pitch,
    dma_load_rows,
    dma_store_rows,
    dma_store_stride,
)

ROW_WORDS = (1, 2, 4, 8, 12)  # beside 16
STORES = (
    *((rows, 16) for rows in (1, 4, 16, 64, 128)),
    *((16, words) for words in ROW_WORDS),
    *((1, words) for words in (1, 4)),
    (4, 64),
)
LOADS = (
    *((rows, 16) for rows in (1, 4, 16)),
    *((16, words) for words in ROW_WORDS),
    *((1, words) for words in (1, 4)),
)
IN_A_ROW = 4


def benchmarks(shape: BoardShape, queue_depth: int) -> tuple[Benchmark, ...]:
    """Loads and stores of one QPU that waits for each, or not; the engines shared by all; load and store at once."""
    return (
        *(_store(rows, words, 1) for rows, words in STORES),
        *(_load(rows, words, 1) for rows, words in LOADS),
        *(_stores_in_a_row(rows, words) for rows, words in ((1, 16), (16, 1), (16, 16))),
        *(_store(rows, 16, shape.qpus) for rows in (1, 4, 128)),
        *(_load(rows, 16, shape.qpus) for rows in (1, 4, 16)),
        _both(),
    )


def _store(rows: int, words: int, qpus: int) -> Benchmark:
    name = f"dma.store.rows={rows:03}.words={words:02}.qpus={qpus}"
    return _benchmark(name, *_storing(rows, words, 1), rows * words, qpus)


def _stores_in_a_row(rows: int, words: int) -> Benchmark:
    """Stores that follow each other without a wait between: each begins when the engine has ended the one before."""
    name = f"dma.store.follows.rows={rows:02}.words={words:02}"
    return replace(
        _benchmark(name, *_storing(rows, words, IN_A_ROW), IN_A_ROW * rows * words, 1), waits=IN_A_ROW
    )


def _storing(rows: int, words: int, stores: int) -> tuple[tuple[int, ...], tuple[Uniform, ...]]:
    """A program whose round is so many stores and a wait for the last, and its uniforms."""

    def body(asm: Assembler) -> None:
        for _ in range(stores):
            asm.mov(DMA_STORE_ADDRESS, R2)
        discard(asm, DMA_STORE_WAIT)

    uniforms = (Rounds(), dma_store_rows(rows, words), dma_store_stride(0), Address())
    return counted_loop(body, open_store), uniforms


def open_store(asm: Assembler) -> None:
    asm.mov(VPM_WRITE_SETUP, UNIFORM)
    asm.mov(VPM_WRITE_SETUP, UNIFORM)
    asm.mov(R2, UNIFORM)


def _load(rows: int, words: int, qpus: int) -> Benchmark:
    def body(asm: Assembler) -> None:
        asm.mov(DMA_LOAD_ADDRESS, R2)
        discard(asm, DMA_LOAD_WAIT)

    program = counted_loop(body, open_load)
    uniforms = (Rounds(), dma_load_rows(rows, words), dma_load_pitch(WORD_BYTES * words), Address())
    name = f"dma.load.rows={rows:02}.words={words:02}.qpus={qpus}"
    return _benchmark(name, program, uniforms, rows * words, qpus)


def open_load(asm: Assembler) -> None:
    asm.mov(VPM_READ_SETUP, UNIFORM)
    asm.mov(VPM_READ_SETUP, UNIFORM)
    asm.mov(R2, UNIFORM)


def _both() -> Benchmark:
    """A load and a store in flight together: they meet in memory only."""

    def open_both(asm: Assembler) -> None:
        open_load(asm)
        asm.mov(VPM_WRITE_SETUP, UNIFORM)
        asm.mov(VPM_WRITE_SETUP, UNIFORM)
        asm.mov(R3, UNIFORM)

    def body(asm: Assembler) -> None:
        asm.mov(DMA_LOAD_ADDRESS, R2)
        asm.mov(DMA_STORE_ADDRESS, R3)
        discard(asm, DMA_LOAD_WAIT)
        discard(asm, DMA_STORE_WAIT)

    uniforms = (
        *(Rounds(), dma_load_rows(16, 16), dma_load_pitch(64), Address()),
        *(dma_store_rows(16, 16) | 16 << 7, dma_store_stride(0), Address(1 << 16)),
    )
    return _benchmark("dma.both.rows=16", counted_loop(body, open_both), uniforms, 2 * 16 * 16, 1)


def _benchmark(
    name: str, program: tuple[int, ...], uniforms: tuple[Uniform, ...], words: int, qpus: int
) -> Benchmark:
    return Benchmark(
        name, "dma", (program,), uniforms, qpus, (4, 12), units=WORD_BYTES * words * qpus, data_bytes=1 << 17
    )
