"""`explore compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.terminal.exits import reported
from explorer.terminal.json_output import json_option


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="a run, a plan.json, or a device that has a run")],
    second: Annotated[str, typer.Argument(metavar="B", help="the same, for the other side")],
    among: Annotated[
        Path | None,
        typer.Option("--runs", help="where the runs of devices are (default results/runs)", metavar="DIR"),
    ] = None,
    as_json: Annotated[
        bool,
        json_option(
            "first and second (run, model, device, time_s, kinds, peak_activation_bytes), ratio, in_the_run, layers "
            "(layer, first and second: algorithm, time_s, kind; differs), notes"
        ),
    ] = False,
) -> None:
    """Compare two runs, plans or devices, layer by layer."""
    from explorer.runs.compare import compare as compared
    from explorer.runs.compare import resolve_pair
    from explorer.runs.compare_table import comparison_json, comparison_lines, comparison_sheet
    from explorer.settings import RUNS
    from explorer.terminal.console import say_next, stdout
    from explorer.terminal.json_output import print_json

    with reported():
        comparison = compared(*resolve_pair(first, second, among or RUNS))
        if as_json:
            print_json(comparison_json(comparison))
            return
        console = stdout()
        comparison_sheet(comparison).show(console)
        for line in comparison_lines(comparison):
            console.print(line, markup=False)
        say_next(console, "explore explain RUN LAYER says why a layer is computed as it is")
