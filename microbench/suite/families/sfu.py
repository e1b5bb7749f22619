"""Special functions unit: one for the QPUs of a slice (guide p.23)."""

from __future__ import annotations

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.isa import WRITE_ADDRESSES
from codegen.engines.videocore4.registers import R2, Register
from microbench.suite.benchmark import Benchmark
from microbench.suite.gpu import BoardShape
from microbench.suite.loops import counted_loop, wait

RECIPROCAL = Register(
    "recip",
    "sfu",
    write_address=WRITE_ADDRESSES["sfu_recip"],
    write_files="ab",
    ordered=True,
    peripheral=True,
)
# r4 is neither read nor written within two instructions of a request; a request is such a write.
SPACING = 3
REQUESTS = 20


def benchmarks(shape: BoardShape, queue_depth: int) -> tuple[Benchmark, ...]:
    """Requests as close as they may be, alone and by every QPU."""

    def requests(asm: Assembler) -> None:
        for _ in range(REQUESTS):
            asm.mov(RECIPROCAL, R2)
            wait(asm, SPACING - 1)

    programs = (counted_loop(requests),)
    return tuple(
        Benchmark(f"sfu.qpus={n}", "sfu", programs, qpus=n, units=REQUESTS * n) for n in (1, shape.qpus)
    )
