"""What a person may have meant by a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(name: str, known: Iterable[str]) -> str:
    """The name in quotes, and after a comma the nearest of those that there are; for the middle of a message."""
    near = get_close_matches(name, tuple(known), n=1)
    return f"{name!r}, did you mean {near[0]!r}?" if near else f"{name!r};"
