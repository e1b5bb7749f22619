"""`explore compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.terminal.exits import reported


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="a run, a plan.json, or a device that has a run")],
    second: Annotated[str, typer.Argument(metavar="B", help="the same, for the other side")],
    among: Annotated[
        Path | None, typer.Option("--runs", help="where the runs of devices are (default results/runs)")
    ] = None,
) -> None:
    """Compare two runs, plans or devices, layer by layer."""
    from explorer.runs.compare import compare as compared
    from explorer.runs.compare import resolve_pair
    from explorer.runs.compare_table import comparison_lines, comparison_table
    from explorer.settings import RUNS
    from explorer.terminal.console import stdout

    with reported():
        comparison = compared(*resolve_pair(first, second, among or RUNS))
        console = stdout()
        console.print(comparison_table(comparison))
        for line in comparison_lines(comparison):
            console.print(line, markup=False)
