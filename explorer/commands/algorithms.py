"""`explore algorithms`."""

from __future__ import annotations

from explorer.terminal.exits import reported


def algorithms() -> None:
    """List the registered algorithms."""
    from rich.markup import escape
    from rich.table import Table

    from codegen.algorithm import algorithms as registered
    from explorer.terminal.console import stdout

    with reported():
        table = Table("algorithm", "engine", "what it does")
        for algorithm in registered().values():
            summary = (type(algorithm).__doc__ or "").strip().split("\n")[0]
            table.add_row(escape(algorithm.name), algorithm.engine, escape(summary))
        stdout().print(table)
