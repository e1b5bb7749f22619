"""A batch on a board whose clock runs: shuffled, a reference between, every sample stored before the next starts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import median

from codegen.errors import ScheduleError
from codegen.graph import Conv2d, LayerSpec, TensorType
from codegen.schedule import Candidate
from explorer.jobs import JobBuilder
from explorer.preparation import CHUNK
from microbench.board import BundleRun
from microbench.conditions import Conditions
from microbench.errors import BoardError
from microbench.protocol import ReferenceTimes, moved, noise_floor, throttle_advice, turns
from microbench.store import Sample

ATTEMPTS = 3  # at a batch while the board's clock or temperature moves
REFERENCE_ALGORITHM = (
    "cpu_pointwise_gemm"  # computes rather than waits for memory: its time follows the clock
)

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
        reference: Candidate | None,
        seed: int,
        prepare: Prepare = lambda _: None,
    ) -> None:
        """`known`: the samples of this board in the store, of every role. `reference` None: no such kernel here.

        `prepare` is called with the candidates that come next, before any of them is measured.
        """
        self._measure = measure
        self._append = append
        self._prepare = prepare
        self._reference = reference
        self._seed = seed
        self._clocks: Conditions | None = None  # what the samples so far were timed at
        self._start: Conditions | None = None  # of the batch
        self._reference_s: list[float] = []
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
        """The spread of the reference's medians, as a fraction; None where it was timed less than three times."""
        return noise_floor(self._reference_s)

    @property
    def clocks(self) -> Conditions | None:
        """What the samples were timed at; None where the board tells no clock, or it does not matter."""
        return self._clocks and replace(self._clocks, temperature_c=None)

    def reference(self) -> ReferenceTimes | None:
        """What the noise floor is taken from; None where the reference was never timed."""
        if not self._reference_s:
            return None
        return ReferenceTimes(len(self._reference_s), median(self._reference_s), self._reference_kind)

    def _time_reference(self) -> None:
        if self._reference is None:
            return
        sample = self._stored(replace(self._measure(self._reference), role="reference"))
        self._take(sample)
        self._refuse_throttling(sample)
        if sample.status != "ok":  # a board without this kernel does without the reference
            self._reference = None

    def _pass(self, candidates: Sequence[Candidate]) -> Generator[Sample, None, tuple[str, ...]]:
        """Once through the batch, as far as the board keeps still; returns what moved."""
        self._start = None
        order = list(turns(candidates, [candidate.hash for candidate in candidates], self._seed))
        for index, turn in enumerate(order):
            if index % CHUNK == 0:
                self._prepare([due.item for due in order[index : index + CHUNK] if due.item is not None])
            if turn.item is None:
                self._time_reference()
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
            self._reference_s.append(sample.time_s)
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


def reference_candidate(jobs: JobBuilder) -> Candidate | None:
    """A small pointwise convolution on one core, the same on every board; None where nothing computes it."""
    algorithm = jobs.algorithms.get(REFERENCE_ALGORITHM)
    tensor = TensorType((1, 64, 28, 28))
    spec = LayerSpec(Conv2d((1, 1)), (tensor,), tensor, (TensorType((64, 64, 1, 1)), TensorType((64,))))
    if algorithm is None or not algorithm.applies(spec, jobs.target):
        return None
    for point in algorithm.space(spec, jobs.target).points():
        try:
            return Candidate(spec, algorithm.choice(spec, jobs.target, point))
        except ScheduleError:
            continue
    return None
