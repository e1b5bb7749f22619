"""Stores and directories that cannot be used, full disks: exit code 2, a message on stderr, no sample lost."""

from __future__ import annotations

import errno
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from codegen.plan import read_plan
from tests.capabilities import need
from tests.explorer.command_line import explore, null_run, program, refused, run


def count(store: Path) -> int:
    connection = sqlite3.connect(store)
    try:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        return int(connection.execute("select count(*) from samples").fetchone()[0])
    finally:
        connection.close()


# Stores


def test_a_store_of_another_version_is_kept(finished: Path, tmp_path: Path) -> None:
    store = Path(shutil.copy(finished / "samples.sqlite", tmp_path / "samples.sqlite"))
    connection = sqlite3.connect(store)
    with connection:
        connection.execute("update schema_version set version = 99")
    connection.close()
    before = count(store)
    refused(run(finished / "tiny.onnx", tmp_path), "StoreError", "samples.sqlite", "99", "--store")
    assert count(store) == before > 0


@pytest.mark.parametrize("content", [b"x", b"these are no samples, and long enough to be none\n" * 30])
def test_a_store_that_is_no_database_is_left_alone(content: bytes, model: Path, tmp_path: Path) -> None:
    (tmp_path / "samples.sqlite").write_bytes(content)
    refused(run(model, tmp_path), "StoreError", "samples.sqlite", "--store")
    assert (tmp_path / "samples.sqlite").read_bytes() == content


def test_a_store_of_something_else(model: Path, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "samples.sqlite")
    connection.execute("create table recipes (name)")
    connection.close()
    refused(run(model, tmp_path), "StoreError", "recipes", "--store")


@pytest.mark.parametrize("place", ["file/samples.sqlite", ""])
def test_a_store_where_none_can_be(place: str, model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(run(model, tmp_path, "--store", tmp_path / place), "StoreError", str(tmp_path))


# Results


@pytest.mark.parametrize("place", ["file", "file/below", "file/far/below"])
def test_results_in_the_way_of_a_file_are_refused_before_the_search(
    place: str, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("a file")
    refused(run(model, tmp_path, "--out", tmp_path / place), "OutputError", str(tmp_path / "file"), "--out")
    assert not (tmp_path / "samples.sqlite").exists()
    refused(explore("zoo", "mobilenet_v1", "--out", tmp_path / place / "m.onnx"), "OutputError", "--out")


def test_a_bundle_in_the_way_of_a_file(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    there = ("--model", finished / "tiny.onnx", "--out", tmp_path / "file")
    refused(explore("compile", finished / "out" / "plan.json", *there), "BundleError", "another directory")


def test_an_unknown_network_of_the_zoo(tmp_path: Path) -> None:
    refused(explore("zoo", "no-such-network", "--out", tmp_path / "m.onnx"), "mobilenet_v1")


def test_a_disk_that_is_full_at_the_report(model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "table.txt").symlink_to("/dev/full")
    refused(run(model, tmp_path), "OutputError", str(tmp_path / "out"), "full", "no sample is lost")
    assert count(tmp_path / "samples.sqlite") > 0


def test_a_system_that_gives_no_place_is_told_by_what_the_command_writes(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def over_quota(*_: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr("explorer.pipeline.results.write_summary", over_quota)
    refused(run(model, tmp_path), "OutputError", str(tmp_path / "out"), "quota")


# The program itself, on file systems of its own


def test_the_program_ends_with_exit_code_2(tmp_path: Path) -> None:
    ended = program(*null_run(tmp_path / "none.onnx", tmp_path))
    assert ended.returncode == 2
    assert "error (ModelError)" in ended.stderr and "none.onnx" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A directory that a program may mount something on for itself."""
    need("mount namespace")
    (tmp_path / "private").mkdir()
    return tmp_path / "private"


def test_a_full_disk_keeps_every_sample_and_the_next_run_goes_on(
    finished: Path, private: Path, tmp_path: Path
) -> None:
    arguments = null_run(finished / "tiny.onnx", tmp_path, "--store", private / "samples.sqlite")
    saved = tmp_path / "saved"
    script = (
        f'mount -t tmpfs -o size=170k tmpfs {private}; "$@" && exit 9; code=$?; '
        f"cp -r {private} {saved} && exit $code; true"
    )
    ended = program(*arguments, before=script)
    assert ended.returncode == 2, ended.stderr
    assert "StoreError" in ended.stderr and "disk is full" in ended.stderr
    assert "Traceback" not in ended.stderr
    kept = count(saved / "samples.sqlite")
    assert kept > 0
    moved = ("--store", saved / "samples.sqlite", "--overwrite")
    resumed = run(finished / "tiny.onnx", tmp_path, *moved)
    assert resumed.exit_code == 0, resumed.output
    samples = json.loads((tmp_path / "out" / "summary.json").read_text())["samples"]
    assert samples["known from the store"] >= kept
    assert read_plan(tmp_path / "out" / "plan.json") == read_plan(finished / "out" / "plan.json")


@pytest.mark.parametrize("size, error", [("8k", "OutputError"), ("12k", "PlanError"), ("64k", "BundleError")])
def test_a_disk_too_small_for_the_results(
    size: str, error: str, finished: Path, private: Path, tmp_path: Path
) -> None:
    store = Path(shutil.copy(finished / "samples.sqlite", tmp_path / "samples.sqlite"))
    arguments = null_run(finished / "tiny.onnx", tmp_path, "--out", private)
    ended = program(*arguments, before=f"mount -t tmpfs -o size={size} tmpfs {private}")
    assert ended.returncode == 2, ended.stderr
    assert error in ended.stderr and str(private) in ended.stderr and "free some space" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert count(store) == count(finished / "samples.sqlite")


@pytest.mark.parametrize("option, error", [("--store", "StoreError"), ("--out", "OutputError")])
def test_a_read_only_file_system(option: str, error: str, model: Path, private: Path, tmp_path: Path) -> None:
    ended = program(
        *null_run(model, tmp_path, option, private / "new"), before=f"mount -t tmpfs -o ro tmpfs {private}"
    )
    assert ended.returncode == 2, ended.stderr
    assert error in ended.stderr and str(private / "new") in ended.stderr
    assert "Traceback" not in ended.stderr
