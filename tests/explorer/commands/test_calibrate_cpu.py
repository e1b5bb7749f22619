"""`explore calibrate --cpu` over SSH: the runner on this machine, behind a real OpenSSH server, measures its CPU."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from microbench.calibration.measurements import MOST_LAUNCHES
from microbench.calibration.profile_file import write_profile
from microbench.cpu_suite import measure
from microbench.cpu_suite.constants import SOURCE
from microbench.cpu_suite.measure import PEAK
from microbench.cpu_suite.suite import cpu_suite
from microbench.options import SshOptions
from microbench.profile import load_profile
from tests.explorer.command_line import explore, refused
from tests.microbench.link_proxy import LinkProxy
from tests.microbench.loopback_sshd import LoopbackServer, sshd

__all__ = ["sshd"]

BOARD = """
[boards.shed]
profile = "{place}/mine.toml"
host = "127.0.0.1"
port = {port}
user = "{user}"
key = "{keys}/user_key"
known_hosts = "{place}/known_hosts"
directory = "{place}/there"
"""
CORES = 2
MEASURED_BEFORE = 5  # the board went away
MEASURED = ("clock_hz", "mac_cycles", "alu_cycles", "load_cycles", "store_cycles", "call_s", "thread_sync_s")


class Board(LinkProxy):
    """The way to a board that may go away."""

    def leave(self) -> None:
        self.refuse()
        self.cut()


@pytest.fixture
def board(sshd: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """A board of two cores, named `shed`; its benchmarks are short."""
    monkeypatch.setattr(measure, "SECONDS", 0.001)
    monkeypatch.setattr("microbench.devices.SshOptions", partial(SshOptions, reconnect_s=1.0))
    write_profile(load_profile("host").model_copy(update={"cores": CORES}), tmp_path / "mine.toml")
    with Board(sshd.port) as proxy:
        sshd.known_hosts_for(proxy.port, tmp_path / "known_hosts")
        text = BOARD.format(port=proxy.port, user=sshd.user, keys=sshd.directory, place=tmp_path)
        (tmp_path / "devices.toml").write_text(text)
        yield proxy


def calibrated(place: Path) -> Result:
    where = ("--devices", place / "devices.toml", "--out", place / "fitted.toml")
    return explore("calibrate", "--cpu", "--device", "shed", *where, "--measurements", place / "kept.jsonl")


def kept(place: Path) -> list[str]:
    """Names of what was measured, without the circumstances."""
    lines = (place / "kept.jsonl").read_text().splitlines()
    return [json.loads(line)["name"] for line in lines[1:]]


def test_the_cpu_behind_the_connection_gives_its_constants(board: Board, tmp_path: Path) -> None:
    result = calibrated(tmp_path)
    assert result.exit_code == 0, result.output
    assert kept(tmp_path) == [*(benchmark.name for benchmark in cpu_suite(CORES)), PEAK]
    fitted = load_profile(str(tmp_path / "fitted.toml"))
    assert fitted.name == "shed-calibrated"
    constants = {**fitted.cpu_costs, **fitted.threads}
    for name in MEASURED:
        assert constants[name].value > 0
        assert constants[name].source == f"{SOURCE} shed by explore calibrate"
    assert fitted.threads["spin_s"] == load_profile("host").threads["spin_s"]
    content = (tmp_path / "kept.jsonl").read_bytes()
    again = calibrated(tmp_path)
    assert again.exit_code == 0, again.output
    assert (tmp_path / "kept.jsonl").read_bytes() == content
    assert load_profile(str(tmp_path / "fitted.toml")) == fitted


def test_a_board_that_goes_away_loses_nothing(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers, seconds = count(), measure._seconds

    def leaving(*arguments: Any) -> float:
        if next(numbers) == MEASURED_BEFORE:
            board.leave()
        return seconds(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(measure, "_seconds", leaving)
        refused(calibrated(tmp_path), "CalibrationInterruptedError", "kept.jsonl", "goes on from there")
    assert not (tmp_path / "fitted.toml").exists()
    content, names = (tmp_path / "kept.jsonl").read_bytes(), kept(tmp_path)
    assert len(names) == MEASURED_BEFORE
    board.admit()
    result = calibrated(tmp_path)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "kept.jsonl").read_bytes().startswith(content)
    assert len(kept(tmp_path)) == len(cpu_suite(CORES)) + 1


@pytest.mark.parametrize("cores", [1, 2, 64])
def test_no_kernel_is_run_more_often_than_a_family_may_be(cores: int) -> None:
    assert max(Counter(benchmark.kernel for benchmark in cpu_suite(cores)).values()) <= MOST_LAUNCHES
