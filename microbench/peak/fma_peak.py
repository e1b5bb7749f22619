"""The measured peak of multiply-accumulates of one core: the roof that layers are compared with."""

from __future__ import annotations

import struct
from pathlib import Path

from codegen.engines.cpu.machine import vector_lanes
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_executable
from codegen.target import Target
from microbench.boards.execution import Executor
from microbench.errors import BoardError

PIECE_S = 0.05  # one measurement; the clock and neighbours of a shared machine change from one to the next
CHAINS = 16  # latency of 4 to 8 cycles times two units; fits 32 registers, and 16 where there are no more
LIMIT_S = 30.0
RESULT = "peak.bin"
_SOURCE = Path(__file__).with_name("fma_peak.c")


def measure_fma_peak(executor: Executor, target: Target, seconds: float = PIECE_S) -> float:
    """Floating-point operations per second of one core in the best of many pieces, a multiply-accumulate being two.

    `executor` runs programs on the board of `target`. Raises ToolchainError where it cannot be compiled, BoardError
    where it fails.
    """
    width = 4 * max(vector_lanes(target), 4)
    flags = (*KERNEL_FLAGS, f"-DPEAK_BYTES={width}", f"-DPEAK_CHAINS={CHAINS}")
    executable = compile_executable({"fma_peak.c": _SOURCE.read_text(encoding="utf-8")}, target, flags)
    finished = executor.execute(executable, (RESULT, str(seconds)), {}, (RESULT,), LIMIT_S)
    if not finished.ended.is_good:
        raise BoardError(f"the peak benchmark {finished.ended.complaint}; run it again on an idle machine")
    try:
        operations, best_s = struct.unpack("<dd", finished.outputs.get(RESULT, b""))
    except struct.error as error:
        raise BoardError(f"the peak benchmark wrote no result: {error}") from error
    return float(operations / best_s)
