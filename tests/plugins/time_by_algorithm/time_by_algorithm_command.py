"""`explore time-by-algorithm RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.terminal.exits import reported


def time_by_algorithm(
    run: Annotated[Path, typer.Argument(help="directory of a run")],
) -> None:
    """Show how a run's time is shared by algorithms."""
    from explorer import open_run
    from explorer.terminal.console import stdout
    from explorer.terminal.units import seconds

    with reported():
        layers = open_run(run).layers
        shares = layers.groupby(["algorithm", "kind"], as_index=False)["time_s"].sum()
        for algorithm, kind, time_s in zip(
            shares["algorithm"], shares["kind"], shares["time_s"], strict=True
        ):
            stdout().print(f"{algorithm}: {seconds(time_s)} ({kind})", markup=False)
