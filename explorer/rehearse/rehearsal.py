"""Rehearsals: whole plans run on the board, and what their steps take in the network decides.

A layer that is measured alone finds its input where it left it, on the core that reads it, and the caches to itself.
In a network it finds what its neighbours left. How much that matters differs from candidate to candidate, so that the
best of those measured alone are tried where they will run. First the fastest plan, those in which all threads share out
alike (what a core wrote it then finds near), and some that take what comes close; then, round after round, the fastest
by what was seen beside the best so far, until the fastest has been run. The best of a round, as a whole, goes on.

Where a clock is read, only plans for the CPU: a launch of the QPUs does not tell its layers apart on silicon. Where
none is, as on the virtual board, times are exact and layers of a launch have theirs: one plan a round, run once, tells
all. Most layers take what they took alone; where QPUs that share lines fall out of step, one was seen to take a third
longer. Rounds then take turns: the fastest if all that was not seen takes what it takes alone, which finds what is
better, and the fastest by what is expected, which puts together what was found. They end when no more is to be hoped
for than the search itself ends at, and the best of all that ran is the result.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path

from codegen.bundle import compile_bundle
from codegen.canonical import content_hash
from codegen.engines.cpu.threads import CHANNELS_SHARED, PIXELS_SHARED
from codegen.operators.side_by_side import members_of
from codegen.plan import Plan, PlanStep
from codegen.revision import bundle_revision
from codegen.schedule import Candidate
from explorer.compose.compose import UNLIMITED, Composition, cpu_only, retimed
from explorer.compose.steps import starts_launch
from explorer.compose.timed_candidates import by_candidate
from explorer.plans.planning import decisions, step_names
from explorer.plans.searched_network import SearchedNetwork
from explorer.rehearse.estimates import Estimates
from explorer.settings import RehearsalSettings
from explorer.terminal.progress import Progress
from microbench.board import BundleRun
from microbench.errors import CandidateError
from microbench.protocol.order import shuffled
from microbench.store import Sample, Status

SHARED = (PIXELS_SHARED, CHANNELS_SHARED)
WORTH = 0.003  # of the network's time, that a plan has to promise where times are exact
CLOSE = 0.25  # by as much, as a fraction, a time in the network may move one that is worse alone ahead

_Key = tuple[str, str]
Perform = Callable[[Path, Plan], tuple[BundleRun, str]]


class Rehearsals:
    """One network's plans on one board. What the store has of a plan is not run again."""

    def __init__(
        self,
        found: SearchedNetwork,
        perform: Perform | None,
        append: Callable[[Sample], int],
        known: Iterable[Sample],
        settings: RehearsalSettings,
        progress: Progress,
        *,
        reads_clock: bool,
    ) -> None:
        """`perform` runs a plan's bundle and says what is wrong with its outputs, if anything is; None: the board runs
        nothing, what is known counts. `known`: samples of this board in the store; those of other code are left.
        `reads_clock`: as the board says; without one its times are exact, those of layers in a launch among them.
        """
        self._found = found
        self._perform = perform
        self._append = append
        self._known = {(sample.context, sample.revision): sample for sample in known if sample.context}
        self._settings = settings
        self._progress = progress
        self._reads_clock = reads_clock
        self._repeats = settings.repeats if reads_clock else 1
        self._alone = {sample.candidate: sample for sample in found.result.samples}
        self._samples: list[Sample] = []

    def rehearsed(self) -> SearchedNetwork:
        """The searched network with what the rehearsals say. Raises BoardError and StoreError."""
        if self._perform is None and not self._known:
            return self._found
        estimates = Estimates(self._found.result.timed_candidates)
        best: _Contender | None = None
        run: dict[str, float] = {}
        for number in range(self._settings.rounds):
            contenders = self._contenders(estimates, best, run)
            if not contenders or contenders[0].digest in run:
                break
            self._progress.phase(f"Rehearsal {number + 1}")
            samples = self._round(contenders, number)
            if not samples:
                break
            totals = [_total_s(of_one) for of_one in samples]
            earlier = [] if self._reads_clock or best is None else [(best, run[best.digest])]
            run |= {contender.digest: total for contender, total in zip(contenders, totals, strict=True)}
            everything = tuple(sample for of_one in samples for sample in of_one)
            self._samples += everything
            estimates.take(everything)
            best = _best([*zip(contenders, totals, strict=True), *earlier]) or best
        found = self._with(estimates)
        return found if best is None else replace(found, best=self._seen(best, estimates))

    def _seen(self, contender: _Contender, estimates: Estimates) -> Composition:
        """Its composition with the times of the network."""
        known = by_candidate(estimates.timed_candidates())
        return retimed(contender.composition, known, self._found.overheads)

    def _with(self, estimates: Estimates) -> SearchedNetwork:
        return replace(self._found, expected=estimates.timed_candidates(), rehearsals=tuple(self._samples))

    def _contenders(
        self, estimates: Estimates, best: _Contender | None, run: Mapping[str, float]
    ) -> tuple[_Contender, ...]:
        """The plans of a round; none where nothing is to be learned."""
        return (
            self._taking_turns(estimates, best) if self._reads_clock else self._unseen(estimates, best, run)
        )

    def _unseen(
        self, estimates: Estimates, best: _Contender | None, run: Mapping[str, float]
    ) -> tuple[_Contender, ...]:
        """The one plan of a round of exact times; none where what is hoped for is not worth a run."""
        expected = self._with(estimates)
        if not run:
            return (_Contender.of(expected, expected.compose(UNLIMITED)),)
        hoped = replace(expected, expected=estimates.hoped())
        promising = _Contender.of(hoped, hoped.compose(UNLIMITED))
        if best and promising.composition.total_s > (1 - WORTH) * self._seen(best, estimates).total_s:
            return ()
        if len(run) % 2 and promising.digest not in run:
            return (promising,)
        likely = _Contender.of(expected, expected.compose(UNLIMITED))
        return tuple(islice((plan for plan in (likely, promising) if plan.digest not in run), 1))

    def _taking_turns(self, estimates: Estimates, best: _Contender | None) -> tuple[_Contender, ...]:
        """The plans of a round, the fastest first; none where that needs the QPUs."""
        found = self._with(estimates)
        fastest = _Contender.of(found, found.compose(UNLIMITED))
        if not fastest.plan.is_of_host:
            return ()
        contenders = {fastest.digest: fastest}
        count = self._settings.first if best is None else self._settings.more
        others = (_alike(found, shared) for shared in SHARED) if best is None else iter((best,))
        for other in chain(others, self._near(found, estimates.tried, contenders)):
            if len(contenders) >= count:
                break
            contenders.setdefault(other.digest, other)
        return tuple(contenders.values())

    def _near(
        self, found: SearchedNetwork, tried: AbstractSet[Candidate], contenders: Mapping[str, _Contender]
    ) -> Iterator[_Contender]:
        """Plans that take what comes close to the candidates of those before, until there is no other."""
        while True:
            used = {step for contender in contenders.values() for step in contender.candidates}
            other = _Contender.of(found, _composed(found, tried | used))
            if other.digest in contenders:
                return
            yield other

    def _round(self, contenders: Sequence[_Contender], number: int) -> tuple[tuple[Sample, ...], ...]:
        """The samples of each; none at all where some are unknown and the board runs nothing.

        Plans are compared that took turns: a round that was interrupted is begun again.
        """
        found = [self._known_of(contender, number) for contender in contenders]
        if not all(found):
            if self._perform is None:
                return ()
            self._progress.expect(len(contenders) * self._repeats)
            rehearsals = self._timed([contender.plan for contender in contenders], self._perform)
            for contender, rehearsal in zip(contenders, rehearsals, strict=True):
                for step in timed_steps(contender.plan):
                    sample = self._sample(step, contender.key(number, step), rehearsal)
                    self._known[contender.key(number, step)] = replace(sample, id=self._append(sample))
            found = [self._known_of(contender, number) for contender in contenders]
        return tuple(found)

    def _known_of(self, contender: _Contender, number: int) -> tuple[Sample, ...]:
        """All its samples or none; of steps within a launch, as those alone are told."""
        steps = list(timed_steps(contender.plan))
        keys = [contender.key(number, step) for step in steps]
        samples = [self._known[key] for key in keys if key in self._known]
        if len(samples) < len(steps):
            return ()
        return tuple(
            self._without_launch(sample) if step.name in contender.launched else sample
            for step, sample in zip(steps, samples, strict=True)
        )

    def _without_launch(self, sample: Sample) -> Sample:
        """The first step of a launch was timed with it."""
        launch_s = self._found.overheads.launch_s
        return replace(sample, times_s=tuple(time_s - launch_s for time_s in sample.times_s))

    def _timed(self, plans: Sequence[Plan], perform: Perform) -> list[_Rehearsal]:
        rehearsals = [_Rehearsal() for _ in plans]
        with tempfile.TemporaryDirectory() as place:
            bundles = [Path(place) / str(number) for number in range(len(plans))]
            for plan, bundle in zip(plans, bundles, strict=True):
                compile_bundle(self._found.network.graph, plan, self._found.target, bundle)
            for number in self._order(len(plans)):
                rehearsals[number].perform(partial(perform, bundles[number], plans[number]))
                self._progress.done()
        return rehearsals

    def _order(self, count: int) -> Iterator[int]:
        """Every repeat takes all plans, each time in another order."""
        numbers = range(count)
        for repeat in range(self._repeats):
            yield from shuffled(numbers, [f"{repeat} {n}" for n in numbers], self._found.seed)

    def _sample(self, step: PlanStep, key: _Key, rehearsal: _Rehearsal) -> Sample:
        alone, runs = self._alone[Candidate(step.spec, step.choice)], rehearsal.runs
        return Sample(
            alone.candidate,
            self._found.fingerprint,
            runs[0].step_kinds[step.name] if runs else alone.kind,
            rehearsal.status,
            tuple(run.step_times_s[step.name] for run in runs),
            alone.work,
            message=rehearsal.message,
            conditions=tuple(reading for run in runs for reading in run.conditions),
            role="rehearsal",
            context=key[0],
            revision=key[1],
        )


