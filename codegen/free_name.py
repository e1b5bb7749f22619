"""Names of what a composition adds to a network, told from those of its layers, which may be any text."""

from __future__ import annotations

from collections.abc import Collection

MARK = "'"


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, with as many marks behind it as it takes to be none of those taken."""
    while name in taken:
        name += MARK
    return name
