"""The candidates of one layer under one algorithm: all points of its space, or those that Optuna proposes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from codegen.algorithm import Algorithm
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.schedule import Candidate, Point, Space, Value
from codegen.target import Target
from explorer.search.restrictions import Admits

if TYPE_CHECKING:
    import optuna

Objective = Callable[[Candidate], float]

LOOKED_AT = (
    1600  # points of a space of more than `limit`: where axes depend on each other few have a candidate
)
STARTUP_TRIALS = 24


class CandidatePool:
    """A layer and one algorithm; grows where the space is too large to enumerate.

    A space of at most `limit` candidates is enumerated. Of a larger one Optuna's TPE sampler (seeded, ask
    and tell) proposes points: `extend` tells it predicted times, `tell` measured ones. Points that have
    no kernel and those that `admits` refuses are left out, and candidates that several points lead to are kept once.
    """

    def __init__(
        self,
        spec: LayerSpec,
        algorithm: Algorithm,
        target: Target,
        limit: int,
        seed: int,
        admits: Admits = lambda candidate: True,
    ) -> None:
        self.spec = spec
        self._admits = admits
        self.algorithm = algorithm
        self._target = target
        self._space = algorithm.space(spec, target)
        self._by_hash: dict[str, Candidate] = {}
        self._points: dict[str, dict[str, Value]] = {}
        self._study: optuna.Study | None = None
        is_large = self._space.size > max(limit, LOOKED_AT)
        if not is_large:
            for point in self._space.points():
                self._add(point)
        if is_large or len(self._by_hash) > limit:
            self._by_hash.clear()
            self._points.clear()
            self._study = _new_study(seed)

    @property
    def is_open(self) -> bool:
        """Whether more candidates may be proposed."""
        return self._study is not None

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What there is to choose from so far, in a fixed order."""
        return tuple(self._by_hash.values())

    def extend(self, trials: int, objective: Objective) -> None:
        """Asks Optuna for more points, judged by `objective` in seconds; nothing where all are known."""
        if self._study is None:
            return
        import optuna

        distributions = _distributions(self._space)
        for _ in range(trials):
            trial = self._study.ask(distributions)
            candidate = self._add(_point(self._space, trial.params))
            if candidate is None:
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                self._study.tell(trial, math.log(objective(candidate)))

    def tell(self, candidate: Candidate, time_s: float) -> None:
        """A measured time, in seconds, for the sampler to learn from."""
        if self._study is None or candidate.hash not in self._points:
            return
        import optuna

        point = self._points[candidate.hash]
        params = {axis.name: axis.values.index(point[axis.name]) for axis in self._space.axes}
        self._study.add_trial(
            optuna.create_trial(
                params=params, distributions=_distributions(self._space), value=math.log(time_s)
            )
        )

    def _add(self, point: Point) -> Candidate | None:
        try:
            choice = self.algorithm.choice(self.spec, self._target, point)
        except ScheduleError:
            return None
        candidate = Candidate(self.spec, choice)
        if not self._admits(candidate):
            return None
        self._points.setdefault(candidate.hash, dict(point))
        return self._by_hash.setdefault(candidate.hash, candidate)


def _new_study(seed: int) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
    return optuna.create_study(direction="minimize", sampler=sampler)


def _distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    from optuna.distributions import IntDistribution

    return {axis.name: IntDistribution(0, len(axis.values) - 1) for axis in space.axes}


def _point(space: Space, params: Mapping[str, int]) -> dict[str, Value]:
    return {axis.name: axis.values[params[axis.name]] for axis in space.axes}
