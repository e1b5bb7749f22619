"""One launch in a thread of its own, and how a GPU is made idle."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from microbench.virtual.library import Library

_POLL_S = 0.05


class GpuLaunch:
    """One execution in a thread of its own, so that Ctrl-C and the wall-clock limit reach the waiting one.

    The thread holds `busy` while it uses the GPU. Whatever interrupts the waiting, and whenever, the thread has
    let go of the GPU, or will not touch it, before `run` is left; a second interrupt is left to `close`.
    """

    def __init__(
        self,
        library: Library,
        handle: int,
        busy: threading.Lock,
        arguments: tuple[int, int, int, float, int],
    ) -> None:
        self._library, self._handle, self._busy, self._arguments = library, handle, busy, arguments
        self._ended = threading.Event()
        self._abandoned = False
        self._result: Any = None

    def run(self, wall_limit_s: float) -> Any:
        """The result structure."""
        deadline = time.monotonic() + wall_limit_s
        try:
            threading.Thread(target=self._work, name="virtual-v3d", daemon=True).start()
            while not self._ended.wait(_POLL_S):
                if time.monotonic() > deadline:
                    self._library.cancel(self._handle)
        except BaseException:
            self._abandoned = True
            with idle(self._library, self._handle, self._busy):
                raise
        return self._result

    def _work(self) -> None:
        try:
            with self._busy:
                if not self._abandoned:
                    self._result = self._library.execute(self._handle, *self._arguments)
        finally:
            self._ended.set()


@contextmanager
def idle(library: Library, handle: int, busy: threading.Lock) -> Iterator[None]:
    """Cancels what the GPU executes until it is idle, and keeps it so."""
    while not busy.acquire(timeout=_POLL_S):
        library.cancel(handle)
    try:
        yield
    finally:
        busy.release()
