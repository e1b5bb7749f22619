"""Directories of results: each is one run's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from codegen.plan import read_plan
from explorer.errors import ChoiceError, ExplorerError, RunExistsError, SampleFileError
from explorer.runs.claim import DIRECTORIES, FILES, UNKNOWN, claim, given_back_if_refused, owner_of
from explorer.runs.data import open_runs
from explorer.settings import RunSettings
from tests.explorer.command_line import explore, refused
from tests.explorer.tiny import write_tiny_model

ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64
PLAIN = Path("results/runs/net-pi-zero")


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def settings() -> RunSettings:
    return RunSettings(model=Path("net.onnx"))


def test_the_first_run_has_the_plain_name_and_the_others_are_told_apart(settings: RunSettings) -> None:
    assert claim(settings, ONE).directory == PLAIN
    assert claim(settings, TWO).directory == PLAIN.with_name("net-pi-zero-22222222")
    assert claim(settings, THREE).directory == PLAIN.with_name("net-pi-zero-33333333")


def test_a_run_goes_on_in_its_own_directory(settings: RunSettings) -> None:
    for identity in (ONE, TWO):
        place = claim(settings, identity).directory
        (place / "plan.json").write_text("{}")
        assert claim(settings, identity).directory == place
        assert (place / "plan.json").exists() and owner_of(place) == identity


def test_a_directory_of_another_run_is_refused(settings: RunSettings) -> None:
    named = replace(settings, out=Path("mine"))
    assert claim(named, ONE).directory == Path("mine")
    with pytest.raises(
        RunExistsError, match=r"mine holds .*explore run --device pi-zero.*--out.*--overwrite"
    ):
        claim(named, TWO)
    assert owner_of(Path("mine")) == ONE
    claim(named, ONE)


@pytest.mark.parametrize("refusal", [ChoiceError("no such layer"), SampleFileError("no such file")])
@pytest.mark.parametrize(("left", "owner"), [((), None), (("notes.txt",), None), (("plan.json",), ONE)])
def test_what_was_asked_for_in_vain_takes_no_directory(
    settings: RunSettings, refusal: ExplorerError, left: tuple[str, ...], owner: str | None
) -> None:
    directory = claim(settings, ONE).directory
    for name in left:
        (directory / name).touch()
    with pytest.raises(type(refusal)), given_back_if_refused(directory):
        raise refusal
    assert directory.exists() == bool(left)
    assert owner_of(directory) == owner


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1, "command": ["explore"]}'])
def test_a_run_that_does_not_say_whose_it_is_is_another(settings: RunSettings, content: str) -> None:
    PLAIN.mkdir(parents=True)
    (PLAIN / "run.json").write_text(content)
    assert owner_of(PLAIN) == UNKNOWN
    assert claim(settings, ONE).directory != PLAIN
    with pytest.raises(RunExistsError):
        claim(replace(settings, out=PLAIN), ONE)


def test_a_plan_alone_is_another_run_and_other_files_are_none(settings: RunSettings) -> None:
    named = replace(settings, out=Path("mine"))
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine")
    assert owner_of(Path("mine")) is None
    Path("mine/plan.json").write_text("{}")
    with pytest.raises(RunExistsError):
        claim(named, ONE)


def test_overwriting_removes_what_a_run_leaves_and_nothing_else(settings: RunSettings) -> None:
    named = replace(settings, out=Path("mine"))
    claim(named, ONE)
    for name in (*FILES, *DIRECTORIES):
        if name in DIRECTORIES:
            (Path("mine") / name / "below").mkdir(parents=True)
        elif name != "run.json":
            (Path("mine") / name).write_text("one")
    Path("mine/notes.txt").write_text("mine")
    claim(replace(named, overwrite=True), TWO)
    assert sorted(path.name for path in Path("mine").iterdir()) == ["notes.txt", "run.json"]
    assert owner_of(Path("mine")) == TWO


def test_overwriting_takes_the_plain_name(settings: RunSettings) -> None:
    claim(settings, ONE)
    assert claim(replace(settings, overwrite=True), TWO).directory == PLAIN


def test_everything_that_a_run_leaves_is_known(virtual_run: Path) -> None:
    assert {path.name for path in virtual_run.iterdir()} <= {*FILES, *DIRECTORIES}


def test_models_of_one_name_and_settings_never_share_a_directory(work: Path) -> None:
    """As a user meets it: every run has a plan of its own, and the same run measures nothing the second time."""
    for place, channels in (("a", 8), ("b", 12)):
        (work / place).mkdir()
        write_tiny_model(work / place / "model.onnx", channels=channels)
    words = ("run", "--board", "null", "--layer-budget", "3", "--model")
    runs = [("a/model.onnx",), ("b/model.onnx",), ("a/model.onnx", "--seed", "1"), ("a/model.onnx",)]
    for more in runs:
        result = explore(*words, *more)
        assert result.exit_code == 0, result.output
    found = dict(open_runs(work / "results" / "runs"))
    assert len(found) == 3 and min(place.name for place in found) == "model-pi-zero"
    assert len({(place / "plan.json").read_bytes() for place in found}) == 3
    first = work / "results" / "runs" / "model-pi-zero"
    assert json.loads((first / "summary.json").read_text())["samples"]["measured now"] == 0
    other = ("b/model.onnx", "--out", first)
    before = read_plan(first / "plan.json")
    refused(explore(*words, *other), "RunExistsError", str(first), "--overwrite")
    assert read_plan(first / "plan.json") == before
    assert explore(*words, *other, "--overwrite").exit_code == 0
    assert read_plan(first / "plan.json").model_sha256 != before.model_sha256
