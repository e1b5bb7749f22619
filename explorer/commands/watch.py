"""`explore watch`: a run that goes on, as a page on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.terminal.exits import reported

LOOK_S = 0.5


def watch(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="directory of results of an `explore run` that goes on")
    ],
) -> None:
    """Show a run that goes on as a page for this machine's browser: what is measured and why, the best plan so far."""
    import time

    from explorer.live.server import LiveServer
    from explorer.live.tail import Tail
    from explorer.live.watching import told
    from explorer.terminal.console import say_next, stdout

    with reported():
        console = stdout()
        with Tail(run) as tail, LiveServer(tail) as server:
            console.print(told(server), markup=False, soft_wrap=True)
            while not (ended := server.ended()):
                time.sleep(LOOK_S)
        console.print(f"the run has ended: {ended}", markup=False)
        if ended == "finished":
            say_next(console, f"explore report {run}")
