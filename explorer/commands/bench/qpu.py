"""`explore bench qpu`: how near compiled networks come to the limits of the QPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.bench.options import JsonOption, MarkdownOption
from explorer.terminal.exits import reported

INTRODUCTION = """\
`explore bench qpu` simulates the launches of plans on their virtual boards and counts, layer by layer, what the QPUs
did (kind: simulated). Arithmetic at peak: multiply-adds of direct computation, an addition and a multiplication a lane
and instruction. Bytes that must move: what each layer reads, once, and what it writes, at the bandwidth of memory; MB
moved are counted. A network cannot be faster than the larger of both sums; layers one after another, as they are here,
not faster than the sum of the larger of each. Inner loops are those of the kernels as they are generated."""


def qpu(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="directories that `explore run` wrote, or plan files"),
    ],
    markdown: MarkdownOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how near networks on the QPUs come to the larger of their arithmetic and of the bytes that must move."""
    with reported(place=markdown):
        from explorer.runs.data import open_run
        from explorer.studies.qpu_loops import loop_table
        from explorer.studies.qpu_profile import profile_plan
        from explorer.studies.qpu_profile_table import layer_table, network_table
        from explorer.studies.study_table import show, write_markdown
        from microbench.profile import load_profile

        plans = [open_run(run).plan for run in runs]
        found = [profile_plan(plan, load_profile(plan.device)) for plan in plans]
        tables = [network_table(found), loop_table(found), *map(layer_table, found)]
        show(tables, as_json, f"explore profile {runs[0]} --trace FILE has the launch in time")
        if markdown is not None:
            write_markdown(markdown, "How near the QPUs' limits", INTRODUCTION, tables)
