"""`explore bench stream`: frames in a queue beside runs one after another, on this machine and on the virtual board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.bench.options import JsonOption
from explorer.terminal.exits import reported


def stream(
    frames: Annotated[
        int, typer.Option(help="of MobileNet v2 on this machine, one after another", min=1, metavar="N")
    ] = 10_000,
    small_frames: Annotated[
        int, typer.Option(help="of a small network on the virtual board", min=1, metavar="N")
    ] = 10_000,
    network_frames: Annotated[
        int, typer.Option(help="of MobileNet v1 on the virtual board", min=1, metavar="N")
    ] = 50,
    turns: Annotated[
        int, typer.Option(help="of two networks with and without a queue", min=1, metavar="N")
    ] = 10,
    resolution: Annotated[int, typer.Option(help="of the networks' inputs", min=32, metavar="N")] = 224,
    device: Annotated[str, typer.Option(help="profile of the virtual board", metavar="DEVICE")] = "pi-zero",
    out: Annotated[
        Path | None, typer.Option(help="write the tables to this Markdown file too", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compile networks by modelled plans and let frames come: none may be lost, and all must be right.

    MobileNet v2 on this machine alone, beside SqueezeNet in one process, with priorities, and as a camera's; a small
    SqueezeNet and MobileNet v1 on the virtual board.
    """
    from explorer.studies.stream_study import INTRODUCTION, StreamStudy, study_tables
    from explorer.studies.study_table import show, write_markdown
    from explorer.terminal.json_output import told
    from explorer.terminal.progress_lines import progress_on

    with reported(place=out):
        study = StreamStudy(frames, small_frames, network_frames, turns, resolution, device)
        with progress_on(told(as_json)) as progress:
            tables = study_tables(study, progress)
        if out is not None:
            write_markdown(out, "Streams of frames", INTRODUCTION, tables)
        show(tables, as_json)
