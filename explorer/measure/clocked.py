"""A batch on a board whose clock runs: shuffled, references between, every sample stored before the next starts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import median

from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.schedule import Candidate
from codegen.tensor import TensorType
from explorer.measure.jobs import JobBuilder
from explorer.measure.preparation import CHUNK
from microbench.board import BundleRun
from microbench.conditions import Conditions
from microbench.errors import BoardError
from microbench.protocol import ReferenceTimes, moved, noise_floor, throttle_advice, turns
from microbench.store import Sample

ATTEMPTS = 3  # at a batch while the board's clock or temperature moves
# One computes, on one core: its time follows the clock. The other moves data, on all cores: its time follows what
# other programs do to memory and to the cores.
COMPUTING, MOVING = "cpu_pointwise_gemm", "cpu_blocked_depthwise"
COMPUTING_CHANNELS, COMPUTING_SIDE = 64, 28
MOVING_CHANNELS, MOVING_SIDE = 64, 56

Measure = Callable[[Candidate], Sample]
Append = Callable[[Sample], int]
Prepare = Callable[[Sequence[Candidate]], None]


class ClockedBatches:
    """The measurement protocol of one board and store.

    Clocks are compared with those of all samples that the store has of the board, temperatures within a batch. Times
    of a machine that is also used for other things (kind `host`) are recorded with its readings, but those are not
    judged: its clock moves by design, and the noise floor shows what that does.
    """

    def __init__(
        self,
        measure: Measure,
        append: Append,
        known: Iterable[Sample],
        references: Sequence[Candidate],
        seed: int,
        prepare: Prepare = lambda _: None,
    ) -> None:
        """`known`: the samples of this board in the store, of every role.

        `prepare` is called with the candidates that come next, before any of them is measured.
        """
        self._measure = measure
        self._append = append
        self._prepare = prepare
        self._references = list(references)
        self._seed = seed
        self._clocks: Conditions | None = None  # what the samples so far were timed at
        self._start: Conditions | None = None  # of the batch
        self._reference_s: dict[str, list[float]] = {}  # by hash
        self._reference_kind = ""
        for sample in known:
            self._take(sample)

    def measured(self, candidates: Sequence[Candidate]) -> Iterator[Sample]:
        """A stored sample of each, in the order they were taken.

        Where clock or temperature moved, the sample that shows it is stored as disturbed and the whole batch is
        measured again: the newest sample of a candidate is the one that counts. Raises BoardError with advice where
        the board throttles or does not come to rest, and what measuring raises.
        """
        changes: tuple[str, ...] = ()
        for _ in range(ATTEMPTS):
            changes = yield from self._pass(candidates)
            if not changes:
                return
        raise BoardError(
            f"the board does not come to rest, {', '.join(changes)} compared with the samples before: set the governor "
            "to performance, cool the board, or name another store with --store where its clock was changed on "
            "purpose; then run again, no sample is lost"
        )

    def noise_floor(self) -> float | None:
        """The spread of a reference's medians, as a fraction, the widest of them; None where each was timed less than
        three times.
        """
        floors = [noise_floor(times_s) for times_s in self._reference_s.values()]
        return max((floor for floor in floors if floor is not None), default=None)

    @property
    def clocks(self) -> Conditions | None:
        """What the samples were timed at; None where the board tells no clock, or it does not matter."""
        return self._clocks and replace(self._clocks, temperature_c=None)

    def reference(self) -> ReferenceTimes | None:
        """What the noise floor is taken from; None where no reference was ever timed."""
        if not self._reference_s:
            return None
        widest_s = max(self._reference_s.values(), key=lambda times_s: noise_floor(times_s) or 0.0)
        return ReferenceTimes(len(widest_s), median(widest_s), self._reference_kind)

    def _time_reference(self, reference: Candidate) -> None:
        sample = self._stored(replace(self._measure(reference), role="reference"))
        self._take(sample)
        self._refuse_throttling(sample)
        if sample.status != "ok":  # a board without this kernel does without the reference
            self._references.remove(reference)

    def _pass(self, candidates: Sequence[Candidate]) -> Generator[Sample, None, tuple[str, ...]]:
        """Once through the batch, as far as the board keeps still; returns what moved."""
        self._start = None
        order = list(turns(candidates, [candidate.hash for candidate in candidates], self._seed))
        for index, turn in enumerate(order):
            if index % CHUNK == 0:
                self._prepare([due.item for due in order[index : index + CHUNK] if due.item is not None])
            if turn.item is None:
                for reference in tuple(self._references):
                    self._time_reference(reference)
                continue
            sample = self._measure(turn.item)
            changes = self._changes(sample)
            if changes or throttle_advice(sample.conditions):
                self._refuse_throttling(self._stored(replace(sample, role="disturbed")))
                return changes
            self._take(sample)
            yield self._stored(sample)
        return ()

    def _changes(self, sample: Sample) -> tuple[str, ...]:
        if sample.kind == "host" or not sample.conditions:
            return ()
        before = [reading for reading in (self.clocks, self._start) if reading is not None]
        return moved((*before, sample.conditions[-1]))

    def _take(self, sample: Sample) -> None:
        """Takes note of a sample; only candidates say what the board's clocks are.

        The last reading counts, right after the work: a governor lets the clock of an idle board sink.
        """
        if sample.role == "reference" and sample.status == "ok":
            self._reference_s.setdefault(sample.candidate_hash, []).append(sample.time_s)
            self._reference_kind = sample.kind
        if sample.role == "candidate" and sample.kind != "host" and sample.conditions:
            self._clocks = self._clocks or sample.conditions[-1]
            self._start = self._start or sample.conditions[-1]

    def _stored(self, sample: Sample) -> Sample:
        return replace(sample, id=self._append(sample))

    def _refuse_throttling(self, sample: Sample) -> None:
        advice = throttle_advice(sample.conditions)
        if advice:
            raise BoardError(advice)


def rested(run: Callable[[], BundleRun], clocks: Conditions | None) -> BundleRun:
    """A run of the whole network at the clock of its layers, tried a few times; raises as `require_rest`."""
    for _ in range(ATTEMPTS - 1):
        found = run()
        if not _moved_since(found, clocks):
            return found
    found = run()
    require_rest(found, clocks)
    return found


def require_rest(run: BundleRun, clocks: Conditions | None) -> None:
    """Raises BoardError where the whole network was timed at another clock than its layers, or throttled."""
    changes = _moved_since(run, clocks)
    if changes:
        raise BoardError(
            f"the board did not rest while the whole network was timed, {', '.join(changes)} compared with its layers: "
            "set the governor to performance, or cool the board; then run again, no sample is lost"
        )


def _moved_since(run: BundleRun, clocks: Conditions | None) -> tuple[str, ...]:
    if clocks is None or not run.conditions:
        return ()
    advice = throttle_advice(run.conditions)
    if advice:
        raise BoardError(advice)
    return moved((clocks, run.conditions[-1]))


def reference_candidates(jobs: JobBuilder) -> tuple[Candidate, ...]:
    """Small convolutions, the same on every board of a kind; those that something computes here."""
    one = _one(jobs, COMPUTING, _convolution(COMPUTING_CHANNELS, COMPUTING_SIDE, 1, 1), 1)
    every = _one(
        jobs, MOVING, _convolution(MOVING_CHANNELS, MOVING_SIDE, 3, MOVING_CHANNELS), jobs.target.cores
    )
    return tuple(candidate for candidate in (one, every) if candidate is not None)


def _convolution(channels: int, side: int, kernel: int, groups: int) -> LayerSpec:
    tensor = TensorType((1, channels, side, side))
    weights = (TensorType((channels, channels // groups, kernel, kernel)), TensorType((channels,)))
    pad = kernel // 2
    op = Conv2d((kernel, kernel), pads=(pad, pad, pad, pad), groups=groups)
    return LayerSpec(op, (tensor,), (tensor,), weights)


def _one(jobs: JobBuilder, name: str, spec: LayerSpec, threads: int) -> Candidate | None:
    """The first candidate with so many threads, else with the most below that."""
    algorithm = jobs.algorithms.get(name)
    if algorithm is None or not algorithm.applies(spec, jobs.target):
        return None
    best: Candidate | None = None
    for point in algorithm.space(spec, jobs.target).points():
        try:
            candidate = Candidate(spec, algorithm.choice(spec, jobs.target, point))
        except ScheduleError:
            continue
        if candidate.choice.threads <= threads and (
            best is None or candidate.choice.threads > best.choice.threads
        ):
            best = candidate
    return best
