"""How good any cost model is: predicted without having seen the candidate, its layer, its network or its board."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from cost_models.metrics import spearman, top_regret
from cost_models.model import CostModel, Observation, Prediction

FOLDS = 5
LEAST_RANKED = 3  # candidates of a layer, for their order to say anything
LEAST_COVERED = 10  # of a layer, for the share that an interval holds to say anything


@dataclass(frozen=True)
class Judged:
    """A measured candidate beside what a model predicted that had not seen it."""

    observation: Observation
    prediction: Prediction

    @property
    def error(self) -> float:
        """Relative to the measured time, without sign."""
        return abs(self.prediction.time_s / self.observation.time_s - 1.0)

    @property
    def is_held(self) -> bool:
        """Whether the interval holds the measured time."""
        return self.prediction.low_s <= self.observation.time_s <= self.prediction.high_s

    @property
    def width(self) -> float:
        """Of the interval, relative to the measured time."""
        return (self.prediction.high_s - self.prediction.low_s) / self.observation.time_s


@dataclass(frozen=True)
class Scores:
    """Fractions, but for the counts. `rank`: the mean over layers of the rank correlation in each. `top_regret`: the
    mean over layers of what trusting the model's first choice costs. `coverage`: the share of times within their
    intervals, `worst_coverage` that of the layer with the least, `width` the median width relative to the time.
    """

    samples: int
    layers: int
    median_error: float
    p90_error: float
    rank: float
    top_regret: float
    coverage: float
    worst_coverage: float
    width: float


def scores(judged: Iterable[Judged]) -> Scores | None:
    """The scores over some candidates; None where there are none."""
    found = list(judged)
    if not found:
        return None
    layers = by_layer(found)
    ranked = [_rank(rows) for rows in layers if len(rows) >= LEAST_RANKED]
    held = [_held(rows) for rows in layers if len(rows) >= LEAST_COVERED]
    return Scores(
        samples=len(found),
        layers=len(layers),
        median_error=_quantile(found, 0.5),
        p90_error=_quantile(found, 0.9),
        rank=float(np.mean(ranked)) if ranked else 1.0,
        top_regret=float(np.mean([_regret(rows) for rows in layers])),
        coverage=_held(found),
        worst_coverage=min(held, default=_held(found)),
        width=float(np.median([one.width for one in found])),
    )


def within(judged: Sequence[Judged], factor: float) -> list[Judged]:
    """Those that take at most `factor` times as long as the fastest of their layer."""
    return [
        one
        for rows in by_layer(judged)
        for one in rows
        if one.observation.time_s <= factor * min(other.observation.time_s for other in rows)
    ]


def by_layer(judged: Iterable[Judged]) -> list[list[Judged]]:
    """The candidates of each layer on each board, in the order in which layers first come."""
    found: dict[tuple[object, str], list[Judged]] = {}
    for one in judged:
        profile = one.observation.profile
        key = (one.observation.candidate.spec, profile.hash if profile else "")
        found.setdefault(key, []).append(one)
    return list(found.values())


Grouped = tuple[Observation, str]
"""An observation and the group that it is held out with: its candidate's, its layer's or its network's name."""


def cross_predict(
    make: Callable[[], CostModel],
    judged: Sequence[Grouped],
    learned: Sequence[Grouped] | None = None,
    seed: int = 0,
) -> list[Judged]:
    """Every observation predicted by a new model that has seen none of its group.

    `learned`: what models may learn from, None: the judged ones themselves. Where there are more groups than FOLDS they
    are dealt out to so many, in an order that the seed decides.
    """
    taught = judged if learned is None else learned
    names = sorted({name for _, name in judged})
    Random(seed).shuffle(names)
    fold_of = {name: index % FOLDS for index, name in enumerate(names)}
    predicted: dict[int, Prediction] = {}
    for fold in sorted(set(fold_of.values())):
        held = [i for i, (_, name) in enumerate(judged) if fold_of[name] == fold]
        model = make()
        model.fit([o for o, name in taught if fold_of.get(name) != fold])
        pairs = [(judged[i][0].candidate, judged[i][0].work) for i in held]
        predicted.update(zip(held, model.predict(pairs), strict=True))
    return [Judged(o, predicted[i]) for i, (o, _) in enumerate(judged)]


def _quantile(judged: Sequence[Judged], level: float) -> float:
    return float(np.quantile([one.error for one in judged], level))


def _rank(rows: Sequence[Judged]) -> float:
    return spearman([one.prediction.time_s for one in rows], [one.observation.time_s for one in rows])


def _regret(rows: Sequence[Judged]) -> float:
    return top_regret([one.prediction.time_s for one in rows], [one.observation.time_s for one in rows])


def _held(rows: Sequence[Judged]) -> float:
    return sum(one.is_held for one in rows) / len(rows)
