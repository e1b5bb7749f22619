"""The consoles of all commands: standard output for results, standard error for errors and what is told meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

NARROWEST = 220  # columns where no terminal says how many there are: a pipe gets whole tables and whole lines


class ShowingConsole(Console):
    """What commands a terminal, in names of models, layers and boards, is shown on it and not obeyed."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Before its width is counted: texts of cells, titles and lines."""
        return super().render_str(shown(text, kept="\n\t"), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Whatever else comes, as texts of bars do; commands of the console's own go on."""
        segments = super().render(renderable, options)
        for segment in segments if self.is_terminal else _without_ends(segments):
            own = segment.control or segment.text.replace("\n", "").isprintable()
            yield segment if own else Segment(shown(segment.text, kept="\n\t"), segment.style)


def _without_ends(segments: Iterable[Segment]) -> Iterator[Segment]:
    """The same without the blanks that lines end with, which a file has no use for."""
    blanks = ""
    for segment in segments:
        text = segment.text if segment.control or segment.text == "\n" else segment.text.rstrip(" ")
        if text == "\n":
            blanks = ""
        if text:
            yield Segment(blanks + text, segment.style, segment.control)
            blanks = ""
        blanks += " " * (len(segment.text) - len(text))
    if blanks:
        yield Segment(blanks)


def stdout(wide: bool = False) -> Console:
    """Standard output, as wide as the terminal; as `NARROWEST` where there is none, or `wide` asks for it."""
    console = ShowingConsole(highlight=False, emoji=False)
    return (
        console
        if console.is_terminal and not wide
        else ShowingConsole(highlight=False, emoji=False, width=NARROWEST)
    )


def stderr() -> Console:
    """Standard error; lines are left to the terminal to wrap."""
    return ShowingConsole(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def fits(table: Table, console: Console) -> bool:
    """Whether a table can be shown on a console with no cell broken."""
    unbounded = console.options.update(width=10 * NARROWEST)
    return Measurement.get(console, unbounded, table).maximum <= console.width


def text_file(file: TextIO) -> Console:
    """Plain text in a file that is open for writing, without colours."""
    return ShowingConsole(file=file, highlight=False, emoji=False, width=NARROWEST, color_system=None)


def say_next(console: Console, text: str) -> None:
    """What a person may do now."""
    console.print(f"next: {text}", markup=False, soft_wrap=True)


def shown(text: str, kept: str = "") -> str:
    """A name as people may see it: characters that command a terminal, but for those `kept`, are written as escapes."""
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)
