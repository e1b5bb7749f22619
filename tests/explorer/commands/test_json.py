"""Every command that prints a table prints JSON too, whose fields its help lists; a new one that does not is found."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from explorer.cli import command_line
from explorer.terminal.json_output import plain
from tests.explorer.command_line import explore, run

# Functions and classes whose names say that they are, print or show a table.
TABLE = re.compile(
    r"(^|_)tables?($|_)|(Table|Sheet|_sheet)$|^show$|^_show|^print_(run|slots|findings)|^(step|summary)_|show_results"
)
WITHOUT = {  # what they print is no table
    "bench ground-truth",
    "compile",
    "devices add",
    "devices start-virtual",
    "devices stop-virtual",
    "devices test",
    "farm join",
    "farm up",
    "plan migrate",
    "plan schema",
    "plan weights",
    "qpu asm",
    "qpu disasm",
    "qpu isa",
    "report",
    "runner package",
    "samples export",
    "samples import",
    "watch",
    "zoo",
}


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command by its words; a group that does something by itself is one too."""
    below = getattr(command, "commands", {})
    if words and (not below or command.invoke_without_command):
        yield " ".join(words), command
    for name, inner in below.items():
        yield from leaves(inner, (*words, name))


COMMANDS = dict(leaves(typer.main.get_command(command_line())))


def json_option(command: Any) -> Any:
    return next((param for param in command.params if "--json" in param.opts), None)


def called(function: Callable[..., object]) -> set[str]:
    """Names that a function calls, and those that functions of its module call which it calls."""
    module, names, waiting = inspect.getmodule(function), set[str](), [function]
    while waiting:
        tree = ast.parse(textwrap.dedent(inspect.getsource(waiting.pop())))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", "") or getattr(node.func, "attr", "")
            if name in names:
                continue
            names.add(name)
            found = getattr(module, name, None)
            if inspect.isfunction(found) and inspect.getmodule(found) is module:
                waiting.append(found)
    return names


def prints_a_table(function: Callable[..., object]) -> bool:
    return any(TABLE.search(name) for name in called(inspect.unwrap(function)))


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_what_prints_a_table_prints_json(words: str) -> None:
    command = COMMANDS[words]
    option = json_option(command)
    if words in WITHOUT:
        assert option is None and not prints_a_table(command.callback), words
        return
    assert option is not None, f"explore {words} has no --json"
    assert re.search(r"print JSON in place of tables: \w.{10}", option.help), words


def test_a_command_that_prints_a_table_is_seen() -> None:
    from explorer.commands import algorithms, runs, zoo
    from explorer.commands.bench import networks

    assert all(prints_a_table(one) for one in (algorithms.algorithms, runs.runs, networks.networks))
    assert not prints_a_table(zoo.zoo)


def test_the_list_has_no_command_that_is_not_there() -> None:
    assert set(COMMANDS) > WITHOUT


def shown(*arguments: str | Path, code: int = 0) -> Any:
    """What a command prints as JSON, and nothing else on standard output."""
    result = explore(*arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_lists_of_what_there_is() -> None:
    assert {"algorithm": "cpu_softmax", "engine": "cpu"}.items() <= next(
        one for one in shown("algorithms") if one["algorithm"] == "cpu_softmax"
    ).items()
    assert shown("operators")[0]["operator"] == "Abs"
    devices = shown("devices")
    assert set(devices) == {"profiles", "boards", "ways"}
    zero = next(one for one in devices["profiles"] if one["device"] == "pi-zero")
    assert zero["qpus"] == 12 and zero["gpu_clock_hz"] == 250e6 and "uniform-0" in zero["variants"]
    assert {"virtual", "ssh"} <= {one["board"] for one in devices["ways"]}


def test_a_run_and_what_is_told_of_it(model: Path, tmp_path: Path) -> None:
    out, store = tmp_path / "out", ("--store", tmp_path / "samples.sqlite")
    result = run(model, tmp_path, "--json")
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert made["summary"] == json.loads((out / "summary.json").read_text())
    assert made["directory"] == str(out) and "plan.json" in made["files"]
    assert "null board, no silicon" in result.stderr and "Round 1" in result.stderr
    assert shown("check", model)["size"]["layers"] > 0
    (listed,) = shown("runs", tmp_path)
    assert listed["time_s"] == made["time_s"] and listed["kinds"] == ["modelled"]
    compared = shown("compare", out, out)
    assert compared["ratio"] == 1.0 and {row["layer"] for row in compared["layers"]} >= {"first", "second"}
    explained = shown("explain", out, "first")
    assert sum(one["is_chosen"] for one in explained["candidates"]) == 1
    samples = shown("samples", "list", *store)
    assert len(samples["samples"]) > 5 and samples["left_out"] == 0
    few = shown("samples", "list", "--limit", "2", *store)
    assert few["samples"] == samples["samples"][:2] and few["left_out"] == len(samples["samples"]) - 2
    assert shown("runs", out)[0]["run"] == str(out)
    (out / "summary.json").write_text("{}")
    assert "format" in shown("runs", out)[0]["note"]


def test_programs_of_the_qpus(tmp_path: Path) -> None:
    text = tmp_path / "end.txt"
    text.write_text("thread_end\nnop\nnop\n")
    listing = tmp_path / "end.hex"
    assembled = explore("qpu", "asm", text, "--out", listing)
    assert assembled.exit_code == 0, assembled.output
    checked = shown("qpu", "check", listing)
    assert (checked["instructions"], checked["findings"], checked["loops"]) == (3, [], [])
    (launch,) = shown("qpu", "run", listing, "--profile")["launches"]
    assert launch["counters"]["instructions"] == 3 and launch["time_s"] > launch["overhead_s"] > 0
    assert [one["index"] for one in next(iter(launch["instructions"].values()))] == [0, 1, 2]
    varied = shown("qpu", "sensitivity", listing)
    assert varied["time_s"] > 0 and all(len(one["times_s"]) == 2 for one in varied["constants"])


def test_a_benchmark_s_cells(model: Path) -> None:
    (table,) = shown("bench", "networks", model)
    assert table["rows"][0]["network"] == "tiny" and table["notes"]


def test_what_json_does_not_know_is_left_out_or_text() -> None:
    assert plain({"a": float("nan"), "b": (1, Path("x"))}) == {"a": None, "b": [1, "x"]}
