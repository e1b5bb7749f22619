"""Which generator made a candidate's code: part of what makes two samples comparable."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

SOURCES = ("engines/**/*", "layout.py")


@cache
def generator_revision() -> str:
    """The revision of the installed generator."""
    return revision_of(Path(__file__).parent)


def revision_of(root: Path) -> str:
    """The first 16 hexadecimal digits of SHA-256 over every source under `root` that decides a candidate's code.

    A candidate is a layer and a choice; the kernel generated for it changes with these files, and its measured
    time with it.
    """
    digest = hashlib.sha256()
    for path in sorted({path for pattern in SOURCES for path in root.glob(pattern)}):
        if path.suffix in (".py", ".c", ".h"):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
