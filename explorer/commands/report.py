"""`explore report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.terminal.exits import reported


def report(
    run: Annotated[Path, typer.Argument(help="directory of a run", metavar="RUN")],
) -> None:
    """Write a report of a run: an executed notebook, an HTML page and figures (needs the extra `report`)."""
    from explorer.report.document import write_report
    from explorer.terminal.console import say_next, stdout

    with reported():
        console = stdout()
        for kind, path in write_report(run).items():
            console.print(f"{kind}: {path}", markup=False)
        say_next(console, "open the page in a browser; the notebook goes on from its tables")
