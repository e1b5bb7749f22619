"""A benchmark's table, shown on a terminal and written as Markdown from the same cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from explorer.terminal.console import say_next, stdout
from explorer.terminal.json_output import print_json
from explorer.terminal.sheet import Sheet

LEFT, RIGHT = "left", "right"


@dataclass(frozen=True)
class StudyTable:
    """Columns by heading with their side (`left` or `right`), rows of text; `notes` say what the numbers are, `spare`
    which columns a narrow terminal may go without, the first first.
    """

    title: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()

    def sheet(self) -> Sheet:
        """For a terminal."""
        headings = tuple(heading for heading, _ in self.columns)
        right = tuple(heading for heading, side in self.columns if side == RIGHT)
        return Sheet(self.title, headings, self.rows, right=right, spare=self.spare, long=headings[:1])

    def cells(self) -> dict[str, object]:
        """As in the table, by heading."""
        headings = [heading for heading, _ in self.columns]
        rows = [dict(zip(headings, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": rows, "notes": list(self.notes)}

    def markdown(self) -> str:
        """A section: heading, table, notes."""
        lines = [f"## {self.title}", ""]
        lines += [_line(heading for heading, _ in self.columns)]
        lines += [_line("--:" if side == RIGHT else "---" for _, side in self.columns)]
        lines += [_line(row) for row in self.rows]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines) + "\n"


def show(tables: Iterable[StudyTable], as_json: bool, then: str = "") -> None:
    """Prints tables, their notes and what may be done `then`, or tables and notes as JSON."""
    if as_json:
        print_json([table.cells() for table in tables])
        return
    console = stdout()
    for table in tables:
        table.sheet().show(console)
        for note in table.notes:
            console.print(note, markup=False)
    if then:
        say_next(console, then)


def write_markdown(path: Path, title: str, introduction: str, tables: Sequence[StudyTable]) -> None:
    """Writes a page of tables; raises OSError where it cannot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [f"# {title}\n", f"{introduction}\n", *(table.markdown() for table in tables)]
    path.write_text("\n".join(parts), encoding="utf-8")


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
