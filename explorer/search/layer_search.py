"""One layer of the search: its candidates and what is known of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from codegen.algorithm import Algorithm
from codegen.graph import LayerSpec
from codegen.schedule import Candidate
from codegen.target import Target
from cost_models.model import Prediction
from explorer.compose.timed_candidates import Interface, TimedCandidate, threads_of
from explorer.objectives.usage import traffic_bytes
from explorer.search.budget import Budget
from explorer.search.candidate_pool import CandidatePool
from explorer.search.restrictions import Admits, Restrictions
from microbench.store import Sample

Kind = tuple[Interface, int]
"""All that a network sees of a candidate beside its time: its interface and how many threads it keeps busy."""
Predict = Callable[[Sequence[Candidate]], Sequence[Prediction]]


@dataclass(frozen=True)
class SearchSettings:
    """How far a search goes. Budgets count measurements, known ones included, so resuming changes nothing.

    `strategy` decides what is measured next (None: as the run has it), within `budget` for the whole search.
    `layer_budget` is per layer and lane (the QPUs, or a number of CPU threads), `batch` per layer, lane and round. A
    chain of layers is one of many ways to cut a network: fewer of its candidates are measured (`chain_budget`,
    `chain_initial`). `worthwhile` is the least gain, as a fraction of the best time, that is worth a measurement.
    `restrictions`: choices that are forced or forbidden.
    """

    seed: int = 0
    enumerate_limit: int = 400
    first_trials: int = 64
    trials_per_round: int = 24
    initial: int = 3
    layer_budget: int = 24
    chain_initial: int = 2
    chain_budget: int = 8
    batch: int = 4
    rounds: int = 8
    worthwhile: float = 0.01
    strategy: str | None = None
    budget: Budget = field(default_factory=Budget)
    restrictions: Restrictions = field(default_factory=Restrictions)

    @property
    def for_chains(self) -> SearchSettings:
        """The same for a chain of layers."""
        initial = min(self.initial, self.chain_initial)
        return replace(self, initial=initial, layer_budget=min(self.layer_budget, self.chain_budget))


class LayerSearch:
    """The candidates of one distinct layer, over all algorithms that apply to it."""

    def __init__(
        self,
        spec: LayerSpec,
        algorithms: Iterable[Algorithm],
        target: Target,
        settings: SearchSettings,
        admits: Admits = lambda candidate: True,
    ) -> None:
        self.spec = spec
        self.settings = settings
        self.pools = tuple(
            CandidatePool(spec, algorithm, target, settings.enumerate_limit, settings.seed, admits)
            for algorithm in algorithms
            if algorithm.applies(spec, target)
        )
        self._samples: dict[str, Sample] = {}
        self._kinds: dict[str, Kind] = {}
        self._spent: Counter[int] = Counter()  # by lane

    @property
    def algorithms(self) -> tuple[str, ...]:
        return tuple(pool.algorithm.name for pool in self.pools)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every candidate known so far, pool by pool."""
        return tuple(candidate for pool in self.pools for candidate in pool.candidates)

    @property
    def is_hopeless(self) -> bool:
        """Whether everything was measured and nothing works."""
        return not self.unmeasured and not self.timed_candidates

    def knows(self, candidate: Candidate) -> bool:
        """Whether it was measured."""
        return candidate.hash in self._samples

    def kind(self, candidate: Candidate) -> Kind:
        """Of a candidate of this layer."""
        kind = self._kinds.get(candidate.hash)
        if kind is None:
            kind = self._kinds[candidate.hash] = Interface.of(candidate), threads_of(candidate)
        return kind

    def spent(self, lane: int) -> int:
        """Measurements with that many threads, 0: beside the CPU."""
        return self._spent[lane]

    @cached_property
    def unmeasured(self) -> tuple[Candidate, ...]:
        """The candidates that have no sample."""
        return tuple(candidate for candidate in self.candidates if candidate.hash not in self._samples)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """What was measured, in the order it became known."""
        return tuple(self._samples.values())

    @cached_property
    def timed_candidates(self) -> tuple[TimedCandidate, ...]:
        """The candidates that work, with their times."""
        return tuple(
            TimedCandidate(
                sample.candidate,
                sample.time_s,
                sample.kind,
                sample.id,
                int(sample.work.workspace_bytes),
                traffic_bytes(sample.work),
            )
            for sample in self._samples.values()
            if sample.status == "ok"
        )

    def extend(self, predict: Predict, first: bool) -> None:
        """Lets Optuna propose more points of the spaces that are too large to enumerate."""
        self._forget()
        trials = self.settings.first_trials if first else self.settings.trials_per_round
        for pool in self.pools:
            pool.extend(trials, lambda candidate: predict((candidate,))[0].time_s)

    def record(self, samples: Iterable[Sample]) -> None:
        """Takes in what the measurer found out."""
        self._forget()
        for sample in samples:
            self._spent[threads_of(sample.candidate)] += sample.candidate_hash not in self._samples
            self._samples[sample.candidate_hash] = sample
            if sample.status == "ok":
                for pool in self.pools:
                    pool.tell(sample.candidate, sample.time_s)

    @property
    def fastest(self) -> Mapping[int, float]:
        """The shortest time measured, by lane."""
        times: dict[int, float] = {}
        for timed in self.timed_candidates:
            times[timed.threads] = min(times.get(timed.threads, float("inf")), timed.time_s)
        return times

    def _forget(self) -> None:
        """What is worked out from candidates and samples, and kept until there are more."""
        for name in ("unmeasured", "timed_candidates"):
            self.__dict__.pop(name, None)
