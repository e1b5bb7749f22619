"""Lets a run be watched while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from explorer.live.journal import Journal
from explorer.live.server import LiveServer
from explorer.live.tail import Tail
from explorer.settings import RunSettings
from explorer.terminal.progress import Progress


@contextmanager
def watchable(
    settings: RunSettings, progress: Progress, announce: Callable[[str], None]
) -> Iterator[Progress]:
    """The progress of a run, which leaves a journal meanwhile; where the settings ask for it, the page is served too,
    and its address announced.
    """
    with ExitStack() as served:

        def begun(directory: Path) -> None:
            if settings.live:
                tail = served.enter_context(Tail(directory))
                announce(told(served.enter_context(LiveServer(tail))))

        about = {"model": settings.model_name, "device": settings.device}
        with Journal(progress, about, begun) as journal:
            yield journal


def told(server: LiveServer) -> str:
    """Where the page is."""
    return f"live: {server.address} (for this machine alone, until the run ends)"
