"""One layer of the search: its candidates, what is known of them, and which are worth measuring next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from codegen.algorithm import Algorithm
from codegen.graph import LayerSpec
from codegen.schedule import Candidate
from codegen.target import Target
from cost_models.model import Prediction
from explorer.compose.timed_candidates import Interface, TimedCandidate, threads_of
from explorer.objectives.usage import traffic_bytes
from explorer.search.candidate_pool import CandidatePool
from microbench.store import Sample

Predict = Callable[[Sequence[Candidate]], Sequence[Prediction]]
Ceiling = Callable[[Candidate], float]
_Rivals = tuple[Interface, int]


@dataclass(frozen=True)
class SearchSettings:
    """How far a search goes. Budgets count measurements, known ones included, so resuming changes nothing.

    `budget` is per layer and lane (the QPUs, or a number of CPU threads), `batch` per layer, lane and round.
    A chain of layers is one of many ways to cut a network: fewer of its candidates are measured (`chain_budget`,
    `chain_initial`). `worthwhile` is the least gain, as a fraction of the best time, that is worth a measurement.
    """

    seed: int = 0
    enumerate_limit: int = 400
    first_trials: int = 64
    trials_per_round: int = 24
    initial: int = 3
    budget: int = 24
    chain_initial: int = 2
    chain_budget: int = 8
    batch: int = 4
    rounds: int = 8
    worthwhile: float = 0.01

    @property
    def for_chains(self) -> SearchSettings:
        """The same for a chain of layers."""
        initial, budget = min(self.initial, self.chain_initial), min(self.budget, self.chain_budget)
        return replace(self, initial=initial, budget=budget)


class LayerSearch:
    """The candidates of one distinct layer, over all algorithms that apply to it."""

    def __init__(
        self, spec: LayerSpec, algorithms: Iterable[Algorithm], target: Target, settings: SearchSettings
    ) -> None:
        self.spec = spec
        self._settings = settings
        self._pools = tuple(
            CandidatePool(spec, algorithm, target, settings.enumerate_limit, settings.seed)
            for algorithm in algorithms
            if algorithm.applies(spec, target)
        )
        self._samples: dict[str, Sample] = {}

    @property
    def algorithms(self) -> tuple[str, ...]:
        return tuple(pool.algorithm.name for pool in self._pools)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every candidate known so far, pool by pool."""
        return tuple(candidate for pool in self._pools for candidate in pool.candidates)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """What was measured, in the order it became known."""
        return tuple(self._samples.values())

    @property
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
        trials = self._settings.first_trials if first else self._settings.trials_per_round
        for pool in self._pools:
            pool.extend(trials, lambda candidate: predict((candidate,))[0].time_s)

    def record(self, samples: Iterable[Sample]) -> None:
        """Takes in what the measurer found out."""
        for sample in samples:
            self._samples[sample.candidate_hash] = sample
            if sample.status == "ok":
                for pool in self._pools:
                    pool.tell(sample.candidate, sample.time_s)

    def first_picks(self, predict: Predict) -> tuple[Candidate, ...]:
        """A spread of each algorithm, in each lane, over its predicted times: the best, the worst and evenly between.

        Equal ones are in the order of their space. Every algorithm's best comes before any other; what exceeds a
        lane's budget is left out.
        """
        spreads = [spread for pool in self._pools for spread in self._spreads(pool, predict)]
        picks: dict[Candidate, None] = {}
        for turn in range(self._settings.initial):
            due = [spread[turn] for spread in spreads if turn < len(spread)]
            picks |= dict.fromkeys(_ranked(due, predict))
        left = dict(self._left())
        chosen = []
        for candidate in picks:
            left[threads_of(candidate)] -= 1
            if left[threads_of(candidate)] >= 0:
                chosen.append(candidate)
        return tuple(chosen)

    def _spreads(self, pool: CandidatePool, predict: Predict) -> Iterator[list[Candidate]]:
        for lane in sorted({threads_of(candidate) for candidate in pool.candidates}):
            ranked = _ranked([c for c in pool.candidates if threads_of(c) == lane], predict)
            count = min(self._settings.initial, len(ranked))
            places = [round(i * (len(ranked) - 1) / max(1, count - 1)) for i in range(count)]
            yield [ranked[place] for place in places]

    @property
    def fastest(self) -> Mapping[int, float]:
        """The shortest time measured, by lane."""
        times: dict[int, float] = {}
        for timed in self.timed_candidates:
            times[timed.threads] = min(times.get(timed.threads, float("inf")), timed.time_s)
        return times

    def doubtful(self, predict: Predict, ceiling: Ceiling = lambda _: float("inf")) -> tuple[Candidate, ...]:
        """Unmeasured candidates that may beat the best of their interface and lane, the most promising first.

        Of equal ones the first of its space; at most a batch per lane, and never more than what is left of its
        budget. `ceiling`: the time that a candidate has to beat to be worth anything, whatever its rivals take.
        """
        unknown = [c for c in self.candidates if c.hash not in self._samples]
        predictions = dict(zip((c.hash for c in unknown), predict(unknown), strict=True))
        best = self._best_of_rivals()
        promising = sorted(
            (
                c
                for c in unknown
                if predictions[c.hash].low_s < min(best.get(_rivals(c), float("inf")), ceiling(c))
            ),
            key=lambda c: predictions[c.hash].low_s,
        )
        picks: list[Candidate] = []
        for lane, left in self._left().items():
            own = [c for c in promising if threads_of(c) == lane]
            picks += own[: max(0, min(left, self._settings.batch))]
        return tuple(picks)

    def _best_of_rivals(self) -> Mapping[_Rivals, float]:
        best: dict[_Rivals, float] = {}
        for timed in self.timed_candidates:
            rivals = _rivals(timed.candidate)
            best[rivals] = min(best.get(rivals, float("inf")), timed.time_s)
        return {rivals: time_s * (1 - self._settings.worthwhile) for rivals, time_s in best.items()}

    def _left(self) -> Mapping[int, int]:
        spent = dict.fromkeys(sorted({threads_of(candidate) for candidate in self.candidates}), 0)
        for sample in self._samples.values():
            spent[threads_of(sample.candidate)] += 1
        return {lane: self._settings.budget - count for lane, count in spent.items()}


def _rivals(candidate: Candidate) -> _Rivals:
    """What candidates have in common that are worth having for nothing but their speed."""
    return Interface.of(candidate), threads_of(candidate)


def _ranked(candidates: Sequence[Candidate], predict: Predict) -> list[Candidate]:
    predictions = predict(candidates)
    order = sorted(range(len(candidates)), key=lambda i: predictions[i].time_s)
    return [candidates[i] for i in order]
