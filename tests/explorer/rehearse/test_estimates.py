"""What is expected in the network: what was seen, and corrected times where nothing was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from codegen.graph import LayerSpec
from explorer.compose.timed_candidates import TimedCandidate, TimedCandidates
from explorer.rehearse.estimates import Estimates
from microbench.store import Sample
from tests.explorer.networks import graph_of, timed
from tests.microbench.measured import FINGERPRINT, work

GRAPH = graph_of([(0,), (1,)], [2])
ONE, OTHER = (LayerSpec.of(GRAPH, node) for node in GRAPH.nodes)


def way(spec: LayerSpec, tag: int, time_s: float) -> TimedCandidate:
    return timed(spec, "cpu", ("nchw",), "nchw", time_s, tag)


A, B, C = way(ONE, 1, 1e-3), way(ONE, 2, 2e-3), way(OTHER, 1, 10e-3)
ALONE: TimedCandidates = {ONE: (A, B), OTHER: (C,)}


def seen(of: TimedCandidate, *times_s: float, number: int = 7) -> Sample:
    return Sample(
        of.candidate, FINGERPRINT, "host", "ok", times_s, work(), id=number, role="rehearsal", context="x"
    )


def times(estimates: Estimates) -> list[float]:
    return [way.time_s for ways in estimates.timed_candidates().values() for way in ways]


def test_without_rehearsals_options_are_as_they_were() -> None:
    assert Estimates(ALONE).timed_candidates() == ALONE


def test_a_seen_time_counts_and_corrects_its_layer_first() -> None:
    estimates = Estimates(ALONE)
    estimates.take([seen(A, 1.4e-3, 1.5e-3, 9e-3), seen(C, 11e-3)])
    assert times(estimates) == pytest.approx([1.5e-3, 3e-3, 11e-3])
    assert estimates.tried == {A.candidate, C.candidate}


def test_a_layer_of_which_nothing_was_seen_is_corrected_as_is_usual() -> None:
    estimates = Estimates(ALONE)
    estimates.take([seen(A, 1.5e-3)])
    assert times(estimates) == pytest.approx([1.5e-3, 3e-3, 15e-3])


def test_the_newest_sample_stands_for_a_seen_time() -> None:
    estimates = Estimates(ALONE)
    estimates.take([seen(A, 1e-3, number=11)])
    estimates.take([seen(A, 1e-3, number=12)])
    (a, b), _ = estimates.timed_candidates().values()
    assert (a.sample_id, b.sample_id) == (12, B.sample_id)


def test_a_slow_hour_is_taken_out_of_a_round() -> None:
    estimates = Estimates(ALONE)
    estimates.take([seen(A, 1e-3), seen(C, 10e-3)])
    estimates.take([seen(A, 2e-3), seen(C, 20e-3), seen(B, 3e-3)])
    assert times(estimates) == pytest.approx([1e-3, 1.5e-3, 10e-3])


@pytest.mark.parametrize("status", ["failed", "wrong"])
def test_what_went_wrong_was_tried_but_not_seen(status: str) -> None:
    estimates = Estimates(ALONE)
    estimates.take([replace(seen(A, 5e-3), status=status)])  # type: ignore[arg-type]
    assert times(estimates) == pytest.approx([1e-3, 2e-3, 10e-3])
    assert estimates.tried == {A.candidate}
