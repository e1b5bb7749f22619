"""A microbenchmark as a program that can be loaded anywhere: code, control list, uniforms, and data behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codegen.program import WORD_BYTES, GpuProgram, Launch
from microbench.suite.benchmark import LINE_BYTES, Address, Benchmark, Numbered, Rounds

Words = NDArray[np.uint32]

_PAGE = 4096
_CONTROL_BYTES = _PAGE


@dataclass(frozen=True)
class _Layout:
    """Byte offsets: control list at 0, code, each QPU's uniforms, and the data.

    Programs and data begin at pages and streams at lines, as addresses matter.
    """

    code: tuple[int, ...]
    uniforms: int
    stream_bytes: int
    loaded_bytes: int
    data: int
    size_bytes: int

    @staticmethod
    def of(benchmark: Benchmark, most_rounds: int) -> _Layout:
        """Room for the launch of `most_rounds`."""
        code, end = [], _CONTROL_BYTES
        for program in benchmark.programs:
            code.append(end)
            end += _rounded(8 * len(program), _PAGE)
        words = len(benchmark.uniforms) + benchmark.round_words * most_rounds + benchmark.tail_words
        stream = _rounded(WORD_BYTES * words, LINE_BYTES) + LINE_BYTES
        loaded = end + stream * benchmark.qpus
        data = _rounded(loaded, _PAGE)
        data_bytes = _rounded(benchmark.data_bytes + benchmark.round_bytes * most_rounds, LINE_BYTES)
        return _Layout(tuple(code), end, stream, loaded, data, data + data_bytes)


def _rounded(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def size_bytes(benchmark: Benchmark, most_rounds: int) -> int:
    """The memory that launches of up to so many rounds want."""
    return _Layout.of(benchmark, most_rounds).size_bytes


class Image:
    """A benchmark loaded for launches of up to `most_rounds`."""

    def __init__(self, benchmark: Benchmark, most_rounds: int) -> None:
        self._layout = _Layout.of(benchmark, most_rounds)
        self._words: Words = np.zeros(self._layout.loaded_bytes // WORD_BYTES, np.uint32)
        self._counts: list[int] = []
        self._launch = Launch(0, benchmark.qpus)
        addresses: list[int] = []
        for offset, program in zip(self._layout.code, benchmark.programs, strict=True):
            encoded = np.array(program, np.uint64).view(np.uint32)
            self._words[offset // WORD_BYTES : offset // WORD_BYTES + len(encoded)] = encoded
        for qpu in range(benchmark.qpus):
            self._take_qpu(benchmark, qpu, addresses)
        self._relocations: Words = np.array(addresses, np.uint32)

    def _take_qpu(self, benchmark: Benchmark, qpu: int, addresses: list[int]) -> None:
        """Its pair of the control list and its stream; words that hold addresses are added to `addresses`."""
        stream = self._layout.uniforms + qpu * self._layout.stream_bytes
        code = self._layout.code[min(qpu, len(self._layout.code) - 1)]
        self._words[2 * qpu : 2 * qpu + 2] = stream, code
        addresses += (2 * qpu, 2 * qpu + 1)
        for place, uniform in enumerate(benchmark.uniforms, stream // WORD_BYTES):
            if isinstance(uniform, Address):
                self._words[place] = self._layout.data + uniform.offset_bytes + qpu * uniform.per_qpu_bytes
                addresses.append(place)
            elif isinstance(uniform, Numbered):
                self._words[place] = uniform.first + qpu * uniform.step
            elif isinstance(uniform, Rounds):
                self._counts.append(place)
            else:
                self._words[place] = uniform

    def program(self, rounds: int) -> GpuProgram:
        """One launch of so many rounds."""
        words = self._words.copy()
        words[self._counts] = rounds
        return GpuProgram(
            words, self._layout.size_bytes, self._relocations, (self._launch,), (), (), words.nbytes
        )
