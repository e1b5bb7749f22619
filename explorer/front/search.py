"""The outer search of a front: a few knobs for the whole network, the exact composition inside.

For every number of QPUs and of cores in use the cap on memory is walked from none to the least that fits: each cap is
below what the plan before needed by the tolerance of what is left out, so that no trade of memory for latency is missed
but by that.
The price of every other summed objective is swept too: of CPU time where several cores are in use, of energy where the
board's power is known. Optuna's NSGA-II then looks at all knobs together.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codegen.canonical import content_hash
from codegen.engine_registry import host_engines
from codegen.target import Target
from explorer.compose.compose import Composition, Limits
from explorer.compose.least_held import least_alive_bytes
from explorer.errors import UndecidedError
from explorer.front.pareto import dominated, spread_out
from explorer.front.walk import counted, walk
from explorer.objectives.objective import CPU_TIME, ENERGY, Objective
from explorer.objectives.power import Power, power_of
from explorer.objectives.registry import objectives_for, weights_of
from explorer.objectives.usage import Usage
from explorer.plans.kept_compositions import KeptCompositions
from explorer.plans.searched_network import SearchedNetwork
from explorer.search.keeper import RoundKeeper
from explorer.terminal.progress import Progress

if TYPE_CHECKING:
    import optuna

STUDY_NAME = "front"
TRIALS = 80
POPULATION = 20
# Seconds of latency for a unit. Of CPU time: a core more for a layer has to save that much.
PRICES = {
    CPU_TIME.name: (0.05, 0.2, 0.5, 0.8, 1.2, 1.6, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 7.0, 10.0),
    ENERGY.name: (0.1, 0.3, 1.0, 3.0, 10.0, 100.0),
}
PARTS = 20  # of a walk along caps, for whoever watches
TOLERANCE = 0.005  # plans that save no more than this of anything are left out


@dataclass(frozen=True, order=True)
class Knobs:
    """What is decided for the whole network. `prices`: of objectives by name, in seconds of latency; `cap_bytes` None:
    as much memory as the board has.
    """

    qpus: int
    cores_free: int
    prices: tuple[tuple[str, float], ...] = ()
    cap_bytes: int | None = None


@dataclass(frozen=True, eq=False)
class Proposal:
    """A composition and what it should take, memory as its bundle allocates it."""

    knobs: Knobs
    searched: SearchedNetwork
    composition: Composition
    usage: Usage

    @property
    def is_plain(self) -> bool:
        """Whether it is just the fastest with so many QPUs and cores."""
        return self.knobs.cap_bytes is None and not self.knobs.prices

    @property
    def memory_bytes(self) -> int:
        """All of it."""
        return int(self.usage.gpu_bytes + self.usage.arena_bytes)

    @property
    def identity(self) -> str:
        """Equal for compositions that make equal bundles."""
        steps = [
            (step.tensors, step.timed.candidate, step.starts_launch, step.in_place)
            for step in self.composition.steps
        ]
        return content_hash([self.searched.target.qpus, steps])

    def values(self, objectives: Sequence[Objective]) -> tuple[float, ...]:
        """Of each objective, as predicted."""
        return values_of(objectives, self.usage, self.searched)


def fewer_qpus(target: Target) -> tuple[int, ...]:
    """How many QPUs a front tries beside all of them and none: half."""
    return (target.qpus // 2,) if target.qpus > 1 else ()


def objectives_of(searched: SearchedNetwork) -> tuple[Objective, ...]:
    """What can be told of plans for its board."""
    return objectives_for(power_of(searched.profile, searched.target))


def compared(objectives: Sequence[Objective]) -> tuple[Objective, ...]:
    """Those that decide what is on the front."""
    return tuple(objective for objective in objectives if objective.compared)


def values_of(objectives: Sequence[Objective], usage: Usage, searched: SearchedNetwork) -> tuple[float, ...]:
    """What a plan for that board is worth in each objective."""
    power = power_of(searched.profile, searched.target) or Power()
    return tuple(objective.of(usage, power) for objective in objectives)


def propose(
    searched: Sequence[SearchedNetwork],
    seed: int,
    progress: Progress,
    study_file: Path,
    keeper: RoundKeeper | None = None,
) -> tuple[Proposal, ...]:
    """The proposals that no other beats by prediction, and the plain ones, the fastest first; of those that differ by
    less than `TOLERANCE` in all respects one. `searched`: one for each number of QPUs, the one of all of them first.
    `study_file`: where Optuna keeps its study; one of an earlier front is replaced. `keeper`: where compositions
    outlive an interruption.
    """
    search = _FrontSearch(searched, keeper)
    swept = search.sweep(progress)
    progress.phase("Front: knobs")
    return _efficient(
        [*swept, *search.sample(swept, _study(seed, search.objectives, study_file), progress)],
        search.objectives,
    )


class _FrontSearch:
    def __init__(self, searched: Sequence[SearchedNetwork], keeper: RoundKeeper | None) -> None:
        self._searched = {found.target.qpus: found for found in searched}
        self._searched.setdefault(0, searched[0])
        self._kept = {qpus: KeptCompositions(found, keeper) for qpus, found in self._searched.items()}
        self._cores = searched[0].target.cores
        self._known: dict[Knobs, Proposal | None] = {}
        self.objectives = compared(objectives_of(searched[0]))

    def evaluate(self, knobs: Knobs) -> Proposal | None:
        """What the knobs lead to; None where nothing fits."""
        if knobs not in self._known:
            self._known[knobs] = self._composed(knobs)
        return self._known[knobs]

    def sweep(self, progress: Progress) -> list[Proposal]:
        """Every cap and price, for each number of QPUs and free cores."""
        found: list[Proposal] = []
        families = [
            (qpus, cores_free)
            for qpus in sorted(self._searched, reverse=True)
            for cores_free in range(self._cores)
        ]
        progress.phase("Front: caps and prices")
        progress.expect(len(families) * PARTS)
        for qpus, cores_free in families:
            found += counted(self._caps(qpus, cores_free), self._least_bytes(), PARTS, progress.done)
            for name in self._priced(self._cores - cores_free):
                found += self._prices(qpus, cores_free, name)
        return found

    def _least_bytes(self) -> int:
        """What about the last plan of a walk should take: row-major activations of the largest layer."""
        graph = self._searched[0].network.graph
        return least_alive_bytes(graph, {}, lambda tensor: graph.types[tensor].size_bytes)

    def sample(
        self, swept: Sequence[Proposal], study: optuna.Study, progress: Progress
    ) -> Iterator[Proposal]:
        """What NSGA-II finds, begun with the ends of the sweeps."""
        import optuna

        sizes = sorted(proposal.memory_bytes for proposal in swept)
        distributions = self._distributions(sizes[0], sizes[-1])
        for proposal in dict.fromkeys((swept[0], swept[-1])):
            study.enqueue_trial(self._parameters(proposal))
        progress.expect(TRIALS)
        for _ in range(TRIALS):
            trial = study.ask(distributions)
            found = self.evaluate(self._knobs(trial.params))
            if found is None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, found.values(self.objectives))
                yield found
            progress.done()

    def _priced(self, cores: int) -> tuple[str, ...]:
        """The objectives whose price may change a plan: with one core CPU time is what it is."""
        names = [o.name for o in self.objectives if o.name in PRICES]
        return tuple(name for name in names if name != CPU_TIME.name or cores > 1)

    def _caps(self, qpus: int, cores_free: int) -> Iterator[Proposal]:
        return walk(lambda cap: self.evaluate(Knobs(qpus, cores_free, (), cap)), TOLERANCE)

    def _prices(self, qpus: int, cores_free: int, name: str) -> Iterator[Proposal]:
        for price in PRICES[name]:
            found = self.evaluate(Knobs(qpus, cores_free, ((name, price),)))
            if found is not None:
                yield found

    def _composed(self, knobs: Knobs) -> Proposal | None:
        found = self._searched[knobs.qpus]
        limits = Limits(
            None if knobs.qpus else host_engines(),
            self._cores - knobs.cores_free,
            weights_of(dict(knobs.prices), power_of(found.profile, found.target)),
        )

        def compose() -> Composition:
            if knobs.cap_bytes is None:
                return found.compose(limits)
            return found.compose_within(knobs.cap_bytes, limits)

        try:
            composition = self._kept[knobs.qpus].composition(knobs, compose)
        except UndecidedError:
            return None
        if composition is None:
            return None
        memory = found.memory(composition)
        usage = replace(composition.usage, gpu_bytes=memory.gpu_bytes, arena_bytes=memory.arena_bytes)
        return Proposal(knobs, found, composition, usage)

    def _distributions(self, least: int, most: int) -> dict[str, optuna.distributions.BaseDistribution]:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        prices = {name: FloatDistribution(0.0, PRICES[name][-1]) for name in self._priced(self._cores)}
        return {
            "qpus": CategoricalDistribution(tuple(sorted(self._searched))),
            "cores_free": IntDistribution(0, self._cores - 1),
            "cap_bytes": IntDistribution(least, max(least, most), log=True),
            **prices,
        }

    def _parameters(self, proposal: Proposal) -> dict[str, float]:
        knobs = proposal.knobs
        prices = dict(knobs.prices)
        return {
            "qpus": knobs.qpus,
            "cores_free": knobs.cores_free,
            "cap_bytes": knobs.cap_bytes or proposal.memory_bytes,
            **{name: prices.get(name, 0.0) for name in self._priced(self._cores)},
        }

    def _knobs(self, params: dict[str, float]) -> Knobs:
        prices = tuple((name, float(params[name])) for name in self._priced(self._cores))
        return Knobs(int(params["qpus"]), int(params["cores_free"]), prices, int(params["cap_bytes"]))


def _study(seed: int, objectives: Sequence[Objective], file: Path) -> optuna.Study:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file.unlink(missing_ok=True)
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(JournalFileBackend(str(file))),
        study_name=STUDY_NAME,
        directions=["minimize"] * len(objectives),
        sampler=optuna.samplers.NSGAIISampler(seed=seed, population_size=POPULATION),
    )
    with warnings.catch_warnings():  # the names of metrics are experimental in Optuna
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([objective.column for objective in objectives])
    return study


def _efficient(proposals: Sequence[Proposal], objectives: Sequence[Objective]) -> tuple[Proposal, ...]:
    distinct = {proposal.identity: proposal for proposal in reversed(proposals)}
    candidates = sorted(
        distinct.values(), key=lambda proposal: (proposal.values(objectives), proposal.identity)
    )
    values = np.array([proposal.values(objectives) for proposal in candidates])
    beaten = dominated(values)
    plain = [index for index, proposal in enumerate(candidates) if proposal.is_plain]
    unbeaten = [index for index in range(len(candidates)) if not beaten[index]]
    return tuple(candidates[index] for index in spread_out(values, plain, unbeaten, TOLERANCE))
