"""What a person may do now: the last line of a command that shows a table or writes a file, never beside JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.studies.study_table import StudyTable, show
from tests.explorer.command_line import explore, run
from tests.explorer.tiny import write_tiny_model

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
PROGRAM = "thread_end\nnop\nnop\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network, a run of it on the null board, and a QPU program."""
    place = tmp_path_factory.mktemp("place")
    result = run(write_tiny_model(place / "tiny.onnx"), place)
    assert result.exit_code == 0, result.output
    (place / "none.txt").write_text(PROGRAM)
    return place


def commands(place: Path) -> list[tuple[str | Path, ...]]:
    """Each with the option --json where there is one."""
    out, store, devices = place / "out", place / "samples.sqlite", place / "devices.toml"
    binary = place / "none.bin"
    return [
        ("algorithms",),
        ("check", place / "tiny.onnx", "--device", "pi-zero"),
        ("compare", out, out),
        ("devices", "--devices", devices),
        ("explain", out, "first"),
        ("qpu", "asm", place / "none.txt", "--form", "raw", "--out", binary),
        ("qpu", "check", binary),
        ("qpu", "disasm", binary, "--out", place / "again.txt"),
        ("qpu", "run", binary),
        ("qpu", "sensitivity", binary),
        ("plan", "migrate", out / "plan.json", "--out", place / "plan.json"),
        ("plan", "weights", out / "plan.json", "--model", place / "tiny.onnx", "--out", place / "weights"),
        ("runs", place),
        ("runs", EXAMPLES),
        ("samples", "list", "--store", store),
        ("samples", "export", place / "samples.csv", "--store", store),
        ("samples", "import", place / "samples.csv", "--store", place / "other.sqlite"),
        ("zoo", "squeezenet", "--out", place / "zoo.onnx"),
    ]


def test_it_is_the_last_line(place: Path) -> None:
    for words in commands(place):
        result = explore(*words)
        assert result.exit_code == 0, result.output
        last = result.stdout.splitlines()[-1]
        assert last.startswith("next: ") and "explore" in last, (words, last)


@pytest.mark.parametrize("command", ["algorithms", "check", "compare", "devices", "explain", "runs"])
def test_json_stands_alone(place: Path, command: str) -> None:
    words = next(words for words in commands(place) if words[0] == command)
    assert "next:" not in explore(*words, "--json").output


def test_tables_of_studies_end_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    table = StudyTable("a title", (("network", "left"), ("time", "right")), (("n", "1 s"),), ("a note",))
    show([table], as_json=False, then="explore runs")
    assert capsys.readouterr().out.splitlines()[-2:] == ["a note", "next: explore runs"]
    show([table], as_json=True, then="explore runs")
    assert "next:" not in capsys.readouterr().out
