"""The outer search of a front: a few knobs for the whole network, the exact composition inside.

For every number of QPUs and of cores in use the cap on memory is swept from none to the least that fits: each cap is
just below what the plan before needed, so that no trade of memory for latency is missed but those too small to matter.
Where several cores are in use the price of CPU time is swept too. Optuna's NSGA-II then looks at all knobs together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen.canonical import content_hash
from codegen.engine_registry import host_engines
from codegen.target import Target
from explorer.compose.compose import Composition, Limits
from explorer.errors import CompositionError
from explorer.front.pareto import dominated
from explorer.plans.searched_network import SearchedNetwork
from explorer.terminal.progress import Progress

if TYPE_CHECKING:
    import optuna

TRIALS = 80
POPULATION = 20
# Seconds of latency for a second of CPU time: a core more for a layer has to save that much.
CPU_PRICES = (0.05, 0.2, 0.5, 0.8, 1.2, 1.6, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 7.0, 10.0)
SMALLEST_STEP = 0.04  # of memory, from one cap to the next
MOST_CAPS = 30


@dataclass(frozen=True, order=True)
class Knobs:
    """What is decided for the whole network. `cap_bytes` None: as much memory as the board has."""

    qpus: int
    cores_free: int
    cpu_price: float = 0.0
    cap_bytes: int | None = None


@dataclass(frozen=True, eq=False)
class Proposal:
    """A composition and what it should cost: latency and CPU time in seconds, activation memory in bytes."""

    knobs: Knobs
    searched: SearchedNetwork
    composition: Composition
    memory_bytes: int

    @property
    def objectives(self) -> tuple[float, float, float]:
        """Latency, memory, CPU time."""
        return self.composition.total_s, float(self.memory_bytes), self.composition.cpu_s

    @property
    def is_plain(self) -> bool:
        """Whether it is just the fastest with so many QPUs and cores."""
        return self.knobs.cap_bytes is None and self.knobs.cpu_price == 0.0

    @property
    def identity(self) -> str:
        """Equal for compositions that make equal bundles."""
        steps = [
            (step.tensors, step.timed.candidate, step.starts_launch, step.in_place)
            for step in self.composition.steps
        ]
        return content_hash([self.searched.target.qpus, steps])


def fewer_qpus(target: Target) -> tuple[int, ...]:
    """How many QPUs a front tries beside all of them and none: half."""
    return (target.qpus // 2,) if target.qpus > 1 else ()


def propose(searched: Sequence[SearchedNetwork], seed: int, progress: Progress) -> tuple[Proposal, ...]:
    """The proposals that no other beats by prediction, and the plain ones, the fastest first. `searched`: one for each
    number of QPUs, the one of all of them first.
    """
    search = _FrontSearch(searched)
    progress.phase("Front: memory caps")
    swept = search.sweep()
    progress.phase("Front: knobs")
    return _efficient([*swept, *search.sample(swept, seed)])


class _FrontSearch:
    def __init__(self, searched: Sequence[SearchedNetwork]) -> None:
        self._searched = {found.target.qpus: found for found in searched}
        self._searched.setdefault(0, searched[0])
        self._cores = searched[0].target.cores
        self._known: dict[Knobs, Proposal | None] = {}

    def evaluate(self, knobs: Knobs) -> Proposal | None:
        """What the knobs lead to; None where nothing fits."""
        if knobs not in self._known:
            self._known[knobs] = self._composed(knobs)
        return self._known[knobs]

    def sweep(self) -> list[Proposal]:
        """Every cap and price, for each number of QPUs and free cores."""
        found: list[Proposal] = []
        for qpus in sorted(self._searched, reverse=True):
            for cores_free in range(self._cores):
                found += self._caps(qpus, cores_free)
            for cores_free in range(self._cores - 1):
                found += self._prices(qpus, cores_free)
        return found

    def sample(self, swept: Sequence[Proposal], seed: int) -> Iterator[Proposal]:
        """What NSGA-II finds, begun with the ends of the sweeps."""
        import optuna

        sizes = sorted(proposal.memory_bytes for proposal in swept)
        distributions = self._distributions(sizes[0], sizes[-1])
        study = _study(seed)
        for proposal in dict.fromkeys((swept[0], swept[-1])):
            study.enqueue_trial(_parameters(proposal))
        for _ in range(TRIALS):
            trial = study.ask(distributions)
            found = self.evaluate(_knobs(trial.params))
            if found is None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, found.objectives)
                yield found

    def _caps(self, qpus: int, cores_free: int) -> Iterator[Proposal]:
        cap: int | None = None
        for _ in range(MOST_CAPS):
            found = self.evaluate(Knobs(qpus, cores_free, 0.0, cap))
            if found is None:
                return
            yield found
            cap = min(found.memory_bytes - 1, int(found.memory_bytes * (1 - SMALLEST_STEP)))

    def _prices(self, qpus: int, cores_free: int) -> Iterator[Proposal]:
        for price in CPU_PRICES:
            found = self.evaluate(Knobs(qpus, cores_free, price))
            if found is not None:
                yield found

    def _composed(self, knobs: Knobs) -> Proposal | None:
        found = self._searched[knobs.qpus]
        limits = Limits(
            None if knobs.qpus else host_engines(), self._cores - knobs.cores_free, knobs.cpu_price
        )
        try:
            if knobs.cap_bytes is None:
                composition = found.compose(limits)
            else:
                composition = found.compose_within(knobs.cap_bytes, limits)
        except CompositionError:
            return None
        return Proposal(knobs, found, composition, found.memory(composition).total_bytes)

    def _distributions(self, least: int, most: int) -> dict[str, optuna.distributions.BaseDistribution]:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        return {
            "qpus": CategoricalDistribution(tuple(sorted(self._searched))),
            "cores_free": IntDistribution(0, self._cores - 1),
            "cpu_price": FloatDistribution(0.0, CPU_PRICES[-1]),
            "cap_bytes": IntDistribution(least, max(least, most), log=True),
        }


def _study(seed: int) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(seed=seed, population_size=POPULATION)
    return optuna.create_study(directions=["minimize"] * 3, sampler=sampler)


def _parameters(proposal: Proposal) -> dict[str, float]:
    knobs = proposal.knobs
    return {
        "qpus": knobs.qpus,
        "cores_free": knobs.cores_free,
        "cpu_price": knobs.cpu_price,
        "cap_bytes": knobs.cap_bytes or proposal.memory_bytes,
    }


def _knobs(params: dict[str, float]) -> Knobs:
    return Knobs(
        int(params["qpus"]), int(params["cores_free"]), float(params["cpu_price"]), int(params["cap_bytes"])
    )


def _efficient(proposals: Sequence[Proposal]) -> tuple[Proposal, ...]:
    distinct = {proposal.identity: proposal for proposal in reversed(proposals)}
    candidates = sorted(distinct.values(), key=lambda proposal: (proposal.objectives, proposal.identity))
    beaten = dominated(np.array([proposal.objectives for proposal in candidates]))
    return tuple(
        proposal
        for proposal, is_beaten in zip(candidates, beaten, strict=True)
        if proposal.is_plain or not is_beaten
    )
