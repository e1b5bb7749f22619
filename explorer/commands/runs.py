"""`explore runs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.terminal.exits import reported


def runs(
    directory: Annotated[Path | None, typer.Argument(help="directory of runs (default results/runs)")] = None,
) -> None:
    """List runs: model, device, board, time and what it is, speed-up, error."""
    from explorer.runs.data import open_runs
    from explorer.runs.listing import runs_table
    from explorer.settings import RUNS
    from explorer.terminal.console import stdout

    with reported():
        place = directory or RUNS
        found = open_runs(place)
        if found:
            stdout().print(runs_table(found))
        else:
            stdout().print(f"{place} holds no run; `explore run` makes one", markup=False)