@dataclass(frozen=True)
class _Contender:
    """A plan that is run, with what it was made from."""

    composition: Composition
    plan: Plan

    @staticmethod
    def of(found: SearchedNetwork, composition: Composition) -> _Contender:
        return _Contender(composition, found.plan(composition))

    @cached_property
    def digest(self) -> str:
        """What tells plans apart that decide differently, whatever they expect."""
        return content_hash([self.plan.model_sha256, decisions(self.plan)])

    @cached_property
    def candidates(self) -> frozenset[Candidate]:
        return frozenset(Candidate(step.spec, step.choice) for step in timed_steps(self.plan))

    @cached_property
    def launched(self) -> frozenset[str]:
        """Names of the steps for which their engine is launched."""
        steps = self.composition.steps
        return frozenset(
            name for name, starts in zip(step_names(steps), starts_launch(steps), strict=True) if starts
        )

    @cached_property
    def revision(self) -> str:
        """Of the whole network's code."""
        every = (
            one for step in timed_steps(self.plan) for one in (step.candidate, *members_of(step.candidate))
        )
        return bundle_revision(frozenset(one.choice.algorithm for one in every))

    def key(self, number: int, step: PlanStep) -> _Key:
        """Where a step was timed, in which network, in which round; and the revision of all that ran there."""
        return f"{self.digest}/{number}/{step.name}", self.revision


