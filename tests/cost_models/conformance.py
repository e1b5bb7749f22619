"""What every cost model must do; an implementation's test supplies one fixture, `make_model`."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from cost_models.errors import CostModelError
from cost_models.model import CostModel, Observation
from tests.cost_models.samples import observations

Factory = Callable[[], CostModel]


class CostModelConformance:
    """Subclass it and give a fixture `make_model` that returns a factory of fresh, unfitted models."""

    def test_it_has_a_name(self, make_model: Factory) -> None:
        assert make_model().name

    def test_nothing_is_predicted_for_nothing(self, make_model: Factory) -> None:
        assert make_model().predict([]) == ()

    @pytest.mark.parametrize("count", [0, 1, 4, 60])
    def test_predictions_are_ordered_positive_intervals(self, make_model: Factory, count: int) -> None:
        model = make_model()
        model.fit(observations(count))
        pairs = [(o.candidate, o.work) for o in observations(80)]
        predictions = model.predict(pairs)
        assert len(predictions) == len(pairs)
        for prediction in predictions:
            assert 0 < prediction.low_s <= prediction.time_s <= prediction.high_s
            assert math.isfinite(prediction.high_s)

    def test_one_by_one_is_the_same_as_together(self, make_model: Factory) -> None:
        model = make_model()
        model.fit(observations(60))
        pairs = [(o.candidate, o.work) for o in observations(70)]
        assert model.predict(pairs) == tuple(model.predict([pair])[0] for pair in pairs)

    @pytest.mark.parametrize("count", [0, 3, 60])
    def test_text_round_trips(self, make_model: Factory, count: int) -> None:
        model, other = make_model(), make_model()
        model.fit(observations(count))
        other.load_text(model.to_text())
        pairs = [(o.candidate, o.work) for o in observations(70)]
        assert other.to_text() == model.to_text()
        assert other.predict(pairs) == model.predict(pairs)

    def test_fit_is_deterministic_and_blind_to_order(self, make_model: Factory) -> None:
        model, other = make_model(), make_model()
        model.fit(observations(60))
        other.fit(tuple(reversed(observations(60))))
        assert model.to_text() == other.to_text()

    def test_fit_forgets_what_it_learned_before(self, make_model: Factory) -> None:
        model, other = make_model(), make_model()
        model.fit([Observation(o.candidate, o.work, o.time_s * 7) for o in observations(60)])
        model.fit(observations(40))
        other.fit(observations(40))
        assert model.to_text() == other.to_text()

    @pytest.mark.parametrize("count", [0, 1, 4, 12, 60])
    def test_every_own_observation_has_its_unseen_prediction(self, make_model: Factory, count: int) -> None:
        model, other = make_model(), make_model()
        model.fit(observations(count), observations(80)[60:])
        other.fit(tuple(reversed(observations(count))), observations(80)[60:])
        predictions = model.unseen()
        assert len(predictions) == count
        assert all(0 < p.low_s <= p.time_s <= p.high_s < math.inf for p in predictions)
        assert other.unseen() == tuple(reversed(predictions))

    @pytest.mark.parametrize("text", ["", "{}", "null", "[1, 2", '{"model": "another"}'])
    def test_it_refuses_text_that_is_not_its_own(self, make_model: Factory, text: str) -> None:
        with pytest.raises(CostModelError):
            make_model().load_text(text)
