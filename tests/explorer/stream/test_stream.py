"""`--stream`: what is typed, what a stream comes to, and the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from explorer.errors import UsageError
from explorer.stream.options import parse_stream
from explorer.stream.summary import summary_of
from microbench.streams import StreamedFrame, StreamRequest, StreamRun
from tests.explorer.command_line import explore, refused
from tests.explorer.infer.test_infer import finished as finished


@pytest.mark.parametrize(
    ("rate", "fps"), [("30fps", 30.0), ("12.5", 12.5), ("29.97 fps", 29.97), ("max", None)]
)
def test_rates_are_read(rate: str, fps: float | None) -> None:
    assert parse_stream(rate, 10, 3, "50ms") == StreamRequest(fps, 10, 3, 0.05)
    assert parse_stream(rate, deadline="0.5 s").deadline_s == 0.5
    assert parse_stream(rate, batch=7) == StreamRequest(fps, 301, batch=7)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("fast",), "a rate is 30fps"),
        (("-1fps",), "a rate is 30fps"),
        (("0",), "out of range"),
        (("30", 0), "0 frames"),
        (("30", 5, 2, "50"), "a time is 50ms"),
        (("30", 5, 2, None, 2), "no multiple of a batch of 2"),
        (("30", None, 2, None, 0), "batch of 0"),
    ],
)
def test_what_is_no_rate_is_refused(words: tuple, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_stream(*words)


def test_a_stream_comes_to_shares_and_percentiles() -> None:
    frames = tuple(
        StreamedFrame(number, number, number + (number + 1) / 100, 0.01, 0.03, number >= 90)
        for number in range(100)
    )
    run = StreamRun(StreamRequest(1.0, frames=104), "silicon", frames, 4, 100, 100.0, 5.0, 50.0)
    found = summary_of(run, "a board")
    assert (found.ended, found.dropped, found.late, found.fps, found.direct_fps) == (100, 4, 10, 1.0, 2.0)
    assert found.latencies_s == pytest.approx({"p50": 0.5, "p95": 0.95, "p99": 0.99, "p100": 1.0})
    assert (found.cpu_share, found.called_share) == pytest.approx((0.05, 0.25))


def test_infer_streams_on_the_virtual_board_and_on_the_host(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    model, run = finished
    result = explore("infer", run, "--stream", "max", "--frames", "7", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["kind"] in ("simulated", "modelled")
    assert (told["ended"], told["dropped"], told["computed"]) == (7, 0, 3)
    assert json.loads((run / "stream.json").read_text(encoding="utf-8")) == told
    fast = explore("infer", run, "--stream", "100000fps", "--frames", "50", "--queue", "1")
    assert fast.exit_code == 0 and "dropped" in fast.stdout and "3 frames computed" in fast.stdout
    own = (
        "--device",
        "host",
        "--store",
        tmp_path / "s.sqlite",
        "--out",
        tmp_path / "run",
        "--rehearsals",
        "0",
    )
    result = explore("run", model, *own, "--layer-budget", "1", "--stream", "max")
    assert result.exit_code == 0, result.output
    assert "latency, median" in result.stdout
    assert json.loads((tmp_path / "run" / "stream.json").read_text(encoding="utf-8"))["kind"] == "host"


def test_what_a_stream_does_not_take_is_refused(finished: tuple[Path, Path]) -> None:
    _, run = finished
    refused(explore("infer", run, "--stream", "30", "--image", "cat.png"), "leave --image and --input out")
    refused(explore("infer", run, "--stream", "often"), "a rate is 30fps")
    refused(explore("infer", run, "--stream", "max", "--batch", "9"), "not 9 frames one behind the other")
    refused(explore("run", "--batch", "9"), "--batch is of the frames of --stream")
