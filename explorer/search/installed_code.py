"""Which code decides what a search asks for: of equal code and equal knowledge it asks the same."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

OWN = ("codegen", "microbench", "cost_models", "explorer")
DECIDING = ("lightgbm", "numpy", "optuna")  # distributions whose numbers decide


def installed_code(classes: Iterable[type]) -> str:
    """A digest of every source file of this project and of the top-level packages that define the classes, and of the
    versions of what they compute with. Any change changes it, of a comment too.
    """
    others = {one.__module__.partition(".")[0] for one in classes}
    return _digest(frozenset({*OWN, *others}))


@cache
def _digest(packages: frozenset[str]) -> str:
    digest = hashlib.sha256()
    for text in (
        platform.python_version(),
        platform.machine(),
        *(f"{name} {version(name)}" for name in DECIDING),
    ):
        digest.update(f"{text}\0".encode())
    for package in sorted(packages):
        for place, path in _sources(package):
            content = path.read_bytes()
            digest.update(f"{package} {place} {len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def _sources(package: str) -> Iterator[tuple[str, Path]]:
    spec = find_spec(package)
    assert spec is not None  # a class of it was imported
    if spec.submodule_search_locations is None:
        yield "", Path(spec.origin or "")
        return
    for root in map(Path, spec.submodule_search_locations):
        for path in sorted(root.rglob("*.py")):
            yield path.relative_to(root).as_posix(), path
