"""A board on loopback of one trial: a link that can fail, a directory on the board, a store, and runs of `explore`."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from microbench.store import Store
from tests.microbench.link_proxy import LinkProxy
from tests.microbench.loopback_sshd import LoopbackServer

LIMIT_S = 600.0  # of one run, whatever happens to it
ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "COLUMNS": "200"}


@dataclass(frozen=True)
class Event:
    """What a run told: `form` is `step` where it waits for an answer; `at_s` is the machine's monotonic clock."""

    form: str
    what: str
    count: int
    detail: str
    at_s: float


@dataclass
class Rig:
    """Places of one trial; `device` is what is measured, `machine` what its system shows of it."""

    place: Path
    server: LoopbackServer
    proxy: LinkProxy
    model: Path
    device: str = "host"
    machine: Path | None = None

    @property
    def board(self) -> Path:
        """The runner's directory."""
        return self.place / "board"

    @property
    def store(self) -> Path:
        return self.place / "samples.sqlite"

    @property
    def runner_pid(self) -> int | None:
        """The process that holds the board, None where there is none."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int((self.board / "lock").read_text().split()[0])
        return None

    def command(self, address: str, port: int, store: Path, out: Path) -> list[str]:
        """`explore run` on this board as a program that tells `address` what it does."""
        known = self.server.known_hosts_for(port, self.place / f"known-{port}")
        words = [
            "run",
            "--device",
            self.device,
            "--ssh",
            f"{self.server.user}@127.0.0.1:{port}",
            "--layer-budget",
            "2",
        ]
        words += ["--ssh-key", str(self.server.directory / "user_key"), "--known-hosts", str(known)]
        words += ["--model", str(self.model), "--store", str(store), "--out", str(out)]
        program = (sys.executable, "-m", "tests.explorer.faults.stepped_host")
        return [*program, address, str(self.board), str(self.machine or "-"), *words]

    def start(self) -> SteppedRun:
        """The run, through the link."""
        return SteppedRun(self)

    def stored(self) -> list[tuple[int, str, str]]:
        """Number, candidate and status of every sample of a kernel; raises StoreError where any one is damaged."""
        if not self.store.exists():
            return []
        with Store.open(self.store) as store:
            found = [sample for sample in store.samples() if sample.role != "rehearsal"]
        return [(sample.id, sample.candidate_hash, sample.status) for sample in found]

    def complaints(self) -> list[str]:
        """The messages of samples that are not ok."""
        with Store.open(self.store) as store:
            return [f"{one.status}: {one.message}" for one in store.samples() if one.status != "ok"]


@dataclass
class SteppedRun:
    """One `explore run` in a process of its own, which waits at each step."""

    rig: Rig
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        number = len(list(self.rig.place.glob("run-*.txt"))) // 2
        self._out = self.rig.place / f"run-{number}-out.txt"
        self._err = self.rig.place / f"run-{number}-err.txt"
        address = str(self.rig.place / f"talk-{number}")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen()
        command = self.rig.command(address, self.rig.proxy.port, self.rig.store, self.rig.place / "out")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=ROOT, env=ENVIRONMENT
            )

    def follow(self) -> Iterator[Event]:
        """Every event until the process ends; at a step the caller must `answer`."""
        self._listener.settimeout(LIMIT_S)
        talk, _ = self._listener.accept()
        self._talk = talk
        talk.settimeout(LIMIT_S)
        with contextlib.suppress(ConnectionError), talk, talk.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                self.events.append(Event(**json.loads(line)))
                yield self.events[-1]
        self._listener.close()
        self.process.wait(LIMIT_S)

    def answer(self, text: str = "go") -> None:
        """Lets it go on, unless it is gone."""
        with contextlib.suppress(OSError):
            self._talk.sendall(f"{text}\n".encode())

    @property
    def said(self) -> str:
        """What it printed on stderr."""
        return self._err.read_text(errors="replace")

    @property
    def printed(self) -> str:
        """What it printed on stdout."""
        return self._out.read_text(errors="replace")
