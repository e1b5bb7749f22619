"""Every package that is imported is declared, where its importer needs it, and has one version everywhere."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, metadata, packages_distributions
from pathlib import Path

import pytest

from tests.test_floors import FLOORS, ROOT, imported_modules

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
INSTALLED = packages_distributions()
# Files that run where other packages are: environments of their own (microbench/peers), an emulated userland.
ELSEWHERE = frozenset(
    {
        ROOT / "microbench" / "peers" / "programs",
        ROOT / "microbench" / "emulation" / "judges" / "time_ncnn.py",
    }
)
# An extra that cannot be installed beside the others: it wants an older protobuf.
IN_ENVIRONMENTS_OF_THEIR_OWN = frozenset({"ortools"})
DEBIAN_12 = (3, 11, 2)  # its Python
# Modules of the packages outside the tree, which import each other.
OF_PLUGINS = frozenset(path.stem for path in (ROOT / "tests" / "plugins").glob("*/*.py"))


def normal(distribution: str) -> str:
    """The name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def declared(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[\[<>=!~ ]", requirement)[0]) for requirement in requirements}


def distributions_of(path: Path) -> Iterator[str]:
    """What must be installed for a file's imports, wherever they stand."""
    for module in imported_modules(path.read_text(encoding="utf-8")):
        top, *rest = module.split(".")
        if top in sys.stdlib_module_names or top in (*FLOORS, *OF_PLUGINS, "tests", ""):
            continue
        name = "protobuf" if (top, *rest)[:2] == ("google", "protobuf") else top
        yield from map(normal, INSTALLED.get(name, [name])[:1])


def imported(package: str) -> dict[str, set[str]]:
    """Distributions, with the files that import them."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        if ELSEWHERE.isdisjoint({path, *path.parents}):
            for distribution in distributions_of(path):
                found.setdefault(distribution, set()).add(str(path.relative_to(ROOT)))
    return found


@pytest.mark.parametrize("package", [*FLOORS, "tests"])
def test_what_is_imported_is_declared(package: str) -> None:
    allowed = declared(PROJECT["dependencies"])
    for extra in EXTRAS if package == "tests" else EXTRAS.keys() - {"dev"}:
        allowed |= declared(EXTRAS[extra])
    found = imported(package)
    assert found
    assert {name: files for name, files in found.items() if name not in allowed} == {}


def test_what_is_declared_has_one_version() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    pinned = {normal(line.partition("==")[0]) for line in lines}
    every = declared(PROJECT["dependencies"]).union(*map(declared, EXTRAS.values()))
    assert every - {"explore-edge"} - IN_ENVIRONMENTS_OF_THEIR_OWN <= pinned


def test_what_is_pinned_runs_on_debian_12() -> None:
    too_new = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, _, pinned = line.partition("==")
        with suppress(PackageNotFoundError):
            about = metadata(name)
            least = re.findall(r">=\s*(\d+(?:\.\d+)*)", str(about.json.get("requires_python", "")))
            if about["Version"] == pinned and any(tuple(map(int, v.split("."))) > DEBIAN_12 for v in least):
                too_new[line] = about["Requires-Python"]
    assert too_new == {}


def test_an_import_inside_a_function_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(
        "def f():\n    import google.protobuf.message\n    from scipy import stats\n    import os\n"
    )
    assert set(distributions_of(path)) == {"protobuf", "scipy"}
