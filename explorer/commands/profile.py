"""`explore profile`: what binds each layer of a run on the QPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.bench.options import JsonOption
from explorer.terminal.exits import reported


def profile(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="a directory that `explore run` wrote, or a plan file")
    ],
    trace: Annotated[
        Path | None,
        typer.Option(
            help="write the launch in time to this file, as Chrome's trace events (Perfetto opens it)",
            metavar="FILE",
        ),
    ] = None,
    roofline: Annotated[
        Path | None,
        typer.Option(
            help="draw the layers under the board's roofline, as .svg, .png or .pdf", metavar="FILE"
        ),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="write the table to this file too", metavar="FILE")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="profile of the virtual board (default: the plan's device)", metavar="DEVICE"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what binds each layer of a plan on the QPUs, what it moves and how near its bound it is (simulated)."""
    with reported(place=trace or roofline or markdown):
        from explorer.runs.data import open_run
        from explorer.studies.qpu_profile import profile_plan
        from explorer.studies.qpu_profile_table import layer_table, network_table, write_roofline
        from explorer.studies.study_table import show, write_markdown
        from microbench.profile import load_profile

        plan = open_run(run).plan
        found = profile_plan(plan, load_profile(device or plan.device))
        tables = [layer_table(found), network_table([found])]
        then = f"explore explain {run} LAYER, or the same with --trace FILE"
        show(tables, as_json, then)
        if trace is not None:
            for number, one in enumerate(found.traces):
                one.write(trace if not number else trace.with_stem(f"{trace.stem}-{number + 1}"))
        if roofline is not None:
            write_roofline(found, roofline)
        if markdown is not None:
            write_markdown(
                markdown, f"{plan.model_name} on the QPUs", "Written by `explore profile`.", tables
            )
