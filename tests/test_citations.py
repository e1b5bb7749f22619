"""Whatever a text of the project cites is in the project: files, directories, links, names of Python."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.test_floors import FLOORS, ROOT

PLACES = (*FLOORS, "docs", "results", "tests", r"\.ci")
# results/runs and results/profiles are written by commands. Words in capitals stand for what a user has.
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(PLACES)})/[\w./-]*\w/?(?![\w<*{{])")
WRITTEN = re.compile(r"results/(runs|profiles)\b")
TEXTS = ("", ".c", ".h", ".md", ".py", ".toml", ".txt")
DOCUMENT = re.compile(r"(?<![\w./-])[A-Z][A-Z_]{3,}\.md\b")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")
PYTHON_NAME = re.compile(rf"`((?:{'|'.join(FLOORS)}|tests)(?:\.\w+)+)`")


@cache
def texts() -> dict[Path, str]:
    """Every text file of the project, this one excepted."""
    places = (ROOT / place.replace("\\", "") for place in PLACES)
    files = [*(path for place in places for path in place.rglob("*")), *ROOT.glob("*")]
    return {
        path: path.read_text(encoding="utf-8")
        for path in files
        if path.is_file() and path.suffix in TEXTS and path != Path(__file__)
        if not WRITTEN.match(str(path.relative_to(ROOT))) and "node_modules" not in path.parts
    }


def cited_paths(text: str) -> Iterator[str]:
    """Paths from the top, and documents at the top."""
    for found in PATH.findall(text):
        if not WRITTEN.match(found):
            yield found.rstrip("/")
    yield from DOCUMENT.findall(text)


def exists(name: str) -> bool:
    """A file, a directory, or a module, whose name may stand without its ending."""
    return (ROOT / name).exists() or (ROOT / f"{name}.py").is_file()


def test_every_path_that_is_cited_exists() -> None:
    absent = {
        f"{path.relative_to(ROOT)}: {name}"
        for path, text in texts().items()
        for name in cited_paths(text)
        if not exists(name)
    }
    assert absent == set()


def test_every_link_leads_somewhere() -> None:
    documents = {path: text for path, text in texts().items() if path.suffix == ".md"}
    links = [(path, link) for path, text in documents.items() for link in LINK.findall(text)]
    assert len(links) > 10
    absent = [
        f"{path.relative_to(ROOT)}: {link}" for path, link in links if not (path.parent / link).exists()
    ]
    assert absent == []


def test_every_python_name_in_a_document_is_there() -> None:
    documents = [text for path, text in texts().items() if path.suffix == ".md"]
    names = {name for text in documents for name in PYTHON_NAME.findall(text)}
    assert len(names) > 5
    assert {name for name in names if not is_python_name(name)} == set()


def is_python_name(name: str) -> bool:
    """A module, or something in one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part, None)
        return found is not None
    return False


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("see docs/hardware.md, and `results/link.md`.", ["docs/hardware.md", "results/link.md"]),
        ("a class in `codegen/engines/cpu/` or .ci/run", ["codegen/engines/cpu", ".ci/run"]),
        ("results/runs/NET-DEVICE/plan.json, results/profiles/*.toml", []),
        ("as DESIGN.md says", ["DESIGN.md"]),
    ],
)
def test_citations_are_found(text: str, cited: list[str]) -> None:
    assert list(cited_paths(text)) == cited


def test_what_is_absent_is_seen() -> None:
    assert not exists("results/absent.md") and exists("codegen/plan")
    assert not is_python_name("codegen.plan.Absent") and not is_python_name("codegen.absent")
    assert is_python_name("codegen.plan.Plan")
