"""The third axis of extension: a cost model predicts times and is refitted from samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from codegen.schedule import Candidate, Work
from microbench.profile import DeviceProfile


@dataclass(frozen=True)
class Prediction:
    """Predicted time with the interval that should hold it eight times out of ten; never below 0."""

    time_s: float
    low_s: float
    high_s: float


@dataclass(frozen=True)
class Observation:
    """One measured candidate, as a model sees it. `profile`: of the board it was measured on, None: the model's own."""

    candidate: Candidate
    work: Work
    time_s: float
    profile: DeviceProfile | None = None


class CostModel(Protocol):
    """Predicts the time of candidates on one board. `fit` is deterministic and forgets earlier fits.

    `own` are observations of that board that are to be explained, `prior` what other networks and boards taught: a
    model that learns may use it, and intervals and `unseen` are of the own alone.
    """

    name: str

    def fit(self, own: Sequence[Observation], prior: Sequence[Observation] = ()) -> None: ...

    def predict(self, candidates: Sequence[tuple[Candidate, Work]]) -> tuple[Prediction, ...]: ...

    def unseen(self) -> tuple[Prediction, ...]:
        """Each of the last fit's own observations, in their order, predicted without any of the same layer.

        What errors are honestly computed from; a by-product of `fit`, not another one.
        """
        ...

    def to_text(self) -> str:
        """The learned state as text, stable byte for byte for equal observations."""
        ...

    def load_text(self, text: str) -> None:
        """Restores what `to_text` wrote; raises CostModelError on anything else."""
        ...
