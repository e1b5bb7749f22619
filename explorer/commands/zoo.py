"""`explore zoo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.terminal.completion import networks
from explorer.terminal.exits import reported


def zoo(
    name: Annotated[
        str, typer.Argument(help="a network of the zoo", autocompletion=networks, metavar="NETWORK")
    ],
    out: Annotated[Path, typer.Option(help="the ONNX file to write", metavar="FILE")],
) -> None:
    """Write a built-in network, with seeded weights, as ONNX."""
    from explorer.plans.network import write_zoo_model
    from explorer.terminal.console import say_next, stdout

    with reported(place=out):
        write_zoo_model(name, out)
        console = stdout()
        console.print(f"model: {out}", markup=False)
        say_next(console, f"explore check {out}")
