"""What a few measurements on a board say of all times of its twin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from codegen.schedule import Candidate
from cost_models.roofline import RooflineModel
from explorer.twin.correction import OF_ALL, Correction
from microbench.profile import load_profile
from microbench.store import Sample
from tests.explorer.twin.test_twin_search import searched

HOST = load_profile("host")
SAMPLES: Mapping[Candidate, Sample] = {s.candidate: s for s in searched().samples if s.is_timed}
NOTHING_KNOWN = Correction.of(tuple(SAMPLES.values()), RooflineModel(HOST))
FIRST, SECOND, *OTHERS = SAMPLES


def test_without_measurements_the_twins_times_stand() -> None:
    assert set(NOTHING_KNOWN.factors().values()) == {1.0}
    assert NOTHING_KNOWN.uncertainty(0) > OF_ALL


def test_what_was_measured_is_known_and_nearly_so_are_others_that_are_alike() -> None:
    known = NOTHING_KNOWN.knowing({FIRST: 2 * SAMPLES[FIRST].time_s, SECOND: 2 * SAMPLES[SECOND].time_s})
    factors = known.factors()
    assert factors[FIRST] == pytest.approx(2.0, rel=0.01)
    assert all(1.0 < factors[candidate] < 2.1 for candidate in OTHERS)
    for place in range(len(SAMPLES)):
        assert known.uncertainty(place) < NOTHING_KNOWN.uncertainty(place)
    assert known.uncertainty(0) < 0.01 < known.uncertainty(len(SAMPLES) - 1)


def test_a_share_is_shrunk_where_little_is_known() -> None:
    """One measurement that says nothing of how it comes about is not all that all others get."""
    alone = NOTHING_KNOWN.knowing({FIRST: 1.5 * SAMPLES[FIRST].time_s}).factors()
    unlike = [c for c in OTHERS if c.choice.algorithm != FIRST.choice.algorithm and c.spec != FIRST.spec]
    assert unlike
    assert all(1.0 < alone[candidate] < 1.5 for candidate in unlike)


def test_the_mean_is_that_of_the_joint_distribution() -> None:
    """Against Bayes' rule on two candidates, term by term."""
    pair = tuple(SAMPLES.values())[:2]
    prior = Correction.of(pair, RooflineModel(HOST))
    covariance = prior._covariance([0, 1], [0, 1])
    share = 1.7
    factors = prior.knowing({pair[0].candidate: share * pair[0].time_s}).factors()
    slope = covariance[0, 1] / (covariance[0, 0] + 0.003**2)
    assert factors[pair[1].candidate] == pytest.approx(share**slope)
    left = prior.knowing({pair[0].candidate: share * pair[0].time_s}).uncertainty(1)
    assert left == pytest.approx(math.sqrt(covariance[1, 1] - slope * covariance[0, 1]))


def test_what_takes_no_time_is_left_as_it_is() -> None:
    extra = replace(SAMPLES[FIRST], times_s=(1e-3,))
    known = NOTHING_KNOWN.knowing({extra.candidate: 1e-3, _stranger(): 0.0})
    assert np.isfinite(list(known.factors().values())).all()
    assert len(known.shares) == 1


def _stranger() -> Candidate:
    return replace(FIRST, choice=replace(FIRST.choice, algorithm="a view"))
