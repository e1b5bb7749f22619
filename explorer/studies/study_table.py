"""A benchmark's table, shown on a terminal and written as Markdown from the same cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from explorer.terminal.console import stdout
from explorer.terminal.json_output import print_json

LEFT, RIGHT = "left", "right"


@dataclass(frozen=True)
class StudyTable:
    """Columns by heading with their side (`left` or `right`), rows of text; `notes` say what the numbers are."""

    title: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def rich(self) -> Table:
        """For a terminal."""
        table = Table(title=escape(self.title), title_justify="left", pad_edge=False)
        for heading, side in self.columns:
            table.add_column(escape(heading), justify="right" if side == RIGHT else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*map(escape, row))
        return table

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


def show(tables: Iterable[StudyTable], as_json: bool) -> None:
    """Prints tables and their notes, or the same as JSON."""
    if as_json:
        print_json([table.cells() for table in tables])
        return
    console = stdout()
    for table in tables:
        console.print(table.rich())
        for note in table.notes:
            console.print(note, markup=False)


def write_markdown(path: Path, title: str, introduction: str, tables: Sequence[StudyTable]) -> None:
    """Writes a page of tables; raises OSError where it cannot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [f"# {title}\n", f"{introduction}\n", *(table.markdown() for table in tables)]
    path.write_text("\n".join(parts), encoding="utf-8")


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
