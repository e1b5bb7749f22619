"""Streams of frames: a camera in simulated time, and boards that run them."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.bundle import compile_bundle
from microbench.boards.camera import replayed
from microbench.boards.host import HostBoard
from microbench.boards.null import NullBoard
from microbench.boards.virtual import COMPUTED_FRAMES, VirtualBoard
from microbench.errors import BoardError
from microbench.options import BoardOptions
from microbench.profile import load_profile
from microbench.streams import StreamedFrame, StreamRequest, StreamRun, frames_of_runs, stream_on
from tests.codegen.plan_run import layered_plan
from tests.codegen.planned import plan_of, small_network
from tests.codegen.test_qpu_images import batch_network
from tests.microbench.test_virtual_board import PROFILE, on_qpus, small_graph


def test_a_camera_that_is_too_fast_loses_frames() -> None:
    """Frames every second that take two and a half, with room for two: by hand."""
    frames, dropped = replayed([(0.5, 2.0)], StreamRequest(1.0, frames=8, capacity=2, deadline_s=4.0))
    assert frames == (
        StreamedFrame(0.0, 0.0, 2.5, 0.5, 2.0, False),
        StreamedFrame(1.0, 2.5, 5.0, 0.5, 2.0, False),
        StreamedFrame(3.0, 5.0, 7.5, 0.5, 2.0, True),
        StreamedFrame(5.0, 7.5, 10.0, 0.5, 2.0, True),
    )
    assert dropped == 4


def test_without_a_rate_the_queue_is_never_empty_and_nothing_is_dropped() -> None:
    frames, dropped = replayed([(1.0, 0.0), (3.0, 0.0)], StreamRequest(None, frames=5, capacity=2))
    assert [(frame.due_s, frame.started_s, frame.ended_s) for frame in frames] == [
        (0.0, 0.0, 1.0),
        (0.0, 1.0, 4.0),
        (1.0, 4.0, 5.0),
        (4.0, 5.0, 8.0),
        (5.0, 8.0, 9.0),
    ]
    assert dropped == 0


@given(
    services=st.lists(st.floats(1e-3, 0.2), min_size=1, max_size=5),
    fps=st.floats(1.0, 100.0),
    count=st.integers(1, 60),
    capacity=st.integers(1, 6),
)
def test_no_frame_is_lost_and_the_queue_never_holds_too_many(
    services: list[float], fps: float, count: int, capacity: int
) -> None:
    request = StreamRequest(fps, frames=count, capacity=capacity)
    frames, dropped = replayed([(service, 0.0) for service in services], request)
    assert len(frames) + dropped == count
    assert all(frame.due_s <= frame.started_s < frame.ended_s for frame in frames)
    assert all(one.ended_s <= other.started_s for one, other in pairwise(frames))
    for number, frame in enumerate(frames):
        assert sum(other.ended_s > frame.due_s for other in frames[:number]) < capacity


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fps": 0.0}, "0 frames a second"),
        ({"frames": 0}, "0 frames are out"),
        ({"capacity": 65}, "a queue for 65"),
        ({"deadline_s": 0.0}, "a deadline of 0"),
        ({"computed": 0}, "at least one"),
        ({"batch": 0}, "batch of 0"),
        ({"batch": 7}, "300 frames are no multiple of a batch of 7"),
    ],
)
def test_requests_out_of_range_are_refused(changes: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(StreamRequest(30.0), **changes)


def test_frames_of_a_batch_wait_for_its_last_and_share_its_run() -> None:
    """Two frames a run, one every second, of runs that take a second on the CPU and two on the QPUs: by hand."""
    request = StreamRequest(1.0, frames=6, capacity=1, deadline_s=3.5, computed=3, batch=2)
    assert request.of_runs() == StreamRequest(0.5, frames=3, capacity=1, computed=2)
    frames, dropped = replayed([(1.0, 2.0)], request.of_runs())
    runs = StreamRun(request.of_runs(), "simulated", frames, dropped, 2, frames[-1].ended_s, 2.0)
    found = frames_of_runs(runs, request)
    assert found.frames == (
        StreamedFrame(-1.0, 0.0, 3.0, 0.5, 1.0, True),
        StreamedFrame(0.0, 0.0, 3.0, 0.5, 1.0, False),
        StreamedFrame(3.0, 4.0, 7.0, 0.5, 1.0, True),
        StreamedFrame(4.0, 4.0, 7.0, 0.5, 1.0, False),
    )
    assert (found.dropped, found.computed, found.elapsed_s, found.cpu_s) == (2, 4, 8.0, 2.0)


def test_a_batch_is_launched_once(tmp_path: Path) -> None:
    """A batch's frames are one run of the bundle, whose batch it has to be."""
    graph = batch_network()
    plan = layered_plan(graph, {"grouped": "qpu_grouped", "total": "qpu_map", "flat": "cpu_reshape"})
    compile_bundle(graph, plan, PROFILE.target(), tmp_path)
    with VirtualBoard(PROFILE) as board:
        runs = stream_on(board, tmp_path, StreamRequest(None, frames=5))
        found = stream_on(board, tmp_path, StreamRequest(None, frames=10, batch=2))
        with pytest.raises(
            BoardError, match="not 4 frames one behind the other: compile it with --shape NAME=4"
        ):
            stream_on(board, tmp_path, StreamRequest(None, frames=8, batch=4))
    assert (len(found.frames), found.computed, found.dropped) == (10, 2 * COMPUTED_FRAMES, 0)
    assert (found.elapsed_s, found.cpu_s) == pytest.approx((runs.elapsed_s, runs.cpu_s))
    assert found.beside_s == 0.0


