"""Interrupts that come while Python calls what nobody waits for: the end of an object, a weak reference's callback."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

AGAIN_S = 0.01  # after which such a call has ended


@contextmanager
def no_interrupt_lost() -> Iterator[None]:
    """Python prints what is raised there and goes on; an interrupt comes again a moment later instead."""
    before = sys.unraisablehook
    due: list[threading.Timer] = []

    def again(unraisable: UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            before(unraisable)
            return
        # To the main thread itself: it may sleep.
        main = threading.main_thread().ident
        timer = threading.Timer(AGAIN_S, signal.pthread_kill, (main, signal.SIGINT))
        timer.daemon = True
        due.append(timer)
        timer.start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in due:
            timer.cancel()
