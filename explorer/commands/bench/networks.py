"""`explore bench networks`: networks from files, and their outputs beside onnxruntime's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.bench.options import JsonOption, MarkdownOption
from explorer.commands.run import ShapeOption
from explorer.terminal.exits import reported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explorer.studies.foreign_networks import Compared
    from explorer.studies.study_table import StudyTable

COLUMNS = (
    ("network", "left"),
    ("nodes", "right"),
    ("not supported", "left"),
    ("error", "right"),
    ("time", "right"),
    ("onnxruntime", "right"),
    ("compiled in", "right"),
)
INTRODUCTION = """\
`explore bench networks FILE...` compiles networks for this machine's CPU by modelled choices, without a search, and
runs them and onnxruntime on the same three seeded inputs, each on one thread. The error is the greatest difference over
the standard deviation of the output that it is in. Times are of this machine's clock."""
MOST_REASONS = 4


def networks(
    files: Annotated[list[Path], typer.Argument(help="ONNX files", metavar="FILE")],
    shape: ShapeOption = None,
    markdown: MarkdownOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compile networks from files: what is not supported, the error against onnxruntime, times."""
    with reported(place=markdown):
        from explorer.settings import parse_shapes
        from explorer.studies.foreign_networks import compared
        from explorer.studies.study_table import show, write_markdown

        shapes, done = parse_shapes(shape or ()), []
        for path in files:
            done.append(compared(path, shapes))
            if markdown is not None:  # after each: an interrupt loses none that is done
                write_markdown(markdown, "Networks from files", INTRODUCTION, [_table(done)])
        then = f"explore run --device host --model {files[0]}"
        show([_table(done)], as_json, then)


def _table(done: Sequence[Compared]) -> StudyTable:
    from explorer.studies.study_table import StudyTable

    compiled = sum(not one.declined for one in done)
    note = (
        f"{compiled} of {len(done)} can be compiled. Open dimensions are 1, heights and widths of images 224."
    )
    return StudyTable("Networks", COLUMNS, tuple(map(_row, done)), (note,))


def _row(one: Compared) -> tuple[str, ...]:
    from explorer.terminal.units import seconds

    reasons = [*one.declined[:MOST_REASONS]]
    if len(one.declined) > MOST_REASONS:
        reasons.append(f"{len(one.declined) - MOST_REASONS} more")
    return (
        one.name,
        str(one.nodes),
        " / ".join(reasons) or "-",
        "-" if one.error is None else f"{one.error:.1e}",
        seconds(one.time_s),
        seconds(one.peer_s),
        seconds(one.compiled_s),
    )
