"""Launch overhead, issue rate, instruction cache (guide p.16, p.22; addendum, "Cache details")."""

from __future__ import annotations

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.registers import R2
from microbench.suite.benchmark import Benchmark
from microbench.suite.gpu import BoardShape
from microbench.suite.loops import LOOP_INSTRUCTIONS, counted_loop, wait

LINE_INSTRUCTIONS = 8
FROM_SDRAM_LINES = 1536  # 1.5 times the largest L2 that is looked for


def benchmarks(shape: BoardShape, queue_depth: int) -> tuple[Benchmark, ...]:
    """Launches of nothing; arithmetic; loops of growing length."""
    return (*_launches(shape), *_issue(shape), *_instruction_cache(shape))


def _launches(shape: BoardShape) -> tuple[Benchmark, ...]:
    asm = Assembler()
    wait(asm, 1)
    asm.thread_end()
    programs = (asm.assemble(),)
    return tuple(
        Benchmark(f"launch.qpus={n}", "launch", programs, uniforms=(0,), qpus=n, rounds=None)
        for n in (1, shape.qpus)
    )


def _issue(shape: BoardShape) -> tuple[Benchmark, ...]:
    def arithmetic(asm: Assembler) -> None:
        for _ in range(62):
            asm.op("add", R2, R2, 1)

    programs = (counted_loop(arithmetic),)
    return tuple(
        Benchmark(f"issue.qpus={n}", "issue", programs, qpus=n, units=64 * n) for n in (1, shape.qpus)
    )


def _instruction_cache(shape: BoardShape) -> tuple[Benchmark, ...]:
    """Lengths that lie well inside of, just past and well past every power of two; one that L2 does not hold."""
    inside = tuple(3 << k for k in range(2, 8))
    just_past = tuple(17 << k for k in range(0, 5))
    return tuple(
        _long_loop(lines, qpus)
        for lines, qpus in (
            *((lines, 1) for lines in sorted((*inside, *just_past))),
            *((lines, shape.qpus) for lines in (12, 192)),
            (FROM_SDRAM_LINES, 1),
        )
    )


def _long_loop(lines: int, qpus: int) -> Benchmark:
    instructions = lines * LINE_INSTRUCTIONS
    program = counted_loop(lambda asm: wait(asm, instructions - LOOP_INSTRUCTIONS))
    rounds = (1, 2) if lines == FROM_SDRAM_LINES else (2, 6)
    name = f"icache.lines={lines:04}.qpus={qpus}"
    return Benchmark(name, "icache", (program,), qpus=qpus, rounds=rounds, units=instructions * qpus)
