"""Options that several benchmarks have."""

from __future__ import annotations

from typing import Annotated

from explorer.terminal.json_output import json_option

JsonOption = Annotated[
    bool, json_option("a list of tables, each with title, rows (texts by heading) and notes")
]
