"""A board from a package outside the tree: found by its entry point, opened by a profile, with options and a series."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from microbench.board import Board
from microbench.errors import BoardError
from microbench.options import BoardOptions, own_options
from microbench.profile import load_profile
from microbench.store import Store
from tests.explorer.tiny import write_tiny_model
from tests.microbench.board_conformance import BoardConformance
from tests.microbench.measured import cpu_job
from tests.plugins.board_adb.board_adb import AdbBoard, AdbOptions, power_series
from tests.plugins.installed import PLUGINS, explore_with, install

FAKE_PHONE = PLUGINS / "fake_phone"
SERIAL = "R58M123"
PROFILE = """\
name = "phone"
title = "A phone"
board = "adb"
cpu = "native"
cores = 1
compiler_target = ""
compiler_flags = ["-O2"]

[board_options]
serial = "{serial}"
directory = "{directory}"
power = "{power}"
"""


@pytest.fixture
def power(tmp_path: Path) -> Path:
    path = tmp_path / "power_now"
    path.write_text("2500000\n")
    return path


@pytest.fixture
def profile(tmp_path: Path, power: Path) -> Path:
    path = tmp_path / "phone.toml"
    path.write_text(PROFILE.format(serial=SERIAL, directory=tmp_path / "on the phone", power=power))
    return path


class TestAdbBoard(BoardConformance):
    kinds = frozenset({"silicon"})
    computes = frozenset({"cpu"})

    @pytest.fixture
    def board(self, profile: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
        monkeypatch.setenv("PATH", f"{FAKE_PHONE}{os.pathsep}{os.environ['PATH']}")
        loaded = load_profile(str(profile))
        own = own_options("adb", AdbOptions, loaded.board_options)
        with AdbBoard.open(loaded, BoardOptions(own=own)) as board:
            yield board

    def test_measurements_carry_what_the_phone_draws(self, board: Board, power: Path) -> None:
        (series,) = board.measure(cpu_job()).series
        assert (series.name, series.unit, set(series.values)) == ("power", "W", {2.5})
        assert len(series.times_s) == len(series.values)
        power.unlink()
        assert board.measure(cpu_job()).series == ()

    def test_another_phone_is_not_there(self, board: Board) -> None:
        own = AdbOptions(serial="another")
        with pytest.raises(BoardError, match=r"another.*not found.*adb devices"):
            AdbBoard.open(board.profile, BoardOptions(own=own))


def test_readings_become_watts_from_the_start() -> None:
    (series,) = power_series(b"12.50 2500000\n12.75 3000000\n")
    assert (series.values, series.times_s) == ((2.5, 3.0), (0.0, 0.25))


def run(site: Path, tmp_path: Path, profile: Path, *more: str) -> tuple[int, str, str]:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    places = ("--store", tmp_path / "samples.sqlite", "--out", tmp_path / "out")
    words: tuple[str | Path, ...] = (
        "run",
        "--device",
        profile,
        "--model",
        model,
        "--layer-budget",
        "1",
        "--rehearsals",
        "0",
        *places,
        *more,
    )
    ended = explore_with(site, *words, cwd=tmp_path, path=FAKE_PHONE)
    return ended.returncode, ended.stdout, ended.stderr


def test_a_run_on_a_plug_in_s_board_leaves_samples_with_power(tmp_path: Path, profile: Path) -> None:
    site = install("board_adb", tmp_path / "site")
    code, output, errors = run(site, tmp_path, profile)
    assert code == 0, errors
    assert output.startswith("A phone: Pixel of a test (")
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["check"]["kind"] == "silicon"
    with Store.open(tmp_path / "samples.sqlite") as store:
        samples = list(store.samples())
    assert samples and all(sample.kind == "silicon" for sample in samples)
    assert {(s.name, s.unit, s.mean) for sample in samples for s in sample.series} == {("power", "W", 2.5)}
    assert all(sample.series for sample in samples if sample.status == "ok")
    listed = explore_with(
        site, "samples", "list", "--series", "--store", tmp_path / "samples.sqlite", cwd=tmp_path
    )
    assert "power 2.5 W" in listed.stdout


def test_the_board_s_own_options_are_given_on_the_command_line_too(tmp_path: Path, profile: Path) -> None:
    site = install("board_adb", tmp_path / "site")
    code, _, errors = run(site, tmp_path, profile, "--board-option", "serial=R59")
    assert code == 2 and "BoardError" in errors and "'R59' not found" in errors
    code, _, errors = run(site, tmp_path, profile, "--board-option", "colour=red")
    assert code == 2 and "BoardOptionError" in errors and "serial (str, required)" in errors


def test_without_the_package_the_profile_s_board_is_unknown(tmp_path: Path, profile: Path) -> None:
    code, _, errors = run(tmp_path / "nothing", tmp_path, profile)
    assert code == 2 and "unknown board 'adb'" in errors and "virtual" in errors
