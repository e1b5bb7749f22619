"""A run over SSH from the command line: a link that breaks, and names that a shell would take for commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from codegen.engines.cpu.toolchain import compiler_identity
from microbench.devices_file import add_board, new_board
from microbench.runner.build import build_runner
from tests.explorer.command_line import explore, program, refused
from tests.explorer.tiny import write_tiny_model
from tests.microbench.link_proxy import LinkProxy
from tests.microbench.loopback_sshd import LoopbackServer, home_directory, sshd

__all__ = ["home_directory", "sshd"]

pytestmark = pytest.mark.usefixtures("home_directory")


@pytest.fixture
def proxy(sshd: LoopbackServer) -> Iterator[LinkProxy]:
    with LinkProxy(sshd.port) as proxy:
        yield proxy


@pytest.fixture
def devices(sshd: LoopbackServer, proxy: LinkProxy, tmp_path: Path) -> Path:
    """A file with one board, `shelf`: this machine, through the proxy."""
    path = tmp_path / "devices.toml"
    known = sshd.known_hosts_for(proxy.port, tmp_path / "known")
    board = new_board(
        profile="host", host="127.0.0.1", port=proxy.port, user=sshd.user,
        key=str(sshd.directory / "user_key"), known_hosts=str(known),
    )  # fmt: skip
    add_board(path, "shelf", board)
    return path


def run_words(devices: Path, model: Path, out: Path) -> tuple[str | Path, ...]:
    place = ("--store", devices.parent / "samples.sqlite", f"--out={out}")
    board = ("--device", "shelf", "--devices", devices, "--board", "ssh")
    return ("run", *board, "--layer-budget", "3", f"--model={model}", *place)


def test_a_link_that_is_made_anew_is_told_and_ends_no_run(
    proxy: LinkProxy, devices: Path, tmp_path: Path
) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    runner = build_runner("none", f"runner built by {compiler_identity('')}")
    proxy.after(runner.stat().st_size + 150_000, "reset")  # amid the programs that follow the runner
    done = program(*run_words(devices, model, tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert proxy.connections == 2
    place = f"127.0.0.1:{proxy.port}"
    first, second = [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    assert "connecting again for up to" in first and place in first and "broke" in first
    assert second.endswith(f"{place}: connected again")
    assert "0 failed, 0 wrong" in done.stdout


HOSTILE = "-x; touch pwned $(touch pwned) `touch pwned` ' \" \n touch pwned"


@pytest.mark.slow
def test_names_of_networks_files_and_directories_reach_no_shell(
    devices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    model = onnx.load(write_tiny_model(tmp_path / "tiny.onnx"))
    model.graph.name = HOSTILE
    onnx.save(model, f"{HOSTILE}.onnx")
    done = program(*run_words(devices, Path(f"{HOSTILE}.onnx"), Path(HOSTILE)))
    assert done.returncode == 0, done.stderr
    assert "0 failed, 0 wrong" in done.stdout
    assert (work / HOSTILE / "plan.json").is_file()
    assert not list(tmp_path.rglob("pwned"))
    assert not (Path.home() / "pwned").exists()


@pytest.mark.parametrize("place", ["$(touch pwned)@127.0.0.1 -x", "-x -y@127.0.0.1", "pi@", "a\nb@127.0.0.1"])
def test_a_place_that_is_none_is_refused(tmp_path: Path, place: str) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    words = ("run", "--device", "host", "--model", model, f"--out={tmp_path / 'out'}", f"--ssh={place}")
    refused(explore(*words, "--board", "ssh"), "--ssh")
