from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from codegen.children import started

WAITING = ("sh", "-c", "sleep 600 & echo $!; wait")  # a child with a child of its own

INTERRUPTED = f"""
import threading
from codegen.children import started
def wait():
    with started({WAITING!r}) as child:
        print(child.pid, child.stdout.readline().decode().strip(), flush=True)
        child.wait()
threading.Thread(target=wait, daemon=True).start()
threading.Event().wait()
"""


def is_running(pid: int) -> bool:
    """Whether a process is there and is more than an entry that nobody has asked for yet."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def await_end(*pids: int) -> None:
    """Returns when all have ended; the time a kill takes is the kernel's."""
    for _ in range(6000):
        if not any(map(is_running, pids)):
            return
        time.sleep(0.01)
    pytest.fail(f"still running: {[pid for pid in pids if is_running(pid)]}")


def test_a_child_that_is_waited_for_ends_as_it_likes() -> None:
    with started(("sh", "-c", "echo out; echo wrong >&2; exit 3")) as child:
        assert child.communicate() == (b"out\n", b"wrong\n")
    assert child.returncode == 3


def test_a_block_that_is_left_early_kills_the_child_and_its_children() -> None:
    with pytest.raises(subprocess.TimeoutExpired), started(WAITING) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        child.wait(timeout=0.01)
    assert child.returncode == -signal.SIGKILL
    await_end(grandchild)


def test_a_program_that_is_missing_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), started((tmp_path / "none",)):
        raise AssertionError("nothing was started")


def test_an_interrupted_program_leaves_no_child_of_a_daemon_thread_behind() -> None:
    with subprocess.Popen(
        (sys.executable, "-c", INTERRUPTED), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as program:
        assert program.stdout is not None
        pids = [int(word) for word in program.stdout.readline().split()]
        program.send_signal(signal.SIGINT)
        program.wait(timeout=60)
    assert len(pids) == 2
    await_end(*pids)


def test_an_interrupt_from_the_terminal_does_not_reach_a_child() -> None:
    with started(WAITING) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        assert [os.getpgid(pid) for pid in (child.pid, grandchild)] == [child.pid, child.pid]
        assert os.getpgid(0) != child.pid


def test_an_interrupt_while_a_child_starts_leaves_no_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The child runs already when the interrupt comes, and its `Popen` is not known yet."""
    known: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            known.append(self)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt), started(["sleep", "60"]):
        pass
    assert [process.returncode for process in known] == [-signal.SIGKILL]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
