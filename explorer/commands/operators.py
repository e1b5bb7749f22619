"""`explore operators`."""

from __future__ import annotations

from typing import Annotated

import typer

from explorer.terminal.exits import reported
from explorer.terminal.json_output import json_option


def operators(
    as_json: Annotated[
        bool, json_option("a list of operator, operator_sets, element_types, engines, forms")
    ] = False,
) -> None:
    """Show the supported ONNX operators: operator sets, element types, engines, forms; into a file as a page."""
    with reported():
        from explorer.inspect.operators_page import HEADINGS, operator_rows, page
        from explorer.terminal.console import say_next, stdout
        from explorer.terminal.json_output import print_json
        from explorer.terminal.sheet import Sheet

        console = stdout()
        if as_json:
            names = [heading.lower().replace(" ", "_") for heading in HEADINGS]
            print_json([dict(zip(names, row, strict=True)) for row in operator_rows()])
        elif console.is_terminal:
            Sheet("", HEADINGS, tuple(operator_rows()), spare=("Element types",)).show(console)
            say_next(console, "explore check MODEL says what of a network is not supported")
        else:
            typer.echo(page(), nl=False)
