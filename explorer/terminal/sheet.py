"""Tables that fit a terminal: no word of a cell is broken, and columns that can be spared are left out for that."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from explorer.terminal.console import shown

_LEAST_OF_LONG = 20  # columns of the terminal that a word is broken into
_LEAST_OF_PROSE = 28  # that a sentence is broken into
_SEPARATOR = 2  # columns of the terminal between two of the table, and at its ends


@dataclass(frozen=True)
class Sheet:
    """A table's texts. `right`: columns that stand to the right; `spare`: those that can be left out, the first first;
    `whole`: those whose lines are not broken, as no number is; `long`: those whose words may be, as names of layers;
    `footers` by heading.
    """

    title: str
    headings: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    right: Collection[str] = ()
    spare: tuple[str, ...] = ()
    whole: Collection[str] = ()
    long: Collection[str] = ()
    footers: Mapping[str, str] = field(default_factory=dict)

    def show(self, console: Console) -> None:
        """Prints as many columns as there is room for, and says which were left out."""
        for number in range(len(self.spare) + 1):
            without = self.spare[:number]
            if (widths := self._widths(without, console)) is not None:
                break
        console.print(self.table(without, widths))
        if without:
            names = ", ".join(heading.replace("\n", " ") for heading in without)
            console.print(
                f"left out here: {names}; a wider terminal has them, a pipe and --json", markup=False
            )

    def table(self, without: Collection[str] = (), widths: Sequence[int] | None = None) -> Table:
        """The table without some columns, the others of these widths, or as wide as they are."""
        table = Table(
            title=escape(self.title) or None,
            title_justify="left",
            pad_edge=False,
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            show_footer=bool(self.footers),
        )
        kept = self._kept(without)
        for number, place in enumerate(kept):
            heading = self.headings[place]
            table.add_column(
                heading,
                justify="right" if heading in self.right else "left",
                overflow="fold",
                footer=escape(self.footers.get(heading, "")),
                width=widths[number] if widths else None,
            )
        for row in self.rows:
            table.add_row(*(escape(row[place]) for place in kept))
        return table

    def _kept(self, without: Collection[str]) -> list[int]:
        return [place for place, heading in enumerate(self.headings) if heading not in without]

    def _widths(self, without: Collection[str], console: Console) -> list[int] | None:
        """Of each column, so that all have room and no word is broken: what is widest gives way. None: no room."""
        kept = self._kept(without)
        texts = [self._texts(place) for place in kept]
        widths = [max(cell_len(line) for text in column for line in text.split("\n")) for column in texts]
        words = [max(cell_len(word) for text in column for word in text.split() or [""]) for column in texts]
        least = [self._least(self.headings[place], widths[n], words[n]) for n, place in enumerate(kept)]
        room = console.width - _SEPARATOR * len(widths)
        if sum(least) > room:
            return None
        while sum(widths) > room:
            widest = max((n for n in range(len(widths)) if widths[n] > least[n]), key=widths.__getitem__)
            widths[widest] -= 1
        return widths

    def _least(self, heading: str, widest: int, word: int) -> int:
        if heading in (*self.right, *self.whole):
            return widest
        if heading in self.long:
            return min(word, _LEAST_OF_LONG)
        return max(word, _LEAST_OF_PROSE) if widest > 2 * _LEAST_OF_PROSE else word

    def _texts(self, place: int) -> list[str]:
        heading = self.headings[place]
        return [heading, self.footers.get(heading, ""), *(shown(row[place], kept="\n") for row in self.rows)]
