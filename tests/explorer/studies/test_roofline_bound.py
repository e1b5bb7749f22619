"""Times beside the roofline's bound."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cost_models.roofline import RooflineModel
from explorer.studies.roofline_bound import bound_kept, bound_sentence
from microbench.profile import load_profile
from tests.cost_models.samples import observations

PROFILE = load_profile("pi-zero")
ROOFLINE = RooflineModel(PROFILE)
BOUNDED = [(one, ROOFLINE.terms(one.candidate, one.work).bound_s) for one in observations(20)]


def test_times_at_or_beyond_the_bound_keep_it() -> None:
    found = bound_kept([replace(one, time_s=1.25 * bound_s) for one, bound_s in BOUNDED], PROFILE)
    assert (found.samples, found.less) == (20, 0)
    assert found.least == pytest.approx(1.25)
    assert found.sentence.startswith("None of the 20 candidates take")
    assert "1.250 times" in found.sentence


def test_a_time_below_the_bound_is_counted() -> None:
    times = [
        replace(one, time_s=(0.9 if n == 7 else 1.0) * bound_s) for n, (one, bound_s) in enumerate(BOUNDED)
    ]
    found = bound_kept(times, PROFILE)
    assert found.less == 1
    assert (
        found.sentence
        == "1 of 20 candidates take less than the roofline's bound; the least takes 0.900 times it."
    )


def test_a_profile_without_constants_has_no_bound() -> None:
    every = [one for one, _ in BOUNDED]
    assert bound_sentence(every, PROFILE) == bound_kept(every, PROFILE).sentence
    assert "no bound there" in bound_sentence(every, load_profile("host"))
