"""`explore bench threads`: two threads where one CPU is shared with a busy process, beside a static split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.bench.options import JsonOption
from explorer.terminal.exits import reported


def threads(
    network: Annotated[
        str, typer.Argument(help="of the zoo, or a file *.onnx", metavar="NETWORK")
    ] = "mobilenet_v2",
    turns: Annotated[int, typer.Option(help="of every way to run it", min=1, metavar="N")] = 15,
    runs: Annotated[int, typer.Option(help="timed inferences in a turn", min=1, metavar="N")] = 50,
    resolution: Annotated[int, typer.Option(help="of a zoo network's input", min=32, metavar="N")] = 224,
    seed: Annotated[int, typer.Option(help="of the input and of the order of turns", min=0, metavar="N")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="write the table to this Markdown file too", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Time a network in two threads on this machine, with both CPUs free and with one shared with a busy process.

    By a static split of every layer, with parts that threads take over from each other, and with finer parts.
    """
    from tempfile import TemporaryDirectory

    from explorer.plans.check import trial_inputs
    from explorer.studies.shared_cores import INTRODUCTION, cores_table, time_ways, ways_of
    from explorer.studies.study_table import show, write_markdown
    from explorer.studies.zoo_networks import network_named
    from explorer.terminal.json_output import told
    from explorer.terminal.progress_lines import progress_on
    from microbench.profile import load_profile

    with (
        reported(place=out),
        network_named(network, resolution) as found,
        TemporaryDirectory(prefix="explore-threads-") as scratch,
        progress_on(told(as_json)) as progress,
    ):
        progress.phase("Compile")
        ways = ways_of(found, load_profile("host"), Path(scratch))
        progress.phase("Turns")
        (inputs,) = trial_inputs(found.graph, seed, 1)
        time_ways(ways, inputs, turns, runs, seed, progress)
        tables = [cores_table(found.name, ways)]
        if out is not None:
            write_markdown(out, "Threads on unequal CPUs", INTRODUCTION, tables)
        show(tables, as_json)
