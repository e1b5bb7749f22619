"""One board as a learned model sees it: what is expected of candidates, and their columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.algorithm import algorithms
from codegen.schedule import Candidate, Phase, Work
from cost_models.features import FeatureSet, Matrix, SeenCandidate
from cost_models.machine import Machine
from cost_models.roofline import RooflineModel
from microbench.profile import DeviceProfile


class BoardView:
    """Everything is worked out once for a candidate and its work: a search asks again and again."""

    def __init__(self, profile: DeviceProfile) -> None:
        self._roofline = RooflineModel(profile)
        self._machine = Machine.of(profile)
        self._target = profile.target()
        self._places: dict[str, int] = {}  # by the candidate's hash; what follows is by place
        self._works: list[Work] = []
        self._seen: list[SeenCandidate] = []
        self._features = FeatureSet((), ())
        self._matrix = self._features.matrix(())

    def places(self, candidates: Sequence[tuple[Candidate, Work]]) -> list[int]:
        """What the others know each by; raises CostModelError for an engine that the board lacks."""
        return [self._place(candidate, work) for candidate, work in candidates]

    def expected_s(self, place: int) -> float:
        """What it takes as far as constants say."""
        return self._seen[place].expected_s

    def serial_s(self, place: int) -> float:
        """See `SeenCandidate`."""
        return self._seen[place].serial_s

    def numbers(self, place: int) -> tuple[float, ...]:
        """All that it knows of a candidate without names."""
        return self._seen[place].numbers

    def matrix(self, features: FeatureSet, places: Sequence[int]) -> Matrix:
        """Their columns, (places, columns)."""
        if features != self._features:
            self._features, self._matrix = features, features.matrix(())
        if len(self._matrix) < len(self._seen):
            new = features.matrix(self._seen[len(self._matrix) :])
            self._matrix = np.concatenate([self._matrix, new])
        return self._matrix[places]

    def _place(self, candidate: Candidate, work: Work) -> int:
        place = self._places.get(candidate.hash)
        if place is None or (self._works[place] is not work and self._works[place] != work):
            terms = self._roofline.terms(candidate, work)
            phases = self._phases(candidate)
            place = self._places[candidate.hash] = len(self._works)
            self._works.append(work)
            self._seen.append(SeenCandidate.of(candidate, work, terms, self._machine, phases))
        return place

    def _phases(self, candidate: Candidate) -> tuple[Phase, ...]:
        """Of an algorithm that is not installed here, only the work that somebody counted is known."""
        algorithm = algorithms().get(candidate.choice.algorithm)
        return algorithm.phases(candidate.spec, self._target, candidate.choice) if algorithm else ()
