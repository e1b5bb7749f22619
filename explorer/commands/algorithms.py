"""`explore algorithms`."""

from __future__ import annotations

from explorer.terminal.exits import reported


def algorithms() -> None:
    """List the registered algorithms."""
    from rich.markup import escape
    from rich.table import Table

    from codegen.algorithm import algorithms as registered
    from codegen.algorithm_base import first_sentence
    from explorer.terminal.console import stdout

    with reported():
        table = Table("algorithm", "engine", "what it does")
        for algorithm in registered().values():
            table.add_row(escape(algorithm.name), algorithm.engine, escape(first_sentence(algorithm)))
        stdout().print(table)
