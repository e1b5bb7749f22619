"""The third axis of extension: a cost model predicts times and is refitted from samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from codegen.schedule import Candidate, Work


@dataclass(frozen=True)
class Prediction:
    """Predicted time with the interval that should hold it nine times out of ten; never below 0."""

    time_s: float
    low_s: float
    high_s: float


@dataclass(frozen=True)
class Observation:
    """One measured candidate, as a model sees it."""

    candidate: Candidate
    work: Work
    time_s: float


class CostModel(Protocol):
    """Predicts the time of candidates on one board. `fit` is deterministic and forgets earlier fits."""

    name: str

    def fit(self, observations: Sequence[Observation]) -> None: ...

    def predict(self, candidates: Sequence[tuple[Candidate, Work]]) -> tuple[Prediction, ...]: ...

    def to_text(self) -> str:
        """The learned state as text, stable byte for byte for equal observations."""
        ...

    def load_text(self, text: str) -> None:
        """Restores what `to_text` wrote; raises CostModelError on anything else."""
        ...
