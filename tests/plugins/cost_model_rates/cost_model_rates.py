"""A cost model: the roofline times one factor for each algorithm, the median of what its candidates took."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median

from codegen.graph import LayerSpec
from codegen.schedule import Candidate, Work
from cost_models.errors import CostModelError
from cost_models.model import Observation, Prediction
from cost_models.roofline import RooflineModel
from microbench.profile import DeviceProfile

WIDTH = 2.0  # of the interval, either way


class RatesModel:
    """Algorithms that were not measured have the roofline's time."""

    name = "rates"

    def __init__(self, profile: DeviceProfile) -> None:
        self._roofline = RooflineModel(profile)
        self._factors: dict[str, float] = {}
        self._own: tuple[Observation, ...] = ()

    def fit(self, own: Sequence[Observation], prior: Sequence[Observation] = ()) -> None:
        """Of the board's own observations alone: factors of others are of other boards."""
        self._own = tuple(own)
        self._factors = self._fitted(without=None)

    def predict(self, candidates: Sequence[tuple[Candidate, Work]]) -> tuple[Prediction, ...]:
        return tuple(self._by(self._factors, candidate, work) for candidate, work in candidates)

    def unseen(self) -> tuple[Prediction, ...]:
        """By factors that were fitted without the layer."""
        layers = {o.candidate.spec for o in self._own}
        without = {layer: self._fitted(layer) for layer in layers}
        return tuple(self._by(without[o.candidate.spec], o.candidate, o.work) for o in self._own)

    def to_text(self) -> str:
        return json.dumps({self.name: self._factors}, sort_keys=True)

    def load_text(self, text: str) -> None:
        """Raises CostModelError for what `to_text` did not write."""
        try:
            factors = json.loads(text)[self.name]
            self._factors = {str(name): float(factor) for name, factor in factors.items()}
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise CostModelError(
                f"these are no factors by algorithm: {error}; fit the model again"
            ) from error

    def _fitted(self, without: LayerSpec | None) -> dict[str, float]:
        ratios: dict[str, list[float]] = {}
        for one in (one for one in self._own if one.candidate.spec != without):
            bound_s = self._roofline.predict([(one.candidate, one.work)])[0].time_s
            ratios.setdefault(one.candidate.choice.algorithm, []).append(one.time_s / bound_s)
        return {name: median(several) for name, several in ratios.items()}

    def _by(self, factors: dict[str, float], candidate: Candidate, work: Work) -> Prediction:
        bound_s = self._roofline.predict([(candidate, work)])[0].time_s
        time_s = bound_s * factors.get(candidate.choice.algorithm, 1.0)
        return Prediction(time_s, time_s / WIDTH, time_s * WIDTH)
