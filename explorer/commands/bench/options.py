"""Options that several benchmarks have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.terminal.json_output import json_option

JsonOption = Annotated[
    bool, json_option("a list of tables, each with title, rows (texts by heading) and notes")
]
MarkdownOption = Annotated[
    Path | None, typer.Option(help="write the tables to this file too", metavar="FILE")
]
ResolutionOption = Annotated[
    int, typer.Option(help="of the zoo's networks, in pixels", min=32, metavar="PIXELS")
]
SshKeyOption = Annotated[Path | None, typer.Option(help="private key for --ssh", metavar="FILE")]
KnownHostsOption = Annotated[
    Path | None, typer.Option(help="file with the host key for --ssh", metavar="FILE")
]
