"""What a report shows: tables, figures with their reading, sentences. Each knows how page and notebook display it."""

from __future__ import annotations

import hashlib
import html
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from explorer.report.markup import MISSING, part
from explorer.report.svg import Mark, inline_svg
from explorer.runs.frames import NO_KIND

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup
    from matplotlib.figure import Figure

PIXELS_PER_INCH = 160
WORDY = "what it computes", "split and tile", "waits most for"  # columns that need room
MOST_ROWS = 200  # of a table in a notebook's output; its frame has all


class Shown(Protocol):
    """Anything that a section shows. In a notebook it is displayed by IPython's rules."""

    def markup(self) -> Markup:
        """As a part of the page; made by templates, so that names in it are escaped."""
        ...


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A table with one line below it that says how to read it; numbers are shown with three digits.

    `label` says what it is for those who do not see it. `layers`: the step of the plan behind each row, from 1, so that
    one layer can be followed through all figures. Columns called `algorithm` have its colour and marker, `bars` a
    bar beside their number.
    """

    frame: pd.DataFrame
    note: str = ""
    label: str = "table"
    layers: Sequence[int | None] = ()
    bars: tuple[str, ...] = ()
    candidates: bool = False

    def markup(self) -> Markup:
        columns = [self._column(str(name)) for name in self.frame.columns]
        greatest = {name: float(self.frame[name].max()) for name in self.bars}
        layers = self.layers or (None,) * len(self.frame)
        rows = [
            {
                "layer": layer,
                "cells": [
                    _cell(value, layer, greatest.get(str(name)))
                    for name, value in zip(self.frame.columns, values, strict=True)
                ],
            }
            for layer, values in zip(layers, self.frame.itertuples(index=False, name=None), strict=True)
        ]
        return part("table", columns, rows, self.label, self.candidates) + part("reading", self.note)

    def _ipython_display_(self) -> None:
        """The DataFrame, as pandas shows it, and the note."""
        import pandas as pd
        from IPython.display import HTML, display

        with pd.option_context("display.html.use_mathjax", False, "display.max_rows", MOST_ROWS):
            display(self.frame)
        if self.note:
            display(HTML(f"<p>{html.escape(self.note)}</p>"))

    def _column(self, name: str) -> Mapping[str, object]:
        is_number = self.frame[name].dtype.kind in "iuf"
        wide = {"layer": " name", **dict.fromkeys(WORDY, " wordy")}.get(name, "")
        css = "number" if is_number else f"text{wide}"
        return {
            "name": name, "css": css, "is_number": is_number, "is_bar": name in self.bars,
            "is_algorithm": name == "algorithm", "is_layer": name == "layer",
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Panel:
    """One of the figures that are read together; `marks` by ids of its artists. A wide one has a row for itself."""

    figure: Figure
    title: str
    marks: Mapping[str, Mark] = field(default_factory=dict)
    wide: bool = False


@dataclass(frozen=True, eq=False)
class CaptionedFigure:
    """Panels and their reading: a sentence computed from the data that they show, empty where there is nothing to say.

    `algorithms`: whose colours and markers occur, for the key.
    """

    panels: Sequence[Panel]
    reading: str = ""
    algorithms: Sequence[str] = ()

    @property
    def figure(self) -> Figure:
        """The first, to go on from."""
        return self.panels[0].figure

    def markup(self) -> Markup:
        panels = [
            {"title": panel.title, "wide": panel.wide, "svg": self._svg(number, panel)}
            for number, panel in enumerate(self.panels)
        ]
        return part("figure", panels, sorted(set(self.algorithms)), self.reading)

    def png(self) -> bytes:
        """The panels' PNG images one behind the other; equal figures give equal bytes."""
        return b"".join(_png(panel.figure) for panel in self.panels)

    def _svg(self, number: int, panel: Panel) -> Markup:
        label = panel.title if number else f"{panel.title}. {self.reading}"
        prefix = hashlib.sha256(f"{panel.title} {self.reading}".encode()).hexdigest()[:8]
        return inline_svg(panel.figure, label, panel.marks, f"f{prefix}{number}")

    def _ipython_display_(self) -> None:
        from IPython.display import HTML, Image, display

        for panel in self.panels:
            width = round(panel.figure.get_figwidth() * 96)
            display(Image(data=_png(panel.figure), format="png", width=width, alt=panel.title))
        display(HTML(f"<p>{html.escape(self.reading)}</p>"))


@dataclass(frozen=True)
class Sentence:
    """Text that was computed; nothing in it is taken for markup."""

    text: str

    def markup(self) -> Markup:
        return part("paragraph", self.text)

    def _ipython_display_(self) -> None:
        _show_markup(self.markup())


@dataclass(frozen=True)
class Tiles:
    """The figures to remember: what each is called, its value, and what the value is."""

    items: tuple[tuple[str, str, str], ...]

    def markup(self) -> Markup:
        return part("tiles", self.items)

    def _ipython_display_(self) -> None:
        _show_markup(self.markup())


@dataclass(frozen=True)
class Commands:
    """Lines for a shell."""

    lines: tuple[str, ...]

    def markup(self) -> Markup:
        return part("commands", self.lines)

    def _ipython_display_(self) -> None:
        _show_markup(self.markup())


@dataclass(frozen=True)
class Drawing:
    """A part that is markup already, made by templates; the notebook shows it as it is."""

    content: Markup

    def markup(self) -> Markup:
        return self.content

    def _ipython_display_(self) -> None:
        _show_markup(self.content)


def _show_markup(markup: Markup) -> None:
    from IPython.display import HTML, display

    display(HTML(str(markup)))


def shown(value: object) -> str:
    """A table's cell as text: three digits and no exponent for numbers of everyday size."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if not isinstance(value, float):
        return str(value)
    if value == 0 or not 1e-3 <= abs(value) < 1e7:
        return f"{value:.3g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def counted(number: int, noun: str) -> str:
    """`1 layer`, `3 layers`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def kinds_in_headings(table: pd.DataFrame, heading: str) -> pd.DataFrame:
    """The table with the kind of its times in their heading, where all that take any are of one kind."""
    kinds = set(table["the time is"]) - {NO_KIND}
    if len(kinds) != 1:
        return table
    return table.drop(columns="the time is").rename(columns={heading: f"{heading} ({kinds.pop()})"})


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PIXELS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def _cell(value: object, layer: int | None, greatest: float | None) -> Mapping[str, object]:
    number = float(value) if isinstance(value, int | float) else math.nan
    known = not math.isnan(number)
    return {
        "text": shown(value),
        "layer": layer,
        "sorted_by": f"{number:.6g}" if known else "",
        "fraction": max(0.0, number) / greatest if greatest and known else None,
    }
