"""The suite on a CPU, by whatever runs programs on it, kept in a file as it comes."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from codegen.bundle.pool import pool_files, pool_flags
from codegen.canonical import content_hash
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_executable
from codegen.errors import ToolchainError
from codegen.target import Target
from microbench.boards.execution import Executor
from microbench.calibration.measurements import MeasurementsFile, nothing_lost
from microbench.cpu_suite.suite import CpuBenchmark, cpu_suite
from microbench.errors import BoardError, CalibrationInterruptedError
from microbench.peak.fma_peak import measure_fma_peak

SECONDS = 0.15  # each repeats its piece so long
LIMIT_S = 60.0
MOST_S = 3600.0
PEAK = "peak"  # the measurement of `microbench.peak`
_RESULT = "result.bin"
_SOURCE = Path(__file__).with_name("cpu_suite.c")

Told = Callable[[int, int, str], None]


@dataclass(frozen=True)
class CpuCircumstances:
    """What measurements of one file have in common: the machine's own words, and what programs are compiled with."""

    board: str
    compiler: str
    cores: int


def measure_cpu(
    executor: Executor,
    target: Target,
    kept: MeasurementsFile[CpuCircumstances],
    most_s: float = MOST_S,
    told: Told = lambda done, of, name: None,
) -> Mapping[str, float]:
    """Seconds of what each benchmark counts, by its name, and of a multiply-accumulate under PEAK.

    `executor` runs programs on the machine of `target`. Raises CalibrationInterruptedError where it was lost or time is
    up: what was measured is kept; BoardError where a benchmark cannot be compiled.
    """
    until_s = time.monotonic() + most_s
    benchmarks = cpu_suite(kept.circumstances.cores)
    found: dict[str, float] = {}
    with nothing_lost(kept):
        for done, benchmark in enumerate(benchmarks):
            told(done, len(benchmarks) + 1, benchmark.name)
            if time.monotonic() > until_s:
                raise CalibrationInterruptedError(
                    f"{done} of {len(benchmarks)} benchmarks took {most_s:g} s, they are kept in {kept.path}: the same "
                    "command goes on from there"
                )
            found[benchmark.name] = _kept_s(
                kept, benchmark.name, _content(benchmark), partial(_seconds, benchmark, executor, target)
            )
        told(len(benchmarks), len(benchmarks) + 1, PEAK)
        found[PEAK] = _kept_s(kept, PEAK, "", lambda: 2.0 / measure_fma_peak(executor, target))
    return found


def _kept_s(
    kept: MeasurementsFile[CpuCircumstances], name: str, content: str, measure: Callable[[], float]
) -> float:
    known = kept.known(name, content)
    if known is None:
        kept.add(name, content, seconds=measure())
        known = kept.known(name, content) or {}
    return float(known["seconds"])


def _content(benchmark: CpuBenchmark) -> str:
    """What tells a benchmark from others of its name: the program too."""
    return content_hash([asdict(benchmark), _SOURCE.read_text(encoding="utf-8")])[:16]


def _seconds(benchmark: CpuBenchmark, executor: Executor, target: Target) -> float:
    """Of each of what the benchmark counts."""
    files = pool_files(2)
    sources = {"cpu_suite.c": _SOURCE.read_text(encoding="utf-8"), **files}
    try:
        executable = compile_executable(sources, target, (*KERNEL_FLAGS, *pool_flags(files)))
    except ToolchainError as error:
        raise BoardError(f"the suite of the CPU cannot be compiled: {error}") from error
    numbers = (str(benchmark.size_bytes), str(benchmark.stride), f"{SECONDS:g}")
    finished = executor.execute(executable, (_RESULT, benchmark.kernel, *numbers), {}, (_RESULT,), LIMIT_S)
    if not finished.ended.is_good:
        raise BoardError(f"benchmark {benchmark.name}: the program {finished.ended.complaint}")
    try:
        units, seconds = struct.unpack("<dd", finished.outputs.get(_RESULT, b""))
    except struct.error as error:
        raise BoardError(f"benchmark {benchmark.name}: the program wrote no result") from error
    return float(seconds / units)
