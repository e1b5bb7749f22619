"""Runs microbenchmarks on a GPU and turns launch times into seconds a round."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codegen.program import WORD_BYTES
from microbench.errors import HazardError
from microbench.suite.benchmark import LINE_BYTES, Address, Benchmark, Numbered, Rounds
from microbench.suite.families.tmu import MOST_IN_FLIGHT, in_flight
from microbench.suite.gpu import Gpu, Memory

Words = NDArray[np.uint32]
Measurements = Mapping[str, float]  # benchmark's name -> seconds a round, or of the launch

_PAGE = 4096
_CONTROL_BYTES = _PAGE


@dataclass(frozen=True)
class Effort:
    """How hard to measure. A clock with noise wants more rounds and the median of several launches."""

    rounds_factor: int = 1
    repeats: int = 1


ONCE = Effort()


def measure(gpu: Gpu, benchmarks: Iterable[Benchmark], effort: Effort = ONCE) -> dict[str, float]:
    """Seconds a round of each benchmark. Raises HazardError when a launch fails, CandidateError without memory."""
    chosen = tuple(benchmarks)
    layouts = [_Layout.of(b, max(b.scaled(effort.rounds_factor))) for b in chosen]
    programs = gpu.alloc(max(layout.size_bytes for layout in layouts))
    data = gpu.alloc(max(layout.data_bytes for layout in layouts))
    data.view[:] = 0
    return {
        b.name: _seconds(gpu, b, layout, programs, data, effort)
        for b, layout in zip(chosen, layouts, strict=True)
    }


def queue_depth(gpu: Gpu) -> int:
    """The most TMU requests of a QPU in flight on one TMU that a launch comes back from."""
    depth = 0
    for requests in range(1, MOST_IN_FLIGHT + 1):
        try:
            measure(gpu, (in_flight(requests),))
        except HazardError:
            break
        depth = requests
    return depth


@dataclass(frozen=True)
class _Layout:
    """Byte offsets in the allocation of programs: control list, code, and each QPU's uniforms."""

    code: tuple[int, ...]
    uniforms: int
    stream_bytes: int
    size_bytes: int
    data_bytes: int

    @staticmethod
    def of(benchmark: Benchmark, most_rounds: int) -> _Layout:
        """Room for the launch of `most_rounds`; programs and streams begin at pages and lines, as addresses matter."""
        code, end = [], _CONTROL_BYTES
        for program in benchmark.programs:
            code.append(end)
            end += _rounded(8 * len(program), _PAGE)
        words = len(benchmark.uniforms) + benchmark.round_words * most_rounds + benchmark.tail_words
        stream = _rounded(WORD_BYTES * words, LINE_BYTES) + LINE_BYTES
        data = benchmark.data_bytes + benchmark.round_bytes * most_rounds
        return _Layout(tuple(code), end, stream, end + stream * benchmark.qpus, _rounded(data, LINE_BYTES))


def _rounded(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def _seconds(
    gpu: Gpu, benchmark: Benchmark, layout: _Layout, programs: Memory, data: Memory, effort: Effort
) -> float:
    _load(benchmark, layout, programs, data)
    short, long = benchmark.scaled(effort.rounds_factor)
    times = [
        _launch(gpu, benchmark, layout, programs, long)
        - (0.0 if benchmark.rounds is None else _launch(gpu, benchmark, layout, programs, short))
        for _ in range(effort.repeats)
    ]
    return statistics.median(times) / (long - short)


def _load(benchmark: Benchmark, layout: _Layout, programs: Memory, data: Memory) -> None:
    """Code, control list and uniforms; the counts of rounds are still to come."""
    words: Words = programs.view[: layout.size_bytes].view(np.uint32)
    words[layout.uniforms // WORD_BYTES :] = 0
    for offset, program in zip(layout.code, benchmark.programs, strict=True):
        encoded = np.array(program, np.uint64).view(np.uint32)
        words[offset // WORD_BYTES : offset // WORD_BYTES + len(encoded)] = encoded
    for qpu in range(benchmark.qpus):
        stream = layout.uniforms + qpu * layout.stream_bytes
        code = layout.code[min(qpu, len(layout.code) - 1)]
        words[2 * qpu : 2 * qpu + 2] = programs.bus + stream, programs.bus + code
        for i, uniform in enumerate(benchmark.uniforms):
            if isinstance(uniform, Address):
                words[stream // WORD_BYTES + i] = (
                    data.bus + uniform.offset_bytes + qpu * uniform.per_qpu_bytes
                )
            elif isinstance(uniform, Numbered):
                words[stream // WORD_BYTES + i] = uniform.first + qpu * uniform.step
            elif not isinstance(uniform, Rounds):
                words[stream // WORD_BYTES + i] = uniform


def _launch(gpu: Gpu, benchmark: Benchmark, layout: _Layout, programs: Memory, rounds: int) -> float:
    words: Words = programs.view[: layout.size_bytes].view(np.uint32)
    counts = [i for i, uniform in enumerate(benchmark.uniforms) if isinstance(uniform, Rounds)]
    for qpu in range(benchmark.qpus):
        for i in counts:
            words[(layout.uniforms + qpu * layout.stream_bytes) // WORD_BYTES + i] = rounds
    return gpu.execute(benchmark.qpus, programs.bus).time_s
