"""`explore bench qpu-kinds`: the algorithms of a layer on the QPUs, and how firm their times are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.bench.options import JsonOption, MarkdownOption
from explorer.terminal.exits import reported

INTRODUCTION = """\
`explore bench qpu-kinds` times candidates of a layer on the virtual board, of every algorithm that the QPUs have for
it, and the fastest of them under other constants of the GPU too (kind: simulated, outputs compared with the float64
reference): the variants that the profile names, an L2 of half the size, and a careful GPU, whose TMUs, DMA engines,
latencies and port of the L2 are twice as slow, with memory of 0.75 GB/s. A kernel is firm where these change little."""


def qpu_kinds(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="a directory that `explore run` wrote, or a plan file")
    ],
    layers: Annotated[
        list[str], typer.Option("--layer", help="a layer of the plan; may be repeated", metavar="NAME")
    ],
    most: Annotated[
        int, typer.Option("--candidates", help="of an algorithm that are timed, at most", min=1, metavar="N")
    ] = 100,
    shown: Annotated[
        int, typer.Option(help="candidates of an algorithm in the table", min=1, metavar="N")
    ] = 3,
    markdown: MarkdownOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show of a layer's algorithms on the QPUs how far their times depend on what is assumed of the GPU."""
    with reported(place=markdown):
        from explorer.runs.data import open_run
        from explorer.studies.qpu_kinds import kinds_of, kinds_table, step_named
        from explorer.studies.study_table import show, write_markdown
        from microbench.profile import load_profile

        plan = open_run(run).plan
        profile = load_profile(plan.device)
        tables = []
        for step in [step_named(plan, name) for name in layers]:
            kinds = list(kinds_of(step.spec, profile, most, shown))
            tables.append(kinds_table(step.name, step.spec, profile, kinds))
            if markdown is not None:  # after each layer: an interrupt loses none that is done
                write_markdown(markdown, "How firm kernels of the QPUs are", INTRODUCTION, tables)
        show(tables, as_json)
