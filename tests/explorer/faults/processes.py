"""Processes that are killed, and one too many."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

from tests.explorer.faults.fault import PlainFault
from tests.explorer.faults.rig import ENVIRONMENT, LIMIT_S, ROOT, Rig, SteppedRun
from tests.explorer.faults.steps import HELLO, WITH_RUNNER, Step

PATIENCE_S = 60.0


class RunnerKilled(PlainFault):
    """The runner on the board dies of SIGKILL: it frees nothing and says nothing."""

    name = "runner killed"
    steps = (HELLO, *WITH_RUNNER)

    def strike(self, rig: Rig, run: SteppedRun, step: Step) -> str:
        until_s = time.monotonic() + PATIENCE_S
        while rig.runner_pid is None and time.monotonic() < until_s:
            time.sleep(0.005)
        pid = rig.runner_pid
        if pid is None:
            raise RuntimeError("no runner holds the board")
        os.kill(pid, signal.SIGKILL)
        return "go"


class HostKilled(PlainFault):
    """The host dies of SIGKILL, and its user gives the same command again."""

    name = "host killed"

    def strike(self, rig: Rig, run: SteppedRun, step: Step) -> str:
        run.process.kill()
        run.process.wait(PATIENCE_S)
        return "go"


class TwoHosts(PlainFault):
    """A second host wants the board; its run has a store of its own and waits for nothing."""

    name = "two hosts on one board"

    def __init__(self) -> None:
        self._seconds: dict[Path, subprocess.Popen[str]] = {}

    def strike(self, rig: Rig, run: SteppedRun, step: Step) -> str:
        """The second has either been refused or taken the board when the first goes on."""
        second = subprocess.Popen(
            rig.command("-", rig.server.port, rig.place / "second.sqlite", rig.place / "second-out"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=ENVIRONMENT,
        )
        self._seconds[rig.place] = second
        until_s = time.monotonic() + PATIENCE_S
        while (
            second.poll() is None
            and not _has_samples(rig.place / "second.sqlite")
            and time.monotonic() < until_s
        ):
            time.sleep(0.05)
        return "go"

    def mend(self, rig: Rig) -> None:
        """The first waits for the second."""
        self._seconds[rig.place].wait(LIMIT_S)

    def seen(self, rig: Rig) -> str:
        second = self._seconds[rig.place]
        _, said = second.communicate(timeout=LIMIT_S)
        ended = "ended well" if second.returncode == 0 else f"ended with code {second.returncode}"
        return f"the second host {ended}" + (f": {said}" if said.strip() else "")


def _has_samples(path: Path) -> bool:
    with (
        contextlib.suppress(sqlite3.OperationalError),
        contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store,
    ):
        return bool(store.execute("SELECT 1 FROM samples LIMIT 1").fetchone())
    return False


PROCESS_FAULTS = (RunnerKilled(), HostKilled(), TwoHosts())
