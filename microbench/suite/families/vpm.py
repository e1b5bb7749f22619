"""VPM access by QPUs: read latency, reads and writes a vector, the write FIFO (guide section 7)."""

from __future__ import annotations

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.registers import (
    R2,
    R3,
    UNIFORM,
    VPM_READ,
    VPM_READ_SETUP,
    VPM_WRITE,
    VPM_WRITE_SETUP,
)
from microbench.suite.benchmark import Benchmark, Rounds
from microbench.suite.families.synchronisation import LEAVE, barrier_programs
from microbench.suite.gpu import BoardShape
from microbench.suite.loops import Emit, counted_loop, discard, vpm_read_rows, vpm_write_rows, wait

DELAYS = (0, 2, 4, 6)
BURSTS = (1, 2, 3, 4, 6)
DRAIN_INSTRUCTIONS = 96


def benchmarks(shape: BoardShape, queue_depth: int) -> tuple[Benchmark, ...]:
    """Reads by their distance from the setup and by vectors a setup; writes; bursts of writes by all at once."""
    everybody = shape.qpus
    return (
        *(_read(1, delay, 1) for delay in DELAYS),
        *(_read(16, 0, n) for n in (1, everybody)),
        _read(1, 0, everybody),
        *(_write(n) for n in (1, everybody)),
        *(_burst(writes, everybody) for writes in BURSTS),
    )


def _read(vectors: int, delay: int, qpus: int) -> Benchmark:
    def setup(asm: Assembler) -> None:
        asm.mov(R2, UNIFORM)

    def body(asm: Assembler) -> None:
        asm.mov(VPM_READ_SETUP, R2)
        wait(asm, delay)
        for _ in range(vectors):
            discard(asm, VPM_READ)
        wait(asm, 2)

    name = f"vpm.read.vectors={vectors:02}.delay={delay}.qpus={qpus}"
    uniforms = (Rounds(), vpm_read_rows(0, vectors))
    return Benchmark(name, "vpm", (counted_loop(body, setup),), uniforms, qpus, (8, 40), units=vectors * qpus)


def _open_writes(asm: Assembler) -> None:
    asm.load(VPM_WRITE_SETUP, vpm_write_rows(0))
    asm.load(R3, 0)


def _writes(count: int) -> Emit:
    def emit(asm: Assembler) -> None:
        for _ in range(count):
            asm.mov(VPM_WRITE, R3)

    return emit


def _write(qpus: int) -> Benchmark:
    program = counted_loop(_writes(16), _open_writes)
    return Benchmark(f"vpm.write.qpus={qpus}", "vpm", (program,), qpus=qpus, rounds=(8, 40), units=16 * qpus)


def _burst(writes: int, qpus: int) -> Benchmark:
    def work(asm: Assembler) -> None:
        asm.load(VPM_WRITE_SETUP, vpm_write_rows(0))
        _writes(writes)(asm)
        wait(asm, DRAIN_INSTRUCTIONS)

    name = f"vpm.write.burst={writes}.qpus={qpus}"
    return Benchmark(
        name, "vpm", barrier_programs(qpus, work), qpus=qpus, rounds=(4, 8), units=len(LEAVE) * writes * qpus
    )
