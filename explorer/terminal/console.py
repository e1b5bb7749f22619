"""The consoles of all commands: standard output for results, standard error for errors and what is told meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

NARROWEST = 220  # columns where no terminal says how many there are: a pipe gets whole tables and whole lines


def stdout(wide: bool = False) -> Console:
    """Standard output, as wide as the terminal; as `NARROWEST` where there is none, or `wide` asks for it."""
    console = Console(highlight=False, emoji=False)
    return (
        console
        if console.is_terminal and not wide
        else Console(highlight=False, emoji=False, width=NARROWEST)
    )


def stderr() -> Console:
    """Standard error; lines are left to the terminal to wrap."""
    return Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def fits(table: Table, console: Console) -> bool:
    """Whether a table can be shown on a console with no cell broken."""
    unbounded = console.options.update(width=10 * NARROWEST)
    return Measurement.get(console, unbounded, table).maximum <= console.width


def text_file(file: TextIO) -> Console:
    """Plain text in a file that is open for writing, without colours."""
    return Console(file=file, highlight=False, emoji=False, width=NARROWEST, color_system=None)


def table_of(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A plain table; what looks like markup or commands a terminal in names is shown, not obeyed."""
    table = Table(title=escape(title), title_justify="left", pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, map(shown, row)))
    return table


def say_next(console: Console, text: str) -> None:
    """What a person may do now."""
    console.print(f"next: {text}", markup=False, soft_wrap=True)


def shown(text: str) -> str:
    """A name as people may see it: characters that command a terminal are written as escapes."""
    return "".join(c if c.isprintable() or c == " " else c.encode("unicode_escape").decode() for c in text)
