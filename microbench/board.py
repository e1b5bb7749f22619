"""The second axis of extension: a board runs programs and says what its numbers are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Literal, Protocol, Self

from codegen.canonical import content_hash
from codegen.program import Program
from codegen.schedule import Candidate, Work
from codegen.target import Target
from codegen.tensor import AnyArray, FloatArray
from microbench.conditions import Conditions
from microbench.profile import DeviceProfile
from microbench.series import Series, check_names

Kind = Literal["silicon", "host", "simulated", "modelled"]


@dataclass(frozen=True)
class Fingerprint:
    """What makes two boards' times comparable; equal fingerprints share samples.

    All but `serial_hash` is the board's class; that tells its instances apart, whose times reference kernels make
    comparable.
    """

    board: str  # model, e.g. "virtual pi-zero"
    profile_hash: str
    clock_hz: float
    software: str  # kernel or simulator version, compiler
    cpu_clock_hz: float = 0.0  # the highest there is; 0 where unknown, as every field below is empty
    serial_hash: str = ""  # tells two boards of one model apart without naming either
    kernel: str = ""
    runner: str = ""  # version of the program that measures on the board

    @property
    def hash(self) -> str:
        return content_hash(self)

    @property
    def of_class(self) -> Fingerprint:
        """That of no instance: what all boards of the class have in common."""
        return replace(self, serial_hash="")

    @property
    def class_hash(self) -> str:
        return self.of_class.hash


def clocked_on(fingerprint: Fingerprint) -> str:
    """How a board whose clock is read describes itself: its model and its software."""
    return f"{fingerprint.board} ({fingerprint.software})"


@dataclass(frozen=True, eq=False)
class Job:
    """One candidate ready to run: its program, flat input images and the work it amounts to.

    `revision`: of the algorithm that made the program (`codegen.revision`).
    """

    candidate: Candidate
    program: Program
    inputs: tuple[AnyArray, ...]
    work: Work
    repeats: int = 1
    revision: str = ""


@dataclass(frozen=True, eq=False)
class Measurement:
    """Every repeat's time, the flat images of the outputs one behind the other (None where the board computes
    none) and what the time is.

    `conditions` are readings of the board, the first before and the last after it measured; empty where it has none.
    `series` are quantities read while it measured, each with its unit; raises SeriesError where two have one name.
    """

    times_s: tuple[float, ...]
    kind: Kind
    output: FloatArray | None = None
    counters: Mapping[str, float] = field(default_factory=dict)
    conditions: tuple[Conditions, ...] = ()
    series: tuple[Series, ...] = ()

    def __post_init__(self) -> None:
        check_names(self.series)


@dataclass(frozen=True, eq=False)
class BundleRun:
    """A bundle's outputs (flat, NCHW, of the network's element types) with its times, and the time of each part where
    the board can tell.

    `times_s` are the seconds of every timed run. `cpu_time_s` is how long all cores together were busy for one run,
    in seconds: measured where there is a clock, otherwise modelled from the steps, their threads and the launches.
    What is measured is the mean of the runs: a system learns of its other cores' time in ticks, too late for a run and
    too much for the next. `conditions` and `series` are as a measurement's.
    """

    outputs: tuple[AnyArray, ...]
    times_s: tuple[float, ...]
    cpu_time_s: float
    kind: Kind
    step_times_s: Mapping[str, float]
    step_kinds: Mapping[str, Kind]
    counters: Mapping[str, float] = field(default_factory=dict)
    conditions: tuple[Conditions, ...] = ()
    series: tuple[Series, ...] = ()

    @property
    def time_s(self) -> float:
        """The median of the runs, in seconds."""
        return median(self.times_s)


class Board(Protocol):
    """Measures candidates and runs bundles. A context manager: leaving it frees the board.

    What may be asked of it and what its numbers are worth, it says itself; nobody looks at its name for that:

    `computes`: it runs bundles and gives their outputs, so that plans can be checked and rehearsed on it.
    `reads_clock`: its times come from a running clock, so that whatever else the machine does disturbs them. Without
    one a time is the same every time: one repeat says all, and several such boards may measure at once.
    `records`: it measures what was never measured, and each of its measurements is a new sample, worth storing.
    """

    name: str
    computes: bool
    reads_clock: bool
    records: bool
    profile: DeviceProfile
    target: Target

    def fingerprint(self) -> Fingerprint:
        """Raises BoardError when the board does not answer."""
        ...

    def describe(self) -> str:
        """For people: whose clock its numbers come from, or what they are instead; "no silicon" where none is timed.

        Raises as `fingerprint`.
        """
        ...

    def kind_of(self, engine: str) -> Kind:
        """What its times of programs for that engine are, also of those that fail and have none."""
        ...

    def measure(self, job: Job) -> Measurement:
        """Raises CandidateError for a fault of the candidate, BoardError for one of the board."""
        ...

    def run_bundle(self, bundle: Path, inputs: tuple[AnyArray, ...]) -> BundleRun:
        """Builds a bundle directory for this board, runs it on NCHW inputs of the network's element types and returns
        what came out.

        Where a clock is read it is run several times, after a warm-up that is not timed.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
