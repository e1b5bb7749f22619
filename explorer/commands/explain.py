"""`explore explain`: why a layer of a run is computed as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.terminal.completion import layers
from explorer.terminal.exits import reported
from explorer.terminal.json_output import json_option


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="a directory that `explore run` wrote")],
    layer: Annotated[
        str, typer.Argument(metavar="LAYER", help="a step of its plan, by name", autocompletion=layers)
    ],
    as_json: Annotated[
        bool,
        json_option(
            "layer, candidates (candidate, algorithm, split, tile, layouts, expected_s with its interval, time_s, "
            "through_s, round, reason, message, is_chosen), notes"
        ),
    ] = False,
) -> None:
    """Show a layer's measured candidates, why each was measured, and why the plan has the one that it has."""
    from codegen.operators.chain import Chain
    from codegen.operators.side_by_side import SideBySide
    from explorer.runs.data import open_run
    from explorer.runs.explain import HEADINGS, rows_of
    from explorer.runs.explain import explain as explained
    from explorer.terminal.console import say_next, stdout
    from explorer.terminal.json_output import print_json
    from explorer.terminal.sheet import Sheet

    with reported():
        found = explained(open_run(run), layer)
        if as_json:
            print_json({"layer": layer, "candidates": found.candidates, "notes": list(found.lines())})
            return
        console = stdout()
        title = f"{layer}: {found.step.spec.describe()}"
        spare = ("layouts", "round", "predicted when asked for", "why it was measured", "split")
        Sheet(title, HEADINGS, rows_of(found), spare=spare).show(console)
        for line in found.lines():
            console.print(line, markup=False)
        if not isinstance(found.step.spec.op, Chain | SideBySide):  # which no option names
            say_next(console, f"explore run --again {run} --force {layer}=ALGORITHM tries another")
