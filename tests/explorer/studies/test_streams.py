"""Streams as studied: tables of what was measured, and two networks in one queue."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from codegen.bundle import compile_bundle
from codegen.frame_queue import FrameQueue
from codegen.loaded import load_bundle
from explorer.stream.summary import summary_of
from explorer.studies.shared_queue import (
    BLOCK,
    Contender,
    Shared,
    Urgent,
    contender,
    priority_table,
    share_queue,
    shared_table,
    try_priority,
)
from explorer.studies.streams import (
    Streamed,
    camera_request,
    camera_table,
    stream_network,
    throughput_table,
)
from microbench.boards.host import HostBoard
from microbench.errors import CandidateError
from microbench.options import BoardOptions
from microbench.profile import load_profile
from microbench.streams import StreamedFrame, StreamRequest, StreamRun
from tests.codegen.planned import HOST, branched_network, plan_of, small_network


def run_of(
    request: StreamRequest,
    dropped: int = 0,
    direct_s: float | None = None,
    beside_s: float | None = None,
) -> StreamRun:
    frames = tuple(StreamedFrame(n, n, n + 0.5, 0.1, 0.4, False) for n in range(request.frames - dropped))
    return StreamRun(request, "simulated", frames, dropped, len(frames), 10.0, 0.2, direct_s, beside_s)


def test_the_throughput_table_has_ratios_and_the_lost() -> None:
    one = Streamed("a", summary_of(run_of(StreamRequest(None, 20), direct_s=9.0), "board"), (1e-6, 2e-6))
    others = [
        Streamed(
            "b", summary_of(run_of(StreamRequest(None, 20, batch=batch), beside_s=0.04), "virtual"), None
        )
        for batch in (1, 4)
    ]
    table = throughput_table([one, *others], {("b", 1): 0.4, ("b", 4): 0.25})
    assert table.rows[0][3:10] == ("1", "20", "0", "20", "2.00", "2.22", "0.900")
    assert table.rows[0][10:] == ("1 us / 2 us", "2.00%", "-")
    assert table.rows[1][7:] == ("2.00", "2.50", "0.800", "-", "2.00%", "0.50%")
    assert (table.rows[2][3], table.rows[2][8]) == ("4", "4.00")


def test_the_camera_s_table_has_dropped_frames_and_latencies() -> None:
    request = camera_request(25.0, 20)
    assert request.deadline_s == 0.08
    table = camera_table([Streamed("a", summary_of(run_of(request, dropped=4), "board"), None)])
    assert table.rows[0][3:6] == ("1", "25", "20")
    assert table.rows[0][6:] == ("4", "0", "500 ms", "500 ms", "500 ms", "500 ms", "2.0%", "-")
    assert camera_request(25.0, 20, batch=5).deadline_s == 0.4


def test_hand_overs_are_between_a_frame_and_one_that_waited(tmp_path: Path) -> None:
    graph = small_network()
    compile_bundle(graph, plan_of(graph), HOST, tmp_path)
    with HostBoard.open(load_profile("host"), BoardOptions()) as board:
        found = stream_network(board, "small", tmp_path, StreamRequest(None, frames=30))
        paced = stream_network(board, "small", tmp_path, StreamRequest(500.0, frames=5))
    assert found.handovers_s is not None and 0.0 < found.handovers_s[0] <= found.handovers_s[1]
    assert paced.handovers_s is None


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Contender, Contender]]:
    for graph in (small_network(), branched_network()):
        compile_bundle(graph, plan_of(graph), HOST, tmp_path / graph.name)
    with (
        load_bundle(tmp_path / "small net", HOST) as one,
        load_bundle(tmp_path / "branches", HOST) as other,
    ):
        yield contender("one", one, 1), contender("other", other, 2)


def test_two_networks_share_a_queue(pair: tuple[Contender, Contender]) -> None:
    with FrameQueue(8) as queue:
        shared = share_queue(pair, queue, turns=2)
        assert (shared.frames, len(shared.queued_s), queue.counts().ended) == (4 * BLOCK, 2, 4 * BLOCK)
        urgent = try_priority(pair[0], pair[1], queue, priority=1, frames=5, deadline_s=1e-9)
        assert (len(urgent.latencies_s), urgent.late) == (5, 5)
        wrong = dataclasses.replace(pair[0], expected={name: v + 1 for name, v in pair[0].expected.items()})
        with pytest.raises(CandidateError, match="one: a frame in a queue has other outputs"):
            share_queue((wrong, pair[1]), queue, turns=1)


def test_tables_of_two_networks() -> None:
    (row,) = shared_table([Shared(("a", "b"), 80, (2.0, 4.0), (1.0, 4.0))]).rows
    assert row == ("a and b", "80", "13.33", "16.00", "0.750")
    table = priority_table([Urgent("a", 1, (1e-3, 3e-3, 2e-3), 0.01, 0)], "b")
    assert table.rows == (("a", "1", "3", "2 ms", "3 ms", "10 ms", "0"),)
    assert "b, of priority 0" in table.notes[0]
