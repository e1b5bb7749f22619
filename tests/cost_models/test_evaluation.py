from __future__ import annotations

import pytest

from cost_models.evaluation import Judged, cross_predict, scores, within
from cost_models.model import Observation, Prediction
from cost_models.residual import ResidualModel
from cost_models.roofline import RooflineModel
from microbench.profile import load_profile
from tests.cost_models.samples import candidate, observations, work

PROFILE = load_profile("pi-zero")


def judged(channels: int, tile: int, time_s: float, predicted_s: float, half: float = 0.0) -> Judged:
    observation = Observation(candidate(channels, tile), work(channels, tile), time_s)
    return Judged(observation, Prediction(predicted_s, predicted_s - half, predicted_s + half))


def test_scores_are_of_layers_not_of_all_together() -> None:
    """Two layers of very different times, each in the wrong order: together they would seem well ranked."""
    rows = [judged(16, t, 1.0 + t, 10.0 - t) for t in (1, 2, 4)]
    rows += [judged(64, t, 100.0 + t, 200.0 - t) for t in (1, 2, 4)]
    found = scores(rows)
    assert found is not None
    assert (found.samples, found.layers) == (6, 2)
    assert found.rank == pytest.approx(-1.0)
    assert found.top_regret == pytest.approx((5.0 / 2.0 - 1 + 104.0 / 101.0 - 1) / 2)


def test_intervals_are_judged_by_what_they_hold_and_how_wide_they_are() -> None:
    rows = [
        judged(16, t, 10.0, 10.0 + offset, half=1.0)
        for t, offset in ((1, 0.0), (2, 0.5), (4, 2.0), (8, -3.0))
    ]
    found = scores(rows)
    assert found is not None
    assert found.coverage == 0.5
    assert found.width == pytest.approx(0.2)
    assert found.p90_error > found.median_error == pytest.approx(0.125)


def test_nothing_has_no_scores() -> None:
    assert scores([]) is None


def test_candidates_near_the_best_of_their_own_layer() -> None:
    rows = [
        judged(16, 1, 1.0, 1.0),
        judged(16, 2, 3.1, 3.0),
        judged(64, 1, 50.0, 50.0),
        judged(64, 2, 149.0, 9.0),
    ]
    assert [one.observation.time_s for one in within(rows, 3.0)] == [1.0, 50.0, 149.0]


def test_a_model_has_not_seen_the_group_that_it_predicts() -> None:
    """Whatever the times of one group are, predictions for it stay the same; those for others change."""
    seen = observations(60)
    groups = [o.candidate.spec.canonical for o in seen]
    changed = [
        Observation(o.candidate, o.work, 9 * o.time_s) if group == groups[0] else o
        for o, group in zip(seen, groups, strict=True)
    ]
    first, second = (
        cross_predict(lambda: ResidualModel(PROFILE), list(zip(rows, groups, strict=True)))
        for rows in (seen, changed)
    )
    same = [a.prediction == b.prediction for a, b in zip(first, second, strict=True)]
    assert all(one for one, group in zip(same, groups, strict=True) if group == groups[0])
    assert not all(same)


def test_any_model_is_judged() -> None:
    rows = [(o, str(i)) for i, o in enumerate(observations(20))]
    found = scores(cross_predict(lambda: RooflineModel(PROFILE), rows))
    assert found is not None
    assert found.samples == 20


def test_models_learn_from_other_samples_but_not_of_the_group() -> None:
    """Of one layer there are samples to learn from, of the others none: only predictions of the others change."""
    rows = [(o, o.candidate.spec.canonical) for o in observations(60)]
    only = [(o, name) for o, name in rows if name == rows[0][1]]
    judged = cross_predict(lambda: ResidualModel(PROFILE), rows, only)
    bare = ResidualModel(PROFILE)
    same = [
        one.prediction.time_s == bare.predict([(o.candidate, o.work)])[0].time_s
        for one, (o, _) in zip(judged, rows, strict=True)
    ]
    assert all(one for one, (_, name) in zip(same, rows, strict=True) if name == rows[0][1])
    assert not all(same)