def test_the_host_runs_frames_by_its_clock(tmp_path: Path) -> None:
    graph = small_network()
    with HostBoard.open(load_profile("host"), BoardOptions()) as board:
        compile_bundle(graph, plan_of(graph), board.target, tmp_path)
        run = stream_on(board, tmp_path, StreamRequest(None, frames=60, direct=True))
        paced = stream_on(board, tmp_path, StreamRequest(1000.0, frames=40, capacity=8, deadline_s=1e-6))
    assert (run.kind, run.dropped, run.computed, len(run.frames)) == ("host", 0, 60, 60)
    assert run.direct_s is not None and run.direct_s > 0.0 and run.cpu_s > 0.0
    assert all(frame.called_s > 0.0 and frame.launched_s == 0.0 for frame in run.frames)
    assert len(paced.frames) + paced.dropped == 40 and paced.direct_s is None
    assert all(frame.is_late for frame in paced.frames)


def test_the_virtual_board_s_frames_have_the_times_of_its_runs(tmp_path: Path) -> None:
    graph = small_graph()
    compile_bundle(graph, on_qpus(graph), PROFILE.target(), tmp_path)
    with VirtualBoard(PROFILE) as board:
        alone = board.run_bundle(tmp_path, (np.ones((1, 3, 9, 9), dtype=np.float32),))
        run = stream_on(board, tmp_path, StreamRequest(None, frames=50))
        paced = stream_on(board, tmp_path, StreamRequest(0.9 / alone.time_s, frames=20, computed=2))
    assert (run.kind, run.computed, len(run.frames), run.dropped) == ("simulated", COMPUTED_FRAMES, 50, 0)
    assert run.elapsed_s == pytest.approx(50 * alone.time_s, rel=0.02)
    assert run.cpu_s == pytest.approx(50 * alone.cpu_time_s)
    assert (paced.computed, len(paced.frames), paced.dropped) == (2, 20, 0)
    assert all(frame.latency_s == pytest.approx(alone.time_s, rel=0.02) for frame in paced.frames)


def test_boards_that_have_no_streams_say_so(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="the null board runs no streams"):
        stream_on(NullBoard(load_profile("host")), tmp_path, StreamRequest(30.0))
