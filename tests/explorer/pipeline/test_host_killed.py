"""The host is killed in the middle of a search on a board: its samples stay, its runner ends, the run goes on."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.explorer.tiny import write_tiny_model
from tests.microbench.loopback_sshd import LoopbackServer, home_directory, sshd

__all__ = ["home_directory", "sshd"]

pytestmark = pytest.mark.usefixtures("home_directory")

PATIENCE_S = 90.0


def command(server: LoopbackServer, directory: Path) -> list[str]:
    words = [sys.executable, "-c", "from explorer.cli import main; main()", "run", "--device", "pi-zero"]
    words += [
        "--ssh",
        f"{server.user}@127.0.0.1:{server.port}",
        "--ssh-key",
        str(server.directory / "user_key"),
    ]
    words += ["--known-hosts", str(server.known_hosts), "--layer-budget", "2"]
    words += ["--model", str(write_tiny_model(directory / "tiny.onnx"))]
    return [*words, "--store", str(directory / "samples.sqlite"), "--out", str(directory / "out")]


def samples(directory: Path) -> set[int]:
    """Row numbers of what is on disk; none before the store is made."""
    with (
        contextlib.suppress(sqlite3.OperationalError),
        contextlib.closing(
            sqlite3.connect(f"file:{directory / 'samples.sqlite'}?mode=ro", uri=True)
        ) as store,
    ):
        return {row for (row,) in store.execute("SELECT rowid FROM samples")}
    return set()


def runners_of(host_pid: int) -> list[str]:
    """Command lines of the runners that serve a process of this machine."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if any(f" process {host_pid} " in word for word in words[:4]):
                found.append(" ".join(words))
    return found


def test_a_killed_host_loses_no_sample_and_leaves_no_runner(sshd: LoopbackServer, tmp_path: Path) -> None:
    with subprocess.Popen(command(sshd, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as host:
        until_s = time.monotonic() + PATIENCE_S
        while len(samples(tmp_path)) < 3 and host.poll() is None and time.monotonic() < until_s:
            time.sleep(0.02)
        assert host.poll() is None, host.stderr.read().decode() if host.stderr else ""
        assert runners_of(host.pid)
        host.kill()
    kept = samples(tmp_path)
    assert len(kept) >= 3
    while runners_of(host.pid) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not runners_of(host.pid)
    again = subprocess.run(command(sshd, tmp_path), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "out" / "plan.json").is_file()
    assert kept < samples(tmp_path)
