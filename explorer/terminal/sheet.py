"""Tables that fit a terminal: no word of a cell is broken, and columns that can be spared are left out for that."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from explorer.terminal.console import shown

_LEAST_OF_LONG = 20  # columns of the terminal that a word is broken into
_LEAST_OF_PROSE = 28  # that a sentence is broken into
_SEPARATOR = 2  # columns of the terminal between two of the table, and at its ends
_PARTS_OF_NAMES = re.compile(r"[^/._:-]+[/._:-]?|[/._:-]")


@dataclass(frozen=True)
class Sheet:
    """A table's texts. `right`: columns that stand to the right; `spare`: those that can be left out, the first first;
    `whole`: those whose lines are not broken, as no number is; `long`: those whose words may be, as names of layers;
    `footers` by heading; `styles` by a cell's text.
    """

    title: str
    headings: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    right: Collection[str] = ()
    spare: tuple[str, ...] = ()
    whole: Collection[str] = ()
    long: Collection[str] = ()
    footers: Mapping[str, str] = field(default_factory=dict)
    styles: Mapping[str, str] = field(default_factory=dict)

    def show(self, console: Console) -> None:
        """Prints as many columns as there is room for, and says which were left out; where there is room for too few,
        each row as a paragraph.
        """
        for number in range(len(self.spare) + 1):
            without = self.spare[:number]
            if (widths := self._widths(without, console)) is not None:
                break
        else:
            self._show_paragraphs(console)
            return
        console.print(self.table(without, widths))
        if without:
            names = "; ".join(map(_on_a_line, without))
            console.print(
                f"left out here: {names}. A wider terminal, a pipe and --json have them", markup=False
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
                escape(heading),
                justify="right" if heading in self.right else "left",
                overflow="fold",
                footer=escape(self.footers.get(heading, "")),
                width=widths[number] if widths else None,
            )
        for row in self.rows:
            table.add_row(*(self._cell(row[place], n, widths) for n, place in enumerate(kept)))
        return table

    def _cell(self, text: str, number: int, widths: Sequence[int] | None) -> Text:
        visible = shown(text, kept="\n")
        broken = visible if widths is None else broken_at_parts(visible, widths[number])
        return Text(broken, style=self.styles.get(text, ""))

    def _show_paragraphs(self, console: Console) -> None:
        if self.title:
            console.print(Text(self.title, style="table.title"))
        footer = [self.footers.get(heading, "") for heading in self.headings]
        for row in (*self.rows, *([footer] if self.footers else [])):
            console.print(Text(row[0], style="bold"))
            named = zip(self.headings[1:], row[1:], strict=True)
            facts = [f"{_on_a_line(heading)}: {_on_a_line(text)}" for heading, text in named if text]
            console.print(Padding(Text("\n".join(_packed(facts, console.width - 2))), (0, 0, 0, 2)))

    def _kept(self, without: Collection[str]) -> list[int]:
        return [place for place, heading in enumerate(self.headings) if heading not in without]

    def _widths(self, without: Collection[str], console: Console) -> list[int] | None:
        """Of each column, so that all have room and no word is broken: headings give way, then what is widest. None: no
        room.
        """
        kept = self._kept(without)
        widths = [max(_line(self.headings[place]), *self._lines(place)) for place in kept]
        least = [self._least(place) for place in kept]
        room = console.width - _SEPARATOR * len(widths)
        if sum(least) > room:
            return None
        cells = [max(_word(self.headings[place]), *self._lines(place)) for place in kept]
        _narrow(widths, cells, room)
        _narrow(widths, least, room)
        return widths

    def _least(self, place: int) -> int:
        heading = self.headings[place]
        widest, named = max(self._lines(place)), _word(heading)
        if heading in (*self.right, *self.whole):
            return max(widest, named)
        word = max(named, *(_word(text) for text in self._texts(place)))
        if heading in self.long:
            return min(word, _LEAST_OF_LONG)
        return max(word, _LEAST_OF_PROSE) if widest > 2 * _LEAST_OF_PROSE else word

    def _lines(self, place: int) -> Iterator[int]:
        """Columns that the cells below a heading take."""
        return (_line(text) for text in self._texts(place))

    def _texts(self, place: int) -> list[str]:
        return [
            self.footers.get(self.headings[place], ""),
            *(shown(row[place], kept="\n") for row in self.rows),
        ]


def _narrow(widths: list[int], least: Sequence[int], room: int) -> None:
    """Takes from the widest, in place, until they have room or are no wider than they must be."""
    while sum(widths) > room:
        wider = [n for n in range(len(widths)) if widths[n] > least[n]]
        if not wider:
            return
        widths[max(wider, key=widths.__getitem__)] -= 1


def _packed(facts: Sequence[str], width: int) -> list[str]:
    """Lines of as many facts as there is room for; one that is longer has a line of its own."""
    lines: list[str] = []
    for fact in facts:
        if lines and _line(f"{lines[-1]}; {fact}") < width:
            lines[-1] += f"; {fact}"
        else:
            lines.append(fact)
    return lines


def broken_at_parts(text: str, width: int) -> str:
    """A text whose words that are wider than that are broken between parts of names, where there are some."""
    return re.sub(r"\S+", lambda word: _broken(word[0], width) if _line(word[0]) > width else word[0], text)


def _broken(word: str, width: int) -> str:
    lines = [""]
    for part in _PARTS_OF_NAMES.findall(word):
        if lines[-1] and _line(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _on_a_line(text: str) -> str:
    return text.replace("\n", " ")


def _line(text: str) -> int:
    return max(cell_len(line) for line in text.split("\n"))


def _word(text: str) -> int:
    return max(cell_len(word) for word in text.split() or [""])
