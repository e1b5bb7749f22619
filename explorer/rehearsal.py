"""Rehearsals: whole plans run on the board, and what their steps take in the network decides.

A layer that is measured alone finds its input where it left it, on the core that reads it, and the caches to itself.
In a network it finds what its neighbours left. How much that matters differs from candidate to candidate, so that the
best of those measured alone are tried where they will run: first the fastest plan and some that take what comes close
to it, then the fastest by what was seen, until it holds nothing untried.

Only on boards that read a clock, and only plans for the CPU: a launch of the QPUs does not tell its layers apart on
silicon, and the virtual board's times do not depend on what runs before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from codegen.bundle import compile_bundle
from codegen.canonical import content_hash
from codegen.plan import Plan, PlanStep
from codegen.schedule import Candidate
from explorer.compose import Limits
from explorer.estimates import Estimates
from explorer.findings import Findings
from explorer.options import Options
from explorer.planning import decisions
from explorer.progress import Progress
from explorer.settings import RehearsalSettings
from microbench.board import BundleRun
from microbench.errors import CandidateError
from microbench.protocol.order import shuffled
from microbench.store import Sample, Status

CPU_ONLY = Limits(processors=("cpu",))
CLOSE = 0.25  # by as much, as a fraction, a time in the network may move one that is worse alone ahead

Perform = Callable[[Path, Plan], tuple[BundleRun, str]]


class Rehearsals:
    """One network's plans on one board. What the store has of a plan is not run again."""

    def __init__(
        self,
        found: Findings,
        perform: Perform | None,
        append: Callable[[Sample], int],
        known: Iterable[Sample],
        settings: RehearsalSettings,
        progress: Progress,
    ) -> None:
        """`perform` runs a plan's bundle and says what is wrong with its outputs, if anything is; None: the board runs
        nothing, what is known counts. `known`: samples of this board in the store.
        """
        self._found = found
        self._perform = perform
        self._append = append
        self._known = {sample.context: sample for sample in known if sample.context}
        self._settings = settings
        self._progress = progress
        self._alone = {sample.candidate_hash: sample for sample in found.result.samples}
        self._samples: list[Sample] = []

    def rehearsed(self) -> Findings:
        """The findings with what the rehearsals say. Raises BoardError and StoreError."""
        estimates = Estimates(self._found.result.options)
        for number in range(self._settings.rounds):
            count = self._settings.more if number else self._settings.first
            plans = self._plans(estimates, count)
            if not plans:
                break
            self._progress.phase(f"Rehearsal {number + 1}")
            samples = self._round(plans)
            if not samples:
                break
            self._samples += samples
            estimates.take(samples)
        return self._with(estimates)

    def _with(self, estimates: Estimates) -> Findings:
        return replace(self._found, expected=estimates.options(), rehearsals=tuple(self._samples))

    def _plans(self, estimates: Estimates, count: int) -> tuple[Plan, ...]:
        """The fastest plan and others that differ; none where it holds nothing untried or needs the QPUs."""
        found, expected = self._with(estimates), estimates.options()
        fastest = found.plan(found.compose(Limits()))
        used = _candidates(fastest)
        if fastest.has_qpu_steps or used <= estimates.tried:
            return ()
        plans = {digest_of(fastest): fastest}
        while len(plans) < count:
            others = _dearer(expected, estimates.tried | used)
            other = found.plan(replace(found, expected=others).compose(CPU_ONLY))
            if digest_of(other) in plans:
                break
            plans[digest_of(other)] = other
            used |= _candidates(other)
        return tuple(plans.values())

    def _round(self, plans: Sequence[Plan]) -> tuple[Sample, ...]:
        """The samples of all steps of all plans; none where some are unknown and the board runs nothing.

        Plans are compared that took turns: a round that was interrupted is begun again.
        """
        if not all(self._samples_of(plan) for plan in plans):
            if self._perform is None:
                return ()
            self._progress.expect(len(plans) * self._settings.repeats)
            for plan, rehearsal in zip(plans, self._timed(plans, self._perform), strict=True):
                for step in timed_steps(plan):
                    sample = self._sample(plan, step, rehearsal)
                    self._known[sample.context] = replace(sample, id=self._append(sample))
        return tuple(sample for plan in plans for sample in self._samples_of(plan))

    def _samples_of(self, plan: Plan) -> tuple[Sample, ...]:
        """All or none."""
        contexts = [context_of(plan, step) for step in timed_steps(plan)]
        return tuple(self._known[c] for c in contexts) if all(c in self._known for c in contexts) else ()

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
        for repeat in range(self._settings.repeats):
            yield from shuffled(numbers, [f"{repeat} {n}" for n in numbers], self._found.seed)

    def _sample(self, plan: Plan, step: PlanStep, rehearsal: _Rehearsal) -> Sample:
        alone, runs = self._alone[Candidate(step.spec, step.choice).hash], rehearsal.runs
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
            context=context_of(plan, step),
        )


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


def digest_of(plan: Plan) -> str:
    """What tells plans apart that decide differently, whatever they expect."""
    return content_hash([plan.model_sha256, decisions(plan)])


def context_of(plan: Plan, step: PlanStep) -> str:
    """Where in which network a step was timed."""
    return f"{digest_of(plan)} {step.name}"


def _candidates(plan: Plan) -> set[str]:
    return {Candidate(step.spec, step.choice).hash for step in timed_steps(plan)}


def _dearer(options: Options, hashes: AbstractSet[str]) -> Options:
    """Options with a handicap for these candidates, so that others take their place where they come close."""
    return {
        spec: tuple(
            replace(way, time_s=way.time_s * (1 + CLOSE)) if way.candidate.hash in hashes else way
            for way in ways
        )
        for spec, ways in options.items()
    }
