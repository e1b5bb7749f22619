"""Programs that this one starts: none outlives it, and an interrupt from the terminal reaches this one only."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType


class _Children:
    """What is running now. Threads that wait for a child may be daemons, which get no chance to end it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ending = self._registered = False

    def start(self, arguments: Sequence[str], directory: Path | None, stdout: int) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._ending:
                raise InterruptedError(errno.EINTR, "this program is ending", arguments[0])
            if (
                not self._registered
            ):  # not sooner: what is registered last runs first, before directories are cleared
                self._registered = True
                atexit.register(self.end)
            process = subprocess.Popen(
                arguments,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                process_group=0,
            )
            self._running.add(process)
            return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """With whatever it has started itself, where it has not ended; it has gone when this returns."""
        with self._lock:
            _kill_group(process)
            self._running.discard(process)
        process.wait()

    def end(self) -> None:
        with self._lock:
            self._ending = True
            for process in self._running:
                _kill_group(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


_CHILDREN = _Children()


@contextmanager
def started(
    arguments: Sequence[str | Path], directory: Path | None = None, stdout: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """A child with no input, its complaints on a pipe; killed with its own children when the block is left early.

    Raises OSError where it cannot be started.
    """
    with ExitStack() as ending:
        with _interrupts_held():
            process = ending.enter_context(
                _CHILDREN.start([str(argument) for argument in arguments], directory, stdout)
            )
            ending.callback(_CHILDREN.kill, process)
        yield process


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """An interrupt that comes meanwhile is raised behind the block: a child may run before its `Popen` is known."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        before(*came[0])
