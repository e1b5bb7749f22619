"""One board of a farm, where it is: it takes whole candidates and answers with samples."""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from codegen.algorithm import algorithms
from codegen.canonical import canonical_json
from codegen.engine_registry import engines
from codegen.revision import algorithm_revision
from codegen.revive import revivable, revive_json
from codegen.schedule import Candidate
from codegen.tensor import AnyArray
from explorer.measure.clocked import reference_candidates
from explorer.measure.jobs import JobBuilder
from explorer.measure.taking import SampleTaker
from explorer.search.installed_code import installed_code
from microbench.board import Board, BundleRun, Fingerprint
from microbench.conditions import Conditions
from microbench.errors import BoardError
from microbench.protocol import moved, throttle_advice
from microbench.protocol.order import REFERENCE_EVERY
from microbench.store import Sample, to_row

MOST_RUNS = 4  # whose jobs and references are kept at once

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Order:
    """A candidate to be measured, as text; with equal `run` and `seed` a board is asked by one search."""

    candidate_json: str
    run: str
    seed: int
    repeats: int


@dataclass(frozen=True)
class Answer:
    """What a board says to an order: samples as rows of a store, references and the disturbed among them. `failure`:
    why there is none of the candidate, a fault of the board; empty where there is one.
    """

    board: str
    address: str
    rows: tuple[Row, ...]
    failure: str = ""


@dataclass(frozen=True)
class Introduction:
    """What all boards of a class say of themselves (`Board`); `code`: a digest of the installed code there."""

    fingerprint_json: str
    computes: bool
    reads_clock: bool
    description: str
    kinds: Mapping[str, str]
    code: str

    @property
    def fingerprint(self) -> Fingerprint:
        """Of the class. Raises CanonicalFormError where it is none."""
        return revive_json(Fingerprint, self.fingerprint_json, {"Fingerprint": Fingerprint})


class Bench:
    """A board with its name in the farm. One thing is done on it at a time."""

    def __init__(self, board: Board, name: str) -> None:
        """Asks the board what it is; raises BoardError. What every order needs of the installed code is read now."""
        read_code()
        self.name = name
        self.fingerprint = board.fingerprint()
        self._board = board
        self._lock = threading.Lock()
        self._runs: OrderedDict[tuple[str, int, int], _RunOnBoard] = OrderedDict()

    @property
    def resource(self) -> str:
        """What a task must ask for to come to a board of this class."""
        return resource_of(self._board.name, self.fingerprint)

    def introduce(self) -> Introduction:
        """Raises BoardError."""
        board = self._board
        return Introduction(
            canonical_json(self.fingerprint.of_class),
            board.computes,
            board.reads_clock,
            board.describe(),
            {name: board.kind_of(name) for name in engines()},
            installed_code(()),
        )

    def measure(self, order: Order, address: str = "") -> Answer:
        """What came of it; a fault of the board is part of the answer. `address`: where the board is asked."""
        taken: list[Sample] = []
        candidate = revive_json(Candidate, order.candidate_json, revivable())
        with self._lock:
            try:
                failure = self._run(order).take(candidate, taken.append)
            except BoardError as error:
                failure = str(error)
        return Answer(self.name, address, tuple(to_row(sample) for sample in taken), failure)

    def run_bundle(self, files: Mapping[str, bytes], inputs: tuple[AnyArray, ...]) -> BundleRun:
        """As `Board.run_bundle`, of a bundle's files by their places in it."""
        with tempfile.TemporaryDirectory() as scratch, self._lock:
            unpack(files, Path(scratch))
            return self._board.run_bundle(Path(scratch), inputs)

    def close(self) -> None:
        """Frees the board when nobody uses it."""
        with self._lock:
            self._board.close()

    def _run(self, order: Order) -> _RunOnBoard:
        key = (order.run, order.seed, order.repeats)
        if key not in self._runs:
            jobs = JobBuilder(self._board.target, order.seed, algorithms(), order.repeats)
            self._runs[key] = _RunOnBoard(self._board, jobs, self.fingerprint)
            while len(self._runs) > MOST_RUNS:
                self._runs.popitem(last=False)
        self._runs.move_to_end(key)
        return self._runs[key]


class _RunOnBoard:
    """What one search asks of one board: references are timed before the first candidate and every so many."""

    def __init__(self, board: Board, jobs: JobBuilder, fingerprint: Fingerprint) -> None:
        self._board = board
        self._taker = SampleTaker(jobs, fingerprint)
        self._references = list(reference_candidates(jobs)) if board.reads_clock else []
        self._since_reference = 0
        self._clocks: Conditions | None = None

    def take(self, candidate: Candidate, append: Callable[[Sample], None]) -> str:
        """Gives away every sample; returns what moved meanwhile, empty where the board kept still. Raises
        BoardError.
        """
        if self._since_reference == 0:
            for reference in tuple(self._references):
                self._time_reference(reference, append)
        sample = self._taker.take(self._board, candidate)
        self._since_reference = (self._since_reference + 1) % REFERENCE_EVERY
        disturbed = self._disturbed(sample)
        append(replace(sample, role="disturbed") if disturbed else sample)
        if disturbed:
            self._since_reference = 0
        return disturbed

    def _time_reference(self, reference: Candidate, append: Callable[[Sample], None]) -> None:
        sample = replace(self._taker.take(self._board, reference), role="reference")
        append(sample)
        if sample.status != "ok":  # a board without this kernel does without the reference
            self._references.remove(reference)

    def _disturbed(self, sample: Sample) -> str:
        if sample.kind == "host" or not sample.conditions:
            return ""
        last = sample.conditions[-1]
        changes = moved((self._clocks, last)) if self._clocks else ()
        self._clocks = self._clocks or last
        advice = throttle_advice(sample.conditions)
        return advice or (f"it does not come to rest: {', '.join(changes)}" if changes else "")


@cache
def read_code() -> None:
    """The algorithms, their revisions, and what orders are written in: a second, which no order then waits for."""
    revivable()
    for algorithm in algorithms().values():
        algorithm_revision(algorithm)


def resource_of(board: str, fingerprint: Fingerprint) -> str:
    """The name of a class of boards; what begins it is `resource_prefix`."""
    return f"{resource_prefix(board, fingerprint.profile_hash)}{fingerprint.class_hash[:16]}"


def resource_prefix(board: str, profile_hash: str) -> str:
    """Of the classes of such boards with the constants of this profile; an empty `board` is left out."""
    return f"{profile_hash[:16]} {board} " if board else f"{profile_hash[:16]} "


def packed(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, by its place there."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def unpack(files: Mapping[str, bytes], directory: Path) -> None:
    """Writes files to their places; raises BoardError for a place that is outside."""
    for name, content in files.items():
        path = (directory / name).resolve()
        if not path.is_relative_to(directory.resolve()):
            raise BoardError(f"a bundle's file {name!r} lies outside the bundle; make the run again")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
