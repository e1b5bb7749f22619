"""The Python API: the same files as the command, silence unless asked, examples that hold."""

from __future__ import annotations

import ast
import doctest
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import explorer
import explorer.api
from explorer import CheckFailedError, FinishedRun, RunSettings, SearchSettings, explore, open_run
from explorer.errors import OutputError, RunDataError, RunExistsError, UsageError
from explorer.measure.judge import relative_error
from explorer.runs.data import FRONT_COLUMNS
from explorer.runs.files import SAMPLE_COLUMNS
from explorer.runs.frames import STEP_COLUMNS
from explorer.terminal.console import text_file
from explorer.terminal.progress import Outlook, Silent
from microbench.store import Sample
from tests.explorer.command_line import explore as command
from tests.explorer.tiny import write_tiny_model

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "python.md"
HEAVY = {"numpy", "pandas", "onnx", "onnxruntime", "pydantic", "rich", "typer", "codegen", "microbench"}


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory by its place in it."""
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a tiny network in it."""
    monkeypatch.chdir(tmp_path)
    write_tiny_model(tmp_path / "tiny.onnx")
    return tmp_path


def null_settings(**more: object) -> RunSettings:
    given = {"model": "tiny.onnx", "board": "null", "store": "s.sqlite", "out": "out", **more}
    return RunSettings(search=SearchSettings(layer_budget=2), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "objective, board",
    [
        ("latency", "null"),
        ("latency", "virtual"),
        pytest.param("front", "virtual", marks=pytest.mark.slow),
    ],
)
def test_the_command_and_the_api_leave_the_same_files(
    objective: str, board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    for way in ("command", "api"):
        (tmp_path / way).mkdir()
    monkeypatch.chdir(tmp_path / "command")
    words = ("--model", model, "--store", "s.sqlite", "--out", "out", "--layer-budget", "2", "--seed", "3")
    result = command("run", "--board", board, "--objective", objective, *words)
    assert result.exit_code == 0, result.output
    monkeypatch.chdir(tmp_path / "api")
    search = SearchSettings(seed=3, layer_budget=2)
    shown = io.StringIO()
    run = explore(
        RunSettings(
            model=model,
            board=board,
            objective=objective,  # type: ignore[arg-type]
            store="s.sqlite",
            out=Path("out"),
            search=search,
        ),
        console=text_file(shown),
    )
    one, other = contents(tmp_path / "command" / "out"), contents(tmp_path / "api" / "out")
    assert sorted(one) == sorted(other)
    assert {
        "plan.json",
        "bundle/manifest.json",
        "table.txt",
        "summary.json",
        "reasons.csv",
        "samples.csv",
        "run.json",
    } <= set(one)
    assert ("front.csv" in one) == (run.front is not None) == (objective == "front")
    assert [name for name in one if one[name] != other[name]] == []
    assert words_of(shown.getvalue()) == words_of(result.output)


def words_of(output: str) -> list[str]:
    """What was shown, without what depends on the clock."""
    return re.sub(r"[\d.]+ s$", "", output, flags=re.MULTILINE).split()


def test_nothing_is_printed_and_progress_is_told_to_whom_it_was_promised(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    phases, outlooks, samples = [], [], []

    class Notes(Silent):
        def phase(self, title: str) -> None:
            phases.append(title)

        def outlook(self, outlook: Outlook) -> None:
            outlooks.append(outlook)

        def sample(self, sample: Sample, measured: bool) -> None:
            samples.append(sample)

        def directory(self, place: Path) -> None:
            assert place == Path("out") and (place / "run.json").is_file()

    run = explore(null_settings(), progress=Notes())
    assert phases[0] == "Import" and phases[-1] == "Report"
    assert len(samples) >= run.summary.samples["measured now"] > 0
    assert {key for one in outlooks for key in one.reasons} == {one.candidate_hash for one in samples}
    assert capfd.readouterr() == ("", "")


def test_a_finished_run_has_plan_tables_figures_and_files(place: Path) -> None:
    made = explore(null_settings())
    run = open_run("out")
    assert isinstance(made, FinishedRun) and made.plan == run.plan and made.summary == run.summary
    assert list(run.layers["layer"]) == [step.name for step in run.plan.steps]
    assert list(run.layers.columns) == list(STEP_COLUMNS)
    assert list(run.candidates.columns) == list(SAMPLE_COLUMNS)
    assert set(run.layers["candidate"]) <= set(run.candidates["candidate"])
    assert run.time_s == pytest.approx(run.layers["time_s"].sum(), rel=0.5)
    assert set(run.figures) == {"layers"} and run.figures["layers"].read_bytes().startswith(b"\x89PNG")
    assert run.files["summary.json"] == run.directory / "summary.json"
    assert run.command[:2] == ("explore", "run") and run.front is None
    assert (run.bundle / "manifest.json").is_file()


def test_a_wrong_bundle_is_an_error_after_everything_is_written(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.plans.check.relative_error", lambda *values: 0.5 + relative_error(*values))
    with pytest.raises(CheckFailedError, match="do not use this bundle"):
        explore(null_settings(board="virtual", qpus=1))
    check = open_run("out").summary.check
    assert check is not None and check.largest_error > check.tolerance


def test_another_run_s_directory_and_a_full_disk_are_typed_errors(place: Path) -> None:
    explore(null_settings())
    with pytest.raises(RunExistsError, match="--overwrite"):
        explore(null_settings(qpus=3))
    (place / "full").mkdir()
    (place / "full" / "table.txt").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="disk is full"):
        explore(null_settings(out="full"))


def test_a_run_that_did_not_finish_is_refused(place: Path) -> None:
    explore(null_settings())
    (place / "out" / "samples.csv").unlink()
    with pytest.raises(RunDataError, match=r"samples\.csv is not there"):
        _ = open_run("out").candidates
    (place / "out" / "summary.json").unlink()
    for named in ("out", "out/plan.json"):
        with pytest.raises(RunDataError, match="no finished run"):
            open_run(named)


@pytest.mark.parametrize(
    "field, value, said",
    [
        ("qpus", 0, "qpus cannot be 0"),
        ("v3d_hz", 250, "at least 1e.06 and at most 5e.09"),
        ("v3d_hz", "fast", "'fast'"),
        ("gpu_memory", "warm", "cached or direct"),
        ("shapes", {"x": (1, 0)}, r"shapes\['x'\] cannot be 0"),
        ("objective", "fastest", "'fastest' is unknown"),
    ],
)
def test_settings_that_no_run_can_have_are_refused(field: str, value: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        RunSettings(**{field: value})  # type: ignore[arg-type]


def test_importing_the_package_imports_nothing_else() -> None:
    code = f"import sys, explorer; dir(explorer); print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_type_checkers_see_the_same() -> None:
    tree = ast.parse(Path(explorer.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name: node.module
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == vars(explorer)["_HOMES"]
    assert sorted(seen) == explorer.__all__ and set(seen) <= set(dir(explorer))
    assert all(getattr(explorer, name) is not None for name in explorer.__all__)
    with pytest.raises(AttributeError, match="no attribute 'explain'"):
        _ = explorer.explain  # type: ignore[attr-defined]


def test_the_examples_of_docstrings_hold(place: Path) -> None:
    tests = doctest.DocTestFinder().find(explorer.api, "explorer.api")
    examples = [test for test in tests if test.examples]
    assert {test.name.rpartition(".")[2] for test in examples} >= {"explore", "open_run", "load_bundle"}
    # The run that the others open comes first.
    examples.sort(key=lambda test: test.name != "explorer.api.explore")
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    said = io.StringIO()
    for test in examples:
        runner.run(test, out=said.write)
    assert runner.summarize(verbose=False).failed == 0, said.getvalue()


def test_the_page_s_example_runs_as_it_stands(place: Path) -> None:
    write_tiny_model(place / "my_network.onnx")
    code = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    names: dict[str, object] = {}
    exec(compile("\n".join(code), str(PAGE), "exec"), names)
    assert isinstance(names["run"], FinishedRun)
    assert json.loads((place / "results/runs/my_network-host/summary.json").read_text())["check"]["same_top5"]


@pytest.mark.parametrize("columns", [SAMPLE_COLUMNS, STEP_COLUMNS, FRONT_COLUMNS])
def test_the_page_says_what_each_column_is(columns: dict[str, str]) -> None:
    rows = "\n".join(f"| `{name}` | {text} |" for name, text in columns.items())
    assert rows in PAGE.read_text(encoding="utf-8"), f"docs/python.md lacks these rows:\n{rows}"
