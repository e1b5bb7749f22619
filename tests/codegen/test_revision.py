"""A revision changes with the code that it stands for, and with nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from codegen.algorithm import algorithms
from codegen.errors import ScheduleError
from codegen.revision import OWN, algorithm_revision, bundle_revision, revision_of

Edit = Callable[[str], str]
Revisions = dict[str, str]
TILES = "engines/cpu/blocked/winograd_tiles.py"


@pytest.fixture
def package(tmp_path: Path) -> Callable[[str, Edit], Path]:
    """The package where one file of it is another."""

    def copied(name: str, edit: Edit) -> Path:
        package = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(OWN, package, ignore=shutil.ignore_patterns("__pycache__"))
        text = (package / name).read_text(encoding="utf-8")
        assert edit(text) != text
        (package / name).write_text(edit(text), encoding="utf-8")
        return package

    return copied


@pytest.fixture
def edited(package: Callable[[str, Edit], Path]) -> Callable[[str, Edit], Revisions]:
    """The revisions of all algorithms where one file of the package is another."""

    def revisions(name: str, edit: Edit) -> Revisions:
        changed = package(name, edit)
        return {
            algorithm.name: revision_of(type(algorithm).__module__, algorithm.engine, changed)
            for algorithm in algorithms().values()
        }

    return revisions


def installed() -> Revisions:
    return {name: algorithm_revision(algorithm) for name, algorithm in algorithms().items()}


def changed(revisions: Revisions) -> set[str]:
    return {name for name, revision in installed().items() if revisions[name] != revision}


def with_constant(text: str) -> str:
    return f"{text}\nNEW_LIMIT = 7\n"


def of(engine: str) -> set[str]:
    return {name for name, algorithm in algorithms().items() if algorithm.engine == engine}


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: f"{text}\n# of no effect\n",
        lambda text: text.replace('"""', '"""Another docstring. ', 1),
        lambda text: text.replace("\n\n\n", "\n\n\n\n"),
        lambda text: f"{text}\n'A string that only stands there.'\n",
    ],
    ids=["comment", "docstring", "blank lines", "string"],
)
def test_comments_docstrings_and_layout_change_nothing(
    edited: Callable[[str, Edit], Revisions], edit: Edit
) -> None:
    assert changed(edited(TILES, edit)) == set()


def test_a_kernel_s_constant_changes_exactly_the_algorithms_that_import_it(
    edited: Callable[[str, Edit], Revisions],
) -> None:
    assert changed(edited(TILES, with_constant)) == {"cpu_blocked_winograd"}
    assert changed(edited("engines/cpu/blocked/conv_transpose.py", with_constant)) == {
        "cpu_blocked_conv_transpose"
    }


def test_a_kernel_of_the_qpus_leaves_the_cpu_s_algorithms_as_they_were(
    edited: Callable[[str, Edit], Revisions],
) -> None:
    assert changed(edited("engines/videocore4/scheduler.py", with_constant)) == of("videocore4")
    assert changed(edited("engines/videocore4/link.py", with_constant)) == of("videocore4")


def test_what_all_import_changes_all(edited: Callable[[str, Edit], Revisions]) -> None:
    assert changed(edited("schedule.py", with_constant)) == set(algorithms())


@pytest.mark.parametrize("name", ["pool.c", "measure.c"])
def test_what_kernels_are_compiled_with_counts_by_its_bytes(
    edited: Callable[[str, Edit], Revisions], name: str
) -> None:
    assert changed(edited(f"engines/cpu/runtime/{name}", lambda text: f"{text}/* new */\n")) == of("cpu")
    assert changed(edited("engines/cpu/runtime/main.c", lambda text: f"{text}/* new */\n")) == set()


def test_a_network_depends_on_all_its_algorithms() -> None:
    one, other = bundle_revision(frozenset({"cpu_pool"})), bundle_revision(frozenset({"cpu_pool", "cpu_map"}))
    assert len(one) == len(other) == 16 and one != other


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("engines/videocore4/engine.py", {"qpu_map"}),
        ("engine_base.py", {"cpu_map"}),
        ("bundle/sections.py", {"qpu_map", "cpu_map"}),
    ],
)
def test_a_network_depends_on_what_makes_its_sections_and_composes_them(
    package: Callable[[str, Edit], Path], name: str, changes: set[str]
) -> None:
    other = package(name, with_constant)
    found = {
        algorithm
        for algorithm in ("cpu_map", "qpu_map")
        if bundle_revision(frozenset({algorithm}), other) != bundle_revision(frozenset({algorithm}))
    }
    assert found == changes


def test_an_algorithm_without_a_source_file_is_refused() -> None:
    with pytest.raises(ScheduleError, match="no source file"):
        revision_of("nowhere", "cpu")


def test_importing_reads_no_source() -> None:
    code = (
        "import codegen.revision as r, explorer.pipeline.run; r.revision_of.cache_info().misses and exit(1)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
