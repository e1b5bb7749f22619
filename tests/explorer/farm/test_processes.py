"""A farm of processes, from the command line: its boards take what a run asks for, and it ends without a trace."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from explorer.farm.place import Place
from explorer.farm.processes import JOINED, REFUSED, BoardToOpen, Event, FarmProcesses
from microbench.store import Store
from tests.explorer.command_line import explore, refused
from tests.explorer.tiny import write_tiny_model


@pytest.fixture(scope="module")
def farm() -> Iterator[tuple[FarmProcesses, str]]:
    heard: list[Event] = []
    with FarmProcesses() as processes:
        listening = processes.start_scheduler(Place("tcp://127.0.0.1:0"))
        boards = [BoardToOpen(name, "pi-zero", "null") for name in ("one", "two")]
        boards.append(BoardToOpen("three", "pi-zero", "no-such-board"))
        assert processes.start_boards(Place(listening.name), boards, heard.append) == 2
        assert sorted((event.name, event.what) for event in heard) == [
            ("one", JOINED),
            ("three", REFUSED),
            ("two", JOINED),
        ]
        yield processes, listening.name
        pids = processes.pids
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_everything_listens_on_loopback_alone(farm: tuple[FarmProcesses, str]) -> None:
    listening = [
        one.laddr.ip
        for pid in farm[0].pids
        for one in psutil.Process(pid).net_connections("inet")
        if one.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 4  # a scheduler and two workers, and what they show
    assert set(listening) == {"127.0.0.1"}


def test_a_run_on_a_farm_finds_the_plan_of_a_run_alone(
    farm: tuple[FarmProcesses, str], tmp_path: Path
) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    ways = {"farm": ("--farm", farm[1]), "alone": ("--board", "null")}
    few = ("--layer-budget", "3", "--budget", "60")
    for name, way in ways.items():
        samples = tmp_path / f"{name}.sqlite"
        ran = explore("run", "--model", model, *way, *few, "--store", samples, "--out", tmp_path / name)
        assert ran.exit_code == 0, ran.output
    plans = [json.loads((tmp_path / name / "plan.json").read_text()) for name in ways]
    assert plans[0]["predicted_s"] == pytest.approx(plans[1]["predicted_s"])
    with Store.open(tmp_path / "farm.sqlite") as store:
        hashes = [sample.candidate_hash for sample in store.samples()]
    assert len(set(hashes)) == len(hashes) > 50
    assert "--farm" in json.loads((tmp_path / "farm" / "run.json").read_text())["command"]


def test_a_profile_that_no_board_has_is_refused(farm: tuple[FarmProcesses, str], tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    ran = explore(
        "run", "--device", "pi-3", "--model", model, "--farm", farm[1], "--store", tmp_path / "s.sqlite"
    )
    refused(ran, "FarmError", "no board that is a board of pi-3", "explore farm join")


def test_a_port_that_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        refused(
            explore("farm", "up", "pi-zero", "--board", "null", "--listen", address), "no farm can listen"
        )


@pytest.mark.parametrize(
    "words, message",
    [
        (("up", "pi-zero", "--listen", "tcp://0.0.0.0:8786"), "can run code"),
        (("up", "--devices", "none.toml"), "none.toml"),
        (("up", "pi-zero", "pi-zero"), "named twice"),
        (("join", "tcp://127.0.0.1:9", "pi-zero"), "no farm answers"),
    ],
)
def test_what_makes_no_farm_is_refused(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("explorer.farm.pool.CONNECT_S", 0.5)
    refused(explore("farm", *words), message)


def test_options_that_a_farm_has_no_use_for_are_refused() -> None:
    refused(
        explore("run", "--farm", "tcp://127.0.0.1:1", "--probes", "3"), "--probes does not go with --farm"
    )
    refused(explore("run", "--farm-tls", "keys"), "--farm-tls says nothing")
