"""Models, options and plans that a user may get wrong: exit code 2 and a message on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from codegen.plan import read_plan
from tests.explorer.command_line import explore, refused, run
from tests.explorer.tiny import write_tiny_model

Json = dict[str, Any]


# Models


@pytest.mark.parametrize("content", [b"", b"no model at all", bytes(4096), b"\x89PNG\r\n\x1a\n" * 50])
def test_a_file_that_is_no_model(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(content)
    refused(run(tmp_path / "bad.onnx", tmp_path), "ModelError", "bad.onnx", "export or copy it again")


@pytest.mark.parametrize("name, text", [("none.onnx", "no such file"), ("", "is a directory")])
def test_a_model_that_is_not_there(name: str, text: str, tmp_path: Path) -> None:
    refused(run(tmp_path / name, tmp_path), "ModelError", str(tmp_path), text, "give the path")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_a_truncated_model(share: float, model: Path, tmp_path: Path) -> None:
    content = model.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: int(share * len(content))])
    refused(run(tmp_path / "cut.onnx", tmp_path), "ModelError", "cut.onnx", "truncated")


def test_external_data_that_is_missing(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "outside.onnx"
    onnx.save_model(
        onnx.load(model), str(path), save_as_external_data=True, location="outside.data", size_threshold=64
    )
    (tmp_path / "outside.data").unlink()
    refused(run(path, tmp_path), "ModelError", "outside.onnx", "'w1'", "outside.data", "put it beside")


@pytest.mark.parametrize("operator", ["TfIdfVectorizer"])
def test_an_operator_that_nobody_supports(operator: str, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "odd.onnx", operator=operator)
    supported = ("is not supported", "`explore operators` lists what is")
    refused(run(path, tmp_path), "UnsupportedOperatorError", "odd.onnx", "'activation'", operator, *supported)


def test_a_dynamic_shape_asks_for_one_and_takes_it(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "dynamic.onnx", side="size")
    refused(run(path, tmp_path), "DynamicShapeError", "dynamic.onnx", "--shape x=1,3,224,224")
    refused(run(path, tmp_path, "--shape", "y=1,3,8,8"), "ModelError", "'y'", "its inputs: x")
    refused(run(path, tmp_path, "--shape", "x=1,8,8"), "ModelError", "1,8,8", "--shape x=1,3,224,224")
    assert run(path, tmp_path, "--shape", "x=1,3,8,8").exit_code == 0
    assert read_plan(tmp_path / "out" / "plan.json").inputs[0].shape == (1, 3, 8, 8)


# Options


@pytest.mark.parametrize(
    "text", ["x", "x=", "=1,3", "x=1;3", "x=1,,3", "x=-1,3,8,8", "x=0,3", "x=1.5", "x=٣"]
)
def test_a_malformed_shape(text: str, model: Path, tmp_path: Path) -> None:
    refused(run(model, tmp_path, "--shape", text), "UsageError", repr(text), "--shape input=1,3,224,224")


def test_two_shapes_for_one_input(model: Path, tmp_path: Path) -> None:
    refused(run(model, tmp_path, "--shape", "x=1,3,8,8", "--shape", "x=1,3,9,9"), "UsageError", "'x'")


@pytest.mark.parametrize(
    "option, value, known",
    [
        ("--device", "pi-nine", ("ProfileError", "pi-zero", "host", "*.toml")),
        ("--board", "skate", ("BoardError", "null", "virtual", "ssh")),
        ("--cost-model", "oracle", ("CostModelError", "residual", "roofline")),
        ("--strategy", "guess", ("StrategyError", "successive")),
    ],
)
def test_an_unknown_name_lists_the_known_ones(
    option: str, value: str, known: tuple[str, ...], model: Path, tmp_path: Path
) -> None:
    refused(run(model, tmp_path, option, value), repr(value), *known)


def test_a_clock_for_a_device_without_a_gpu(model: Path, tmp_path: Path) -> None:
    refused(run(model, tmp_path, "--device", "host", "--v3d-hz", "3e8"), "ProfileError", "clock_hz", "leave")


def test_options_that_contradict_each_other(model: Path, tmp_path: Path) -> None:
    refused(run(model, tmp_path, "--ssh-key", "key"), "UsageError", "--ssh-key")
    refused(run(model, tmp_path, "--ssh", "pi@localhost"), "BoardError", "null", "leave out --ssh")


def test_options_out_of_range() -> None:
    assert explore("run", "--layer-budget", "0").exit_code == 2
    for budget in ("0", "0m", "0.0h"):
        refused(explore("run", "--budget", budget), "BudgetError", "a budget of nothing", "400")
    for budget in ("many", "-3", "1.5", "5 minutes", ""):
        refused(explore("run", "--budget", budget), "BudgetError", "--budget", "400")
    assert explore("run", "--no-such-option").exit_code == 2
    assert explore("run", "--model").exit_code == 2
    assert "--model" in explore("compile", "plan.json", "--out", "b").stderr


def test_no_arguments_show_the_commands() -> None:
    result = explore()
    assert result.exit_code == 2
    assert "compile" in result.output


# Plans


def test_a_plan_that_is_missing(model: Path, tmp_path: Path) -> None:
    result = explore("compile", tmp_path / "none.json", "--model", model, "--out", tmp_path / "b")
    refused(result, "PlanError", "none.json", "explore run")


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"\xff\xfe", b"[" * 100_000])
def test_a_plan_that_is_none(content: bytes, model: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(content)
    result = explore("compile", tmp_path / "plan.json", "--model", model, "--out", tmp_path / "b")
    refused(result, "PlanError", "plan.json")


def first_choice(plan: Json) -> Json:
    """Of the first layer, whatever brings its input into another layout before it."""
    choice: Json = next(step for step in plan["steps"] if step["name"] == "first")["choice"]
    return choice


@pytest.mark.parametrize(
    "change, texts",
    [
        (lambda plan: plan.update(schema_version=4), ("version 4", "reads versions 1 to 3", "explore run")),
        (lambda plan: plan.pop("schema_version"), ("no schema_version", "explore run")),
        (lambda plan: plan.update(extra=1), ("extra", "explore run")),
        (lambda plan: plan["steps"].pop(), ("no step writes output 'y'",)),
        (
            lambda plan: first_choice(plan).update(algorithm="magic"),
            ("'first'", "'magic'", "cpu_blocked_depthwise"),
        ),
        (lambda plan: first_choice(plan).update(tile=[["rows", 999]]), ("'first'", "does not offer")),
        (lambda plan: first_choice(plan).update(split=[["qpus", 99]]), ("'first'", "does not offer")),
    ],
)
def test_a_plan_of_another_version_or_one_that_was_edited(
    change: Callable[[Json], object], texts: tuple[str, ...], finished: Path, tmp_path: Path
) -> None:
    plan = json.loads((finished / "out" / "plan.json").read_text())
    change(plan)
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    result = explore("compile", tmp_path / "plan.json", "--model", finished / "tiny.onnx", "--out", tmp_path)
    refused(result, "PlanError", "plan.json", *texts)


def test_a_plan_of_another_model_or_device(finished: Path, tmp_path: Path) -> None:
    plan = finished / "out" / "plan.json"
    other = write_tiny_model(tmp_path / "other.onnx", seed=1)
    refused(explore("compile", plan, "--model", other, "--out", tmp_path / "b"), "PlanError", "explore run")
    renamed = onnx.load(str(other))
    renamed.graph.input[0].name = renamed.graph.node[0].input[0] = "z"
    onnx.save(renamed, str(other))
    refused(
        explore("compile", plan, "--model", other, "--out", tmp_path / "b"),
        "PlanError",
        "inputs 'x'",
        "has the inputs 'z'",
    )
    there = ("--model", finished / "tiny.onnx", "--out", tmp_path / "b", "--device", "host")
    refused(explore("compile", plan, *there), "PlanError", "'pi-zero'", "--device host")


def test_a_device_that_is_misspelt(model: Path, tmp_path: Path) -> None:
    refused(run(model, tmp_path, "--device", "pi-zeroo"), "ProfileError", "did you mean 'pi-zero'?")
    refused(run(model, tmp_path, "--device", tmp_path / "no.toml"), "ProfileError", "no.toml")
    refused(run(model, tmp_path, "--devices", tmp_path / "no.toml"), "DevicesError", "there is no file")


def test_a_model_may_stand_alone_but_not_twice(model: Path, tmp_path: Path) -> None:
    place = (
        "--board",
        "null",
        "--layer-budget",
        "1",
        "--store",
        tmp_path / "s.sqlite",
        "--out",
        tmp_path / "o",
    )
    result = explore("run", model, *place)
    assert result.exit_code == 0, result.output
    assert "next: explore compare" in result.stdout
    refused(explore("run", model, "--model", model, *place), "UsageError", "two models")


def test_a_sentence_about_an_algorithm_is_whole() -> None:
    assert "each with its share of the taps, which write every stride-th pixel" in " ".join(
        explore("algorithms").stdout.split()
    )
