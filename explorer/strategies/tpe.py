"""Strategy `tpe`: Optuna's tree-structured Parzen estimator in every layer and lane, by ask and tell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from codegen.schedule import Candidate, Choice, Value
from explorer.compose.timed_candidates import threads_of
from explorer.search.budget import Left
from explorer.search.layer_search import LayerSearch, SearchSettings
from explorer.search.request import Request
from explorer.search.state import SearchState
from microbench.store import Sample

if TYPE_CHECKING:
    import optuna

STARTUP = 4  # trials of a lane that are drawn
TRIES = 8  # at a candidate that is there and was not measured, before the first that was not is taken


class Tpe:
    """A study for each lane of a layer; its parameters are the algorithm and, of each, the axes of its choices."""

    name = "tpe"
    is_stateless = False

    def __init__(self, settings: SearchSettings) -> None:
        self._settings = settings
        self._lanes: list[_Lane] | None = None
        self._asked: list[_Lane] = []

    def ask(self, state: SearchState, budget: Left) -> Sequence[Request]:
        if self._lanes is None:
            self._lanes = [lane for layer in state.every for lane in _lanes(layer, self._settings)]
        found = [(lane, candidate) for lane in self._lanes for candidate in lane.ask(self._settings.batch)]
        self._asked = [lane for lane, _ in found]
        return [Request(candidate, "proposed by the Parzen estimator") for _, candidate in found]

    def tell(self, samples: Sequence[Sample]) -> None:
        """Those behind the end of a budget were not measured."""
        for lane, sample in zip(self._asked, samples, strict=False):
            lane.tell(sample)


class _Lane:
    def __init__(self, candidates: Sequence[Candidate], most: int, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
        self._study = optuna.create_study(direction="minimize", sampler=sampler)
        self._left = {_key(candidate.choice): candidate for candidate in candidates}
        self._most = most
        self._trials: dict[str, optuna.Trial] = {}
        self._values = _values(candidates)

    def ask(self, batch: int) -> Iterator[Candidate]:
        """The next candidates, each once."""
        for _ in range(min(batch, self._most, len(self._left))):
            self._most -= 1
            yield self._next()

    def tell(self, sample: Sample) -> None:
        from optuna.trial import TrialState

        trial = self._trials.pop(sample.candidate_hash)
        if sample.is_timed:
            self._study.tell(trial, math.log(sample.time_s))
        else:
            self._study.tell(trial, state=TrialState.FAIL)

    def _next(self) -> Candidate:
        from optuna.trial import TrialState

        for _ in range(TRIES):
            trial = self._study.ask()
            key = self._point(trial)
            if key in self._left:
                break
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            key = next(iter(self._left))
            trial = self._study.ask()
        candidate = self._left.pop(key)
        self._trials[candidate.hash] = trial
        return candidate

    def _point(self, trial: optuna.Trial) -> tuple[Value, ...]:
        names = list(self._values)
        algorithm = names[trial.suggest_categorical("algorithm", tuple(range(len(names))))]
        places = (
            values[trial.suggest_int(f"{algorithm}.{place}", 0, len(values) - 1)]
            for place, values in enumerate(self._values[algorithm])
        )
        return (algorithm, *places)


def _lanes(layer: LayerSearch, settings: SearchSettings) -> Iterator[_Lane]:
    unknown = layer.unmeasured
    for threads in sorted({threads_of(candidate) for candidate in unknown}):
        own = [candidate for candidate in unknown if threads_of(candidate) == threads]
        yield _Lane(own, layer.settings.layer_budget, settings.seed)


def _key(choice: Choice) -> tuple[Value, ...]:
    """The algorithm, then everything that its candidates may differ in."""
    axes = (value for _, value in (*choice.split, *choice.tile))
    return (choice.algorithm, *axes, " ".join(choice.input_layouts), " ".join(choice.output_layouts))


def _values(candidates: Sequence[Candidate]) -> dict[str, list[list[Value]]]:
    """For each algorithm the values of each place of a key that some candidate has."""
    found: dict[str, list[dict[Value, None]]] = {}
    for candidate in candidates:
        algorithm, *places = _key(candidate.choice)
        seen = found.setdefault(str(algorithm), [{} for _ in places])
        for values, value in zip(seen, places, strict=True):
            values[value] = None
    return {algorithm: [list(values) for values in places] for algorithm, places in found.items()}
