"""The consoles of all commands: standard output for results, standard error for errors and what is told meanwhile."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console

NARROWEST = 220  # columns where no terminal says how many there are: a pipe gets whole tables and whole lines


def stdout() -> Console:
    """Standard output, as wide as the terminal, or as `NARROWEST`."""
    console = Console(highlight=False, emoji=False)
    return console if console.is_terminal else Console(highlight=False, emoji=False, width=NARROWEST)


def stderr() -> Console:
    """Standard error; lines are left to the terminal to wrap."""
    return Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def text_file(file: TextIO) -> Console:
    """Plain text in a file that is open for writing, without colours."""
    return Console(file=file, highlight=False, emoji=False, width=NARROWEST, color_system=None)
