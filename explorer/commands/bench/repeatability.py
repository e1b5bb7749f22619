"""`explore bench repeatability`: the same candidates in separate runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.bench.options import JsonOption, MarkdownOption
from explorer.commands.devices import DevicesOption, chosen_file
from explorer.terminal.exits import reported
from explorer.terminal.json_output import told

INTRODUCTION = """\
`explore bench repeatability` measures the same candidates in separate processes, each with a store of its own and with
the protocol of `explore run`: warm-up, repeats, a reference kernel between the candidates. What the medians of one
candidate differ by from run to run is held against the noise floor that the runs print."""


def repeatability(
    device: Annotated[str, typer.Option(help="a named board, else a profile", metavar="DEVICE")] = "host",
    runs: Annotated[int, typer.Option(help="separate runs", min=2, metavar="N")] = 10,
    candidates: Annotated[
        int, typer.Option(help="most candidates, over all layers in turn", min=1, metavar="N")
    ] = 60,
    model: Annotated[
        Path | None, typer.Option(help="ONNX file; without it the built-in MobileNet v1", metavar="FILE")
    ] = None,
    devices: DevicesOption = None,
    stores: Annotated[
        Path | None,
        typer.Option(
            help="directory of the runs' stores (default repeatability-DEVICE in results/runs)", metavar="DIR"
        ),
    ] = None,
    markdown: MarkdownOption = None,
    seed: Annotated[int, typer.Option(help="of trial values and of the order", min=0, metavar="N")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure the same candidates in separate runs; show the spread of their medians beside the noise floor."""
    with reported(place=stores):
        from explorer.search.layer_search import SearchSettings
        from explorer.settings import RUNS, RunSettings
        from explorer.studies.repeatability import separate_runs, tables
        from explorer.studies.study_table import show, write_markdown

        settings = RunSettings(
            device=device, model=model, devices=chosen_file(devices), search=SearchSettings(seed=seed)
        )
        console = told(as_json)
        found = []
        directory = stores or RUNS / f"repeatability-{Path(device).stem}"
        for run in separate_runs(settings, runs, candidates, directory):
            found.append(run)
            console.print(f"run {len(found)} of {runs}: {len(run.medians_s)} candidates, {run.wall_s:.0f} s")
        shown = tables(found)
        if markdown is not None:
            write_markdown(markdown, "Repeatability", INTRODUCTION, shown)
            console.print(f"tables: {markdown}", markup=False)
        show(shown, as_json, f"explore run --device {device} tells its own noise floor")
