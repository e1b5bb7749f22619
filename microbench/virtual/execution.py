"""What one launch of the virtual GPU took, and what it leaves behind for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from microbench.virtual.trace import Trace


@dataclass(frozen=True)
class StaleRead:
    """A read that got a cached value older than a DMA store.

    `bus` of the word read; `instruction` counts from the QPU's first.
    """

    bus: int
    qpu: int
    instruction: int


class StaleReads(int):
    """How many reads of a launch were stale; iterating, indexing and `len` give the first of them (at most 64)."""

    listed: tuple[StaleRead, ...]

    def __new__(cls, count: int, listed: tuple[StaleRead, ...] = ()) -> Self:
        reads = super().__new__(cls, count)
        reads.listed = listed
        return reads

    def __iter__(self) -> Iterator[StaleRead]:
        return iter(self.listed)

    def __len__(self) -> int:
        return len(self.listed)

    def __getitem__(self, index: int) -> StaleRead:
        return self.listed[index]


@dataclass(frozen=True)
class Warned:
    """Something that silicon does without harm although the guide advises against it, and its first instruction.

    `rule` names it (docs/hardware.md); `instruction` counts from the first of `qpu`.
    """

    rule: str
    count: int
    bus: int
    qpu: int
    instruction: int


@dataclass(frozen=True)
class InstructionProfile:
    """One instruction address over all QPUs: its bus address, executions, and cycles waited by cause."""

    bus: int
    executions: int
    stall_cycles: Mapping[str, int]


@dataclass(frozen=True)
class Execution:
    """What one launch took, in simulated time. `time_s` includes `overhead_s`, the cost of the launch call itself.

    `mark_times_s`: seconds from the launch's start (without overhead) to the n-th passing of the mark by the last QPU.
    `profile` (by address), `marks` (the counters when all QPUs had passed each mark; what they wait for there counts
    for the next) and `trace` are there when they were asked for.
    """

    cycles: int
    time_s: float
    overhead_s: float
    counters: Mapping[str, float]
    stale_reads: StaleReads
    mark_times_s: tuple[float, ...] = ()
    first_stale: StaleRead | None = field(default=None)
    profile: tuple[InstructionProfile, ...] = ()
    marks: tuple[Mapping[str, float], ...] = ()
    trace: Trace | None = None
    warnings: tuple[Warned, ...] = ()
