"""Rounds in which every worker has one turn, in a new random order each; only the one whose turn it is computes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from codegen.tensor import FloatArray
from microbench.errors import PeerError
from microbench.peers.network import worst_error
from microbench.peers.ratios import TimesArray
from microbench.peers.worker import Contender, Worker


@dataclass(frozen=True)
class RoundSettings:
    """`runs` timed inferences a turn after `warmup` untimed ones.

    `settle_s` lies between turns: time for the threads of the one before to fall asleep.
    """

    rounds: int = 15
    runs: int = 10
    warmup: int = 3
    settle_s: float = 0.03
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Entry:
    """What came of one contender: times in nanoseconds [rounds, runs] and its error, or the reason why not.

    `idle_share` is how much of a CPU it used while others had their turns.
    """

    name: str
    title: str
    version: str
    times_ns: TimesArray | None = None
    error: float = float("inf")
    idle_share: float = 0.0
    reason: str = ""


@dataclass
class _Record:
    """A worker in the rounds."""

    worker: Worker
    error: float
    times_ns: list[list[int]] = field(default_factory=list)
    idle_s: float = 0.0
    watched_s: float = 0.0
    reason: str = ""

    def entry(self) -> Entry:
        who = self.worker.contender
        if self.reason:
            return Entry(who.name, who.title, who.version, error=self.error, reason=self.reason)
        times_ns = np.asarray(self.times_ns, dtype=np.float64)
        share = self.idle_s / self.watched_s if self.watched_s else 0.0
        return Entry(who.name, who.title, who.version, times_ns, self.error, share)


def run_rounds(
    contenders: Sequence[Contender],
    inputs: Path,
    expected: Mapping[str, Sequence[FloatArray]],
    threads: int,
    cpus: Sequence[int],
    settings: RoundSettings,
    done: Callable[[], None],
) -> tuple[Entry, ...]:
    """Entries in the order of the contenders; `done` is called after each round.

    `inputs` is a file of `save_inputs`, `expected` the outputs of each contender that errors are told from. One that
    does not load, dies or answers nonsense becomes an entry with the reason, and the others go on.
    """
    entries: dict[str, Entry] = {}
    with ExitStack() as stack:
        records: list[_Record] = []
        for who in contenders:
            try:
                worker = stack.enter_context(Worker(who, inputs, threads, cpus))
                worker.run(1)
                records.append(_Record(worker, worst_error(worker.outputs(), expected[who.name])))
            except PeerError as error:
                entries[who.name] = Entry(who.name, who.title, who.version, reason=str(error))
        order = random.Random(settings.seed)
        for _ in range(settings.rounds):
            alive = [record for record in records if not record.reason]
            for record in order.sample(alive, len(alive)):
                _turn(record, [other for other in alive if other is not record], settings)
            done()
        for record in records:
            _check_last(record, expected[record.worker.contender.name])
        entries |= {record.worker.contender.name: record.entry() for record in records}
    return tuple(entries[who.name] for who in contenders)


def _turn(record: _Record, others: Sequence[_Record], settings: RoundSettings) -> None:
    time.sleep(settings.settle_s)
    start_s, before_s = time.monotonic(), _cpu_s(others)
    try:
        if settings.warmup:
            record.worker.run(settings.warmup)
        record.times_ns.append(record.worker.run(settings.runs))
    except PeerError as error:
        record.reason = str(error)
    after_s, lasted_s = _cpu_s(others), time.monotonic() - start_s
    for other in others:
        other.idle_s += max(0.0, after_s[id(other)] - before_s[id(other)])
        other.watched_s += lasted_s


def _check_last(record: _Record, expected: Sequence[FloatArray]) -> None:
    """The outputs after all rounds: one that has become wrong meanwhile counts."""
    if record.reason:
        return
    try:
        record.error = max(record.error, worst_error(record.worker.outputs(), expected))
    except PeerError as error:
        record.reason = str(error)


def _cpu_s(records: Iterable[_Record]) -> Mapping[int, float]:
    return {id(record): record.worker.cpu_s() for record in records}
