"""What commands print for programs in place of tables: JSON on standard output, and nothing beside it there.

Names of fields stay what they are, `--help` lists them; others may be added. Times are in seconds and sizes in bytes
where a name ends in `_s` or `_bytes`; null: there is none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import typer
from rich.console import Console

from explorer.terminal.console import stderr, stdout


def json_option(content: str) -> Any:
    """The option --json of a command whose JSON has this content."""
    return typer.Option("--json", help=f"print JSON in place of tables: {content}")


def told(as_json: bool, wide: bool = False) -> Console:
    """Where a command tells what it does: standard output, or standard error where that is for JSON."""
    return stderr() if as_json else stdout(wide)


def print_json(content: object) -> None:
    """Data classes, mappings, sequences and what is in them; what is no finite number is null."""
    typer.echo(json.dumps(plain(content), indent=2, allow_nan=False))


def plain(value: object) -> object:
    """The same, of nothing but what JSON knows."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(content) for name, content in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(content) for content in value]
    return str(value)