@dataclass
class _Rehearsal:
    """The runs of one plan, and what was wrong with the last."""

    status: Status = "ok"
    message: str = ""
    runs: list[BundleRun] = field(default_factory=list)

    def perform(self, run: Callable[[], tuple[BundleRun, str]]) -> None:
        """Once more, unless it went wrong."""
        if self.status != "ok":
            return
        try:
            found, self.message = run()
        except CandidateError as error:
            self.status, self.message = "failed", str(error)
            return
        self.status = "wrong" if self.message else "ok"
        self.runs.append(found)


def timed_steps(plan: Plan) -> Iterator[PlanStep]:
    """The steps that compute something."""
    return (step for step in plan.steps if not step.is_view)


def _total_s(samples: Sequence[Sample]) -> float:
    """What a plan's steps took together, in seconds; infinite where it does not work."""
    if any(sample.status != "ok" for sample in samples):
        return math.inf
    return sum(sample.time_s for sample in samples)


def _best(run: Sequence[tuple[_Contender, float]]) -> _Contender | None:
    """The one whose steps together took least; None where none works."""
    best, total_s = min(run, key=lambda one: one[1])
    return best if total_s < math.inf else None


def _alike(found: SearchedNetwork, shared: str) -> _Contender:
    """The fastest plan whose threads share out alike, where there is a choice."""
    differs = {
        way.candidate
        for ways in found.expected.values()
        for way in ways
        if way.threads > 1 and way.candidate.choice.splits.get("shared", shared) != shared
    }
    return _Contender.of(found, _composed(found, differs))


def _composed(found: SearchedNetwork, avoided: AbstractSet[Candidate]) -> Composition:
    """The fastest on the CPU with a handicap for some candidates: others take their place where they come close."""
    dearer = {
        spec: tuple(
            replace(way, time_s=way.time_s * (1 + CLOSE)) if way.candidate in avoided else way for way in ways
        )
        for spec, ways in found.expected.items()
    }
    return replace(found, expected=dearer).compose(cpu_only())
