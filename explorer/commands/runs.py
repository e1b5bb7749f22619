"""`explore runs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.terminal.exits import reported
from explorer.terminal.json_output import json_option


def runs(
    directory: Annotated[
        Path | None, typer.Argument(help="directory of runs (default results/runs)", metavar="DIR")
    ] = None,
    as_json: Annotated[
        bool,
        json_option(
            "a list of run, model, device, board, time_s, kinds, noise_floor, speedup, largest_error, note"
        ),
    ] = False,
) -> None:
    """List runs: model, device, board, time and what it is, speed-up, error."""
    from explorer.runs.data import open_runs
    from explorer.runs.listing import runs_json, runs_sheet
    from explorer.settings import RUNS
    from explorer.terminal.console import say_next, stdout
    from explorer.terminal.json_output import print_json

    with reported():
        place = directory or RUNS
        found = open_runs(place)
        if as_json:
            print_json(runs_json(found))
            return
        console = stdout()
        if found:
            runs_sheet(found).show(console)
            say_next(console, "explore report RUN, explore compare RUN OTHER, or explore infer RUN")
        else:
            console.print(f"{place} holds no run", markup=False)
            say_next(console, "explore run --model MODEL --device DEVICE")
