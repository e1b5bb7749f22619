"""What a board takes of the twin's times, told for all candidates from the few that it was asked of.

The logarithms of these shares are taken as jointly normal: all have something in common, so have candidates that keep
the same units of the board busy for like shares of their time, and those of one algorithm or one layer; the rest is a
candidate's own. Far from what was measured the twin's time stands (Gaussian process regression: Rasmussen and Williams,
Gaussian Processes for Machine Learning, chapter 2).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from math import log

import numpy as np
from numpy.typing import NDArray

from codegen.schedule import Candidate
from cost_models.roofline import RooflineModel
from microbench.store import Sample

# Standard deviations of the logarithm, before anything is known.
OF_ALL = 0.3
OF_TERMS = 0.3
OF_AN_ALGORITHM = 0.05
OF_A_LAYER = 0.05
OWN = 0.02
NOISE = 0.003  # of what a board measures

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Correction:
    """Candidates that take time on a twin, and what a board took of that for some of them.

    `terms`: a row a sample, the share of its time that each unit is busy by the roofline. `algorithms`, `layers`: equal
    where those of the samples are. `shares`: the board's time as a share of the twin's, by the sample's place.
    """

    samples: Sequence[Sample]
    terms: Floats
    algorithms: Numbers
    layers: Numbers
    shares: Mapping[int, float] = field(default_factory=dict)

    @staticmethod
    def of(samples: Sequence[Sample], roofline: RooflineModel) -> Correction:
        """Nothing is measured yet. `samples` have times; `roofline` is of the twin's profile."""
        busy = [astuple(roofline.terms(sample.candidate, sample.work)) for sample in samples]
        times_s = np.array([sample.time_s for sample in samples], np.float64)
        return Correction(
            samples,
            np.array(busy, np.float64) / times_s[:, None],
            _numbered(sample.candidate.choice.algorithm for sample in samples),
            _numbered(sample.candidate.spec for sample in samples),
        )

    def knowing(self, measured: Mapping[Candidate, float]) -> Correction:
        """With the seconds that the board took for some of the candidates."""
        shares = {
            self.places[candidate]: time_s / self.samples[self.places[candidate]].time_s
            for candidate, time_s in measured.items()
            if candidate in self.places
        }
        return replace(self, shares=shares)

    @cached_property
    def places(self) -> Mapping[Candidate, int]:
        """Where each candidate is."""
        return {sample.candidate: place for place, sample in enumerate(self.samples)}

    def factors(self) -> Mapping[Candidate, float]:
        """What to multiply the twin's time of each candidate with, the median of what is thought of it."""
        if not self.shares:
            return dict.fromkeys(self.places, 1.0)
        logarithms = np.array([log(share) for share in self.shares.values()])
        factors = np.exp(self._weights.T @ logarithms)
        return {candidate: float(factors[place]) for candidate, place in self.places.items()}

    def uncertainty(self, place: int) -> float:
        """The standard deviation of a factor's logarithm."""
        return float(np.sqrt(self._left([place])[0, 0]))

    def spread(self, one: int, other: int) -> float:
        """The standard deviation of the logarithm of two factors' ratio."""
        covariance = self._left([one, other])
        variance = covariance[0, 0] + covariance[1, 1] - covariance[0, 1] - covariance[1, 0]
        return float(np.sqrt(max(variance, 0.0)))

    def _left(self, places: Sequence[int]) -> Floats:
        """The covariance of logarithms that measurements leave."""
        covariance = self._covariance(places, places)
        if self.shares:
            covariance -= self._covariance(places, list(self.shares)) @ self._weights[:, places]
        return covariance

    @cached_property
    def _weights(self) -> Floats:
        """Of each measurement in the mean of each candidate, a column a candidate."""
        places = list(self.shares)
        among = self._covariance(places, places) + NOISE**2 * np.eye(len(places))
        across = self._covariance(places, range(len(self.samples)))
        return np.asarray(np.linalg.solve(among, across), np.float64)

    def _covariance(self, some: Sequence[int], others: Sequence[int]) -> Floats:
        rows, columns = np.array(some, np.intp), np.array(others, np.intp)
        alike: Floats = OF_ALL**2 + OF_TERMS**2 * self.terms[rows] @ self.terms[columns].T
        for deviation, groups in (
            (OF_AN_ALGORITHM, self.algorithms),
            (OF_A_LAYER, self.layers),
            (OWN, np.arange(len(self.samples))),
        ):
            alike += deviation**2 * (groups[rows][:, None] == groups[columns])
        return alike


def _numbered(names: Iterable[Hashable]) -> Numbers:
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.intp)
