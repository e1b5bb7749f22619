"""What the docstring of a class says: its text, and sections of names with a text each.

A section is a line with its title, and below it, indented, a name and its text on each line; what a text goes on with
is indented once more:

    Axes:
        rows: output channels whose sums
            are in registers
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping

_TITLE = re.compile(r"^([A-Z][a-z]+):$", re.MULTILINE)
_ENTRY = re.compile(r"^    (\w+): *(.*)$")


def description(kind: type) -> str:
    """The text above the first section, in one line; empty where the class has none of its own."""
    return " ".join(_parts(kind)[0].split())


def section(kind: type, title: str) -> Mapping[str, str]:
    """The entries of a section, those of base classes first; a class says anew what its bases say otherwise."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        found.update(_entries(_sections(base).get(title, "")))
    return found


def _parts(kind: type) -> list[str]:
    """Text, title, body, title, body and so on."""
    return _TITLE.split(inspect.cleandoc(vars(kind).get("__doc__") or ""))


def _sections(kind: type) -> Mapping[str, str]:
    _, *rest = _parts(kind)
    return dict(zip(rest[::2], rest[1::2], strict=True))


def _entries(body: str) -> Iterator[tuple[str, str]]:
    name, texts = "", [""]
    for line in body.splitlines():
        match = _ENTRY.match(line)
        if match:
            if name:
                yield name, " ".join(texts)
            name, texts = match[1], [match[2]]
        elif line.strip():
            texts.append(line.strip())
    if name:
        yield name, " ".join(texts)
