"""A microbenchmark as data: programs, the uniforms they read, and how often they go round."""

from __future__ import annotations

from dataclasses import dataclass

LINE_BYTES = 64
LINE_WORDS = 16


@dataclass(frozen=True)
class Address:
    """A uniform that holds a bus address in the data."""

    offset_bytes: int = 0
    per_qpu_bytes: int = 0


@dataclass(frozen=True)
class Rounds:
    """A uniform that holds how often the loop goes round."""


@dataclass(frozen=True)
class Numbered:
    """A uniform that differs from QPU to QPU: `first` for the first, `step` more for each further one."""

    first: int
    step: int


Uniform = int | Address | Rounds | Numbered


@dataclass(frozen=True)
class Benchmark:
    """One measurement: the time of a loop's round, from launches with `rounds` of few and of many.

    QPU i runs `programs[i]`, the last one if there are fewer. Its uniform stream is `uniforms`, `round_words` zeros a
    round, and `tail_words` zeros. The data region has `data_bytes` and `round_bytes` more for each round. `rounds`
    None: the measurement is the time of a whole launch of one round. `units` is how many of what its family counts
    (requests, words, rows, instructions) all QPUs together do in a round. `waits`: how often a QPU waits in a round for
    what need not take whole cycles.
    """

    name: str
    family: str
    programs: tuple[tuple[int, ...], ...]
    uniforms: tuple[Uniform, ...] = (Rounds(),)
    qpus: int = 1
    rounds: tuple[int, int] | None = (8, 24)
    units: float = 1.0
    waits: int = 1
    round_words: int = 0
    tail_words: int = 0
    data_bytes: int = LINE_BYTES
    round_bytes: int = 0

    def scaled(self, factor: int) -> tuple[int, int]:
        """Rounds of the short and of the long launch, on a clock that needs `factor` times as many."""
        if self.rounds is None:
            return 0, 1
        short, long = self.rounds
        return short, short + factor * (long - short)
