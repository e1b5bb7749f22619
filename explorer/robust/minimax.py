"""The composition whose worst ratio to the best, over several profiles of one board, is least.

Under each profile a plan takes so many times as long as that profile's own best plan. The largest of these ratios is
the plan's regret. The least regret is sought among the best compositions for weighted sums of the profiles' times: the
weights are those of a linear program over the plans seen so far (a cutting-plane method), so that the cheapest weighted
sum is also a lower bound for the regret of every plan. What is left between the two is the printed gap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from explorer.compose.compose import Composition, retimed
from explorer.compose.steps import Overheads
from explorer.compose.timed_candidates import TimedCandidates, by_candidate
from explorer.runs.report import Regret, UnderProfile

MOST_COMPOSITIONS = 60
CLOSE = 1e-4  # a gap as small as this is none

FloatVector = npt.NDArray[np.float64]
Compose = Callable[[TimedCandidates, Overheads], Composition]


@dataclass(frozen=True)
class Scenario:
    """One profile's times, of the same candidates as every other's, and its overheads."""

    name: str
    timed_candidates: TimedCandidates
    overheads: Overheads


def least_regret(scenarios: Sequence[Scenario], compose: Compose) -> tuple[Composition, Regret]:
    """The composition with the least worst ratio that was found, timed by the first profile.

    Raises what `compose` raises; a gap of its compositions lowers the bound.

    Raises ValueError where there is no scenario.
    """
    if not scenarios:
        raise ValueError("no profile to compose for")
    search = _Search(scenarios, compose)
    search.run()
    return search.result()


class _Search:
    """Plans seen so far, a row of ratios each."""

    def __init__(self, scenarios: Sequence[Scenario], compose: Compose) -> None:
        self._scenarios = scenarios
        self._compose = compose
        self._ways = [by_candidate(scenario.timed_candidates) for scenario in scenarios]
        self._plans = [compose(s.timed_candidates, s.overheads) for s in scenarios]
        self._best_s = np.array([plan.total_s for plan in self._plans])
        self._ratios = [self._ratios_of(plan) for plan in self._plans]
        self._bound = 1.0

    def run(self) -> None:
        """Until a bound says that nothing better is to be found, or no new plan turns up."""
        while len(self._plans) < MOST_COMPOSITIONS and self._worst() > self._bound * (1 + CLOSE):
            weights, promised = self._weights()
            plan = self._compose(self._weighted(weights), self._weighted_overheads(weights))
            ratios = self._ratios_of(plan)
            found = float(weights @ ratios)
            self._bound = max(self._bound, found * (1 - plan.gap))
            if found >= promised * (1 - CLOSE):  # what was seen holds every plan that a weighted sum can find
                break
            self._plans.append(plan)
            self._ratios.append(ratios)

    def result(self) -> tuple[Composition, Regret]:
        """The plan with the least worst ratio; of equal ones that which is fastest under the first profile."""
        place = min(range(len(self._plans)), key=lambda i: (self._ratios[i].max(), self._ratios[i][0]))
        first = self._scenarios[0]
        times_s = self._ratios[place] * self._best_s
        under = tuple(
            UnderProfile(scenario.name, float(time_s), float(best_s))
            for scenario, time_s, best_s in zip(self._scenarios, times_s, self._best_s, strict=True)
        )
        bound = min(self._bound, float(self._ratios[place].max()))
        return retimed(self._plans[place], self._ways[0], first.overheads), Regret(
            under, bound, float(self._ratios[0].max()), len(self._plans)
        )

    def _worst(self) -> float:
        return min(float(ratios.max()) for ratios in self._ratios)

    def _ratios_of(self, plan: Composition) -> FloatVector:
        times_s = [
            retimed(plan, ways, scenario.overheads).total_s
            for scenario, ways in zip(self._scenarios, self._ways, strict=True)
        ]
        ratios: FloatVector = np.array(times_s) / self._best_s
        return ratios

    def _weights(self) -> tuple[FloatVector, float]:
        """Weights of the profiles under which the plans seen so far do worst, and what they promise of the best."""
        from scipy.optimize import linprog

        count = len(self._scenarios)
        rows = np.array(self._ratios)
        found = linprog(
            np.append(np.zeros(count), -1.0),
            A_ub=np.hstack([-rows, np.ones((len(rows), 1))]),
            b_ub=np.zeros(len(rows)),
            A_eq=np.append(np.ones(count), 0.0)[None, :],
            b_eq=[1.0],
            bounds=[(0.0, 1.0)] * count + [(None, None)],
        )
        weights = np.clip(found.x[:count], 0.0, None)
        return weights / weights.sum(), -float(found.fun)

    def _weighted(self, weights: FloatVector) -> TimedCandidates:
        """The candidates with weighted sums of their ratios, in seconds of the first profile's best plan."""
        scale = weights / self._best_s * self._best_s[0]
        return {
            spec: tuple(
                replace(
                    way,
                    time_s=sum(f * w[way.candidate].time_s for f, w in zip(scale, self._ways, strict=True)),
                )
                for way in ways
            )
            for spec, ways in self._scenarios[0].timed_candidates.items()
        }

    def _weighted_overheads(self, weights: FloatVector) -> Overheads:
        scale = weights / self._best_s * self._best_s[0]
        every = [scenario.overheads for scenario in self._scenarios]
        return replace(
            every[0],
            launch_s=float(sum(f * o.launch_s for f, o in zip(scale, every, strict=True))),
            wake_s=float(sum(f * o.wake_s for f, o in zip(scale, every, strict=True))),
        )
