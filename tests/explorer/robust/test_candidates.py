from __future__ import annotations

from dataclasses import replace

from codegen.graph import LayerSpec
from codegen.schedule import Work
from explorer.compose.timed_candidates import TimedCandidates
from explorer.robust.candidates import WITHIN, common, contenders, timed_anew, with_samples
from microbench.board import Fingerprint
from microbench.store import Sample
from microbench.store.sample import Status
from tests.explorer.networks import graph_of, timed

GRAPH = graph_of([(0,)], [1])
SPEC = LayerSpec.of(GRAPH, GRAPH.nodes[0])
FAST, NEAR, FAR = (
    timed(SPEC, "cpu", ("nchw",), "nchw", time_s, tag) for tag, time_s in enumerate((2.0, 2.9, 3.1))
)
OTHER = timed(SPEC, "cpu", ("pixel16",), "nchw", 9.0)
TABLE: TimedCandidates = {SPEC: (FAST, NEAR, FAR, OTHER)}


def sample(status: Status, time_s: float) -> Sample:
    """Of the candidate NEAR."""
    board = Fingerprint("virtual", "hash", 250e6, "simulator")
    return Sample(NEAR.candidate, board, "simulated", status, (time_s,), Work(macs=1.0))


def test_what_is_far_behind_its_interface_is_not_timed_again() -> None:
    assert FAR.time_s > WITHIN * FAST.time_s
    assert contenders(TABLE) == {SPEC: (FAST, NEAR, OTHER)}


def test_modelled_times_are_no_others_under_another_profile() -> None:
    simulated = replace(NEAR, kind="simulated")
    assert timed_anew({SPEC: (FAST, simulated, simulated)}) == (NEAR.candidate,)


def test_samples_change_times_and_leave_out_what_does_not_work() -> None:
    assert with_samples(TABLE, [sample("ok", 1.5)]) == {SPEC: (FAST, replace(NEAR, time_s=1.5), FAR, OTHER)}
    assert with_samples(TABLE, [sample("wrong", 1.5)]) == {SPEC: (FAST, FAR, OTHER)}


def test_what_does_not_work_under_one_profile_is_no_choice_under_any() -> None:
    assert common([TABLE, {SPEC: (NEAR, FAR)}]) == ({SPEC: (NEAR, FAR)}, {SPEC: (NEAR, FAR)})
