"""`explore operators`."""

from __future__ import annotations

import typer

from explorer.terminal.exits import reported


def operators() -> None:
    """Print the page of supported ONNX operators: operator sets, element types, engines, forms."""
    with reported():
        from explorer.inspect.operators_page import page

        typer.echo(page(), nl=False)
