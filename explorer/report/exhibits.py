"""What a report shows: tables, figures with their reading, commands. Each knows how a notebook displays it."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PIXELS_PER_INCH = 160
MISSING = "–"


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A table with one line below it that says how to read it; numbers are shown with three digits."""

    frame: pd.DataFrame
    note: str = ""

    def _repr_html_(self) -> str:
        numeric = [self.frame[name].dtype.kind in "iuf" for name in self.frame.columns]
        head = "".join(
            _cell("th", str(name), right) for name, right in zip(self.frame.columns, numeric, strict=True)
        )
        rows = (
            "".join(_cell("td", shown(value), right) for value, right in zip(row, numeric, strict=True))
            for row in self.frame.itertuples(index=False, name=None)
        )
        body = "".join(f"<tr>{cells}</tr>" for cells in rows)
        note = f'<p class="reading">{html.escape(self.note)}</p>' if self.note else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


@dataclass(frozen=True, eq=False)
class CaptionedFigure:
    """A figure and its reading: one sentence computed from the data that the figure shows."""

    figure: Figure
    reading: str

    def png(self) -> bytes:
        """The figure as PNG; equal figures give equal bytes."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=PIXELS_PER_INCH, metadata={"Software": None})
        return buffer.getvalue()

    def _ipython_display_(self) -> None:
        from IPython.display import HTML, Image, display

        width = round(self.figure.get_figwidth() * 96)
        display(Image(data=self.png(), format="png", width=width, alt=self.reading))
        display(HTML(f'<p class="reading">{html.escape(self.reading)}</p>'))


@dataclass(frozen=True)
class Sentence:
    """Text that was computed; nothing in it is taken for markup."""

    text: str

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.text)}</p>"


@dataclass(frozen=True)
class Commands:
    """Lines for a shell."""

    lines: tuple[str, ...]

    def _repr_html_(self) -> str:
        return f'<pre class="commands">{html.escape(chr(10).join(self.lines))}</pre>'


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


def _cell(tag: str, text: str, right: bool) -> str:
    style = ' style="text-align: right"' if right else ' style="text-align: left"'
    return f"<{tag}{style}>{html.escape(text)}</{tag}>"
