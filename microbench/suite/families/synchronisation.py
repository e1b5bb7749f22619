"""Semaphores and the mutex (guide p.22, p.33): their cost, and that of meeting with them."""

from __future__ import annotations

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.registers import MUTEX, MUTEX_RELEASE
from microbench.suite.benchmark import Benchmark
from microbench.suite.gpu import BoardShape
from microbench.suite.loops import Emit, counted_loop, discard, nothing, wait

ARRIVED, LEAVE, PING, PONG = 0, (1, 2), 3, 4
PAIRS = 15


def benchmarks(shape: BoardShape, queue_depth: int) -> tuple[Benchmark, ...]:
    """A QPU alone with a semaphore, two that answer each other, a barrier of all; the mutex alone and contended."""
    meeting = barrier_programs(shape.qpus)
    family = "synchronisation"
    return (
        Benchmark("semaphore.alone", family, (counted_loop(_own_semaphore),), units=2 * PAIRS),
        Benchmark("semaphore.ping_pong", family, _ping_pong(), qpus=2, units=2),
        Benchmark("semaphore.barrier", family, meeting, qpus=shape.qpus, units=len(LEAVE)),
        *(
            Benchmark(f"mutex.qpus={n}", family, (counted_loop(_mutex),), qpus=n, units=n)
            for n in (1, 2, shape.qpus)
        ),
    )


def barrier_programs(qpus: int, work: Emit = nothing) -> tuple[tuple[int, ...], ...]:
    """Loops in which all QPUs meet before `work`, twice a round: the first waits for the others, then lets them go.

    Two semaphores to leave by: a fast QPU must not take a slow one's token of the meeting before.
    """

    def lead(asm: Assembler) -> None:
        for leave in LEAVE:
            for _ in range(qpus - 1):
                asm.acquire(ARRIVED)
            for _ in range(qpus - 1):
                asm.release(leave)
            work(asm)

    def follow(asm: Assembler) -> None:
        for leave in LEAVE:
            asm.release(ARRIVED)
            asm.acquire(leave)
            work(asm)

    return counted_loop(lead), counted_loop(follow)


def _own_semaphore(asm: Assembler) -> None:
    for _ in range(PAIRS):
        asm.release(PING)
        asm.acquire(PING)


def _ping_pong() -> tuple[tuple[int, ...], ...]:
    def serve(asm: Assembler) -> None:
        asm.release(PING)
        asm.acquire(PONG)

    def answer(asm: Assembler) -> None:
        asm.acquire(PING)
        asm.release(PONG)

    return counted_loop(serve), counted_loop(answer)


def _mutex(asm: Assembler) -> None:
    discard(asm, MUTEX)
    wait(asm, 2)
    asm.mov(MUTEX_RELEASE, 0)
    wait(asm, 4)
