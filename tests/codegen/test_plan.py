"""The plan file: round trips, its schema, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.canonical import content_hash
from codegen.errors import PlanError
from codegen.operators.conv2d import Conv2d
from codegen.plan import (
    Plan,
    are_of_one_model,
    check_plan_fits,
    plan_hash,
    plan_text,
    read_plan,
    write_plan,
)
from codegen.schedule import Choice, values
from codegen.tensor import TensorType
from tests.codegen.layers import layer_spec
from tests.codegen.planned import MODEL_HASH, first_choice, plan_of, relayout_step, small_network, step_of


@pytest.fixture
def plan() -> Plan:
    return plan_of(small_network())


def changed(plan: Plan, **fields: Any) -> dict[str, Any]:
    return {**json.loads(plan_text(plan)), **fields}


def written(content: object, tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_reading_what_was_written_gives_the_same_plan(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "plan.json"
    write_plan(plan, path)
    again = read_plan(path)
    assert again == plan
    assert again.steps[0].candidate.hash == plan.steps[0].candidate.hash
    text = path.read_text(encoding="utf-8")
    write_plan(again, path)
    assert path.read_text(encoding="utf-8") == text == plan_text(plan)
    assert text.endswith("}\n")
    assert [entry.name for entry in path.parent.iterdir()] == ["plan.json"]


layouts = st.sampled_from(["nchw", "pixel16"])
points = st.dictionaries(st.text("abcdef_", min_size=1, max_size=8), st.integers(-(2**40), 2**40), max_size=4)


@given(
    split=points, tile=points, source=layouts, target=layouts, engine=st.sampled_from(["cpu", "videocore4"])
)
def test_choices_round_trip(split: Any, tile: Any, source: str, target: str, engine: Any) -> None:
    spec = layer_spec(Conv2d((1, 1)), (TensorType((1, 4, 3, 3)),), TensorType((1, 4, 3, 3)))
    choice = Choice(engine, "any", values(split), values(tile), (source,), (target,))
    step = step_of("layer", spec, ("x",), "y", choice)
    assert type(step).model_validate(json.loads(step.model_dump_json())).choice == choice


def test_a_plan_holds_no_wall_clock_time(plan: Plan) -> None:
    assert plan_hash(plan) == plan_hash(plan_of(small_network()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "no JSON object"),
        ("{}", "is no plan: it has no schema_version"),
        ('{"schema_version": null}', "of version None"),
        ('{"schema_version": 7}', "of version 7, this program reads versions 1 to 3"),
        ('{"schema_version": 3}', "model_name: Field required"),
    ],
)
def test_other_files_are_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(PlanError, match=message) as raised:
        read_plan(path)
    assert str(path) in str(raised.value)


def test_a_missing_file_or_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be read"):
        read_plan(tmp_path / "absent.json")
    with pytest.raises(PlanError, match=r"is a directory: name the plan\.json in it"):
        read_plan(tmp_path)
    (tmp_path / "latin").write_bytes(b'"\xe9"')
    with pytest.raises(PlanError, match="is no text"):
        read_plan(tmp_path / "latin")


def test_contradictions_name_the_step(plan: Plan, tmp_path: Path) -> None:
    content = changed(plan)
    steps = content["steps"]
    cases = [
        ({**steps[1], "spec_hash": "0" * 64}, "layer 1.*spec_hash"),
        ({**steps[1], "inputs": ["nowhere"]}, "reads 'nowhere@nchw'"),
        ({**steps[1], "inputs": []}, "differ in number"),
        ({**steps[1], "name": "layer 0"}, "two steps are named 'layer 0'"),
        ({**steps[1], "high_s": 0.0}, "outside its interval"),
        ({**steps[1], "choice": {**steps[1]["choice"], "tile": [["a", 0.5]]}}, "tile"),
        ({**steps[1], "choice": {"type": "Choice"}}, "choice.*missing"),
        (
            {**steps[1], "choice": {**steps[1]["choice"], "engine": "npu"}},
            "layer 1.*unknown engine 'npu'.*plug-in",
        ),
        ({key: value for key, value in steps[1].items() if key != "summary"}, "summary: Field required"),
    ]
    for step, message in cases:
        path = written({**content, "steps": [steps[0], step, *steps[2:]]}, tmp_path)
        with pytest.raises(PlanError, match=message):
            read_plan(path)


def with_spec(plan: Plan, number: int, **fields: Any) -> dict[str, Any]:
    """A plan with fields of a step's spec changed, and the hash that such a spec has."""
    content = changed(plan)
    spec = content["steps"][number]["spec"]
    spec.update({key: value if key == "op" else types(spec[key], value) for key, value in fields.items()})
    content["steps"][number]["spec_hash"] = content_hash(spec)
    return content


def types(before: list[dict[str, Any]], shape: tuple[int, ...]) -> list[dict[str, Any]]:
    return [{**before[0], "shape": list(shape)}, *before[1:]]


@pytest.mark.parametrize(
    ("number", "fields", "message"),
    [
        (0, {"inputs": (3, 17, 17)}, "does not take"),
        (0, {"inputs": (1, 3, 17, 17, 1)}, "does not take"),
        (0, {"inputs": ()}, "does not take"),
        (0, {"outputs": (1, 8, 9, 10)}, r"typed .*\(1, 8, 9, 10\) but the operator gives .*\(1, 8, 9, 9\)"),
        (0, {"weights": (0, 3, 3, 3)}, "does not take"),
        (0, {"outputs": (1, 0, 9, 9)}, "dimensions above 0"),
        (5, {"inputs": (1, 12)}, "does not take"),
        (9, {"inputs": (1, 12, 1)}, "does not take|operator gives"),
    ],
)
def test_a_spec_of_no_layer_is_refused_whatever_its_hash(
    plan: Plan, tmp_path: Path, number: int, fields: dict[str, Any], message: str
) -> None:
    content = with_spec(plan, number, **fields)
    with pytest.raises(PlanError, match=rf"{plan.steps[number].name}.*no layer.*({message})"):
        read_plan(written(content, tmp_path))


def test_a_plan_that_is_nested_or_named_as_none_is_refused(plan: Plan, tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(600):
        deep = [deep]
    content = changed(plan)
    hostile: tuple[Any, ...] = (["cpu_conv_direct"], {}, 7, deep)
    for algorithm in hostile:
        content["steps"][0]["choice"]["algorithm"] = algorithm
        with pytest.raises(PlanError, match="explore run"):
            read_plan(written(content, tmp_path))


def test_relayout_steps_keep_to_their_name_and_tensor() -> None:
    graph = small_network()
    step = relayout_step("x", graph.types["x"], "nchw", "pixel16")
    assert (step.name, step.reads, step.writes) == ("relayout:x:pixel16", ("x@nchw",), ("x@pixel16",))
    fields: dict[str, Any] = {"spec": step.spec, "inputs": ("x",), "output": "x", "choice": step.choice}
    with pytest.raises(ValueError, match="a Relayout is named"):
        step_of("other", **fields)
    with pytest.raises(ValueError, match="are not those of its Relayout"):
        step_of(step.name, **{**fields, "choice": dataclasses.replace(step.choice, output_layouts=("nchw",))})


def test_a_plan_for_another_model_is_refused(plan: Plan) -> None:
    check_plan_fits(plan, MODEL_HASH)
    with pytest.raises(PlanError, match="was made for model 'small net'"):
        check_plan_fits(plan, "0" * 64)


@pytest.mark.parametrize("version", [1, 2])
def test_a_plan_of_before_whose_hash_was_of_the_imported_form_fits_by_its_layers(
    plan: Plan, tmp_path: Path, version: int
) -> None:
    content = json.loads(plan.model_dump_json())
    content["schema_version"] = version
    for step in content["steps"] if version == 1 else ():
        (step["output"],) = step.pop("outputs")
    old = read_plan(written(content, tmp_path))
    assert old == plan.model_copy(update={"model_sha256": None})
    check_plan_fits(old, "0" * 64)
    assert are_of_one_model(old, plan)
    assert not are_of_one_model(old, plan.model_copy(update={"model_name": "another net"}))
    assert not are_of_one_model(plan, plan.model_copy(update={"model_sha256": "0" * 64}))


def test_an_unwritable_place_is_a_plan_error_and_keeps_the_old_file(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(PlanError, match="cannot be written"):
        write_plan(plan, tmp_path / "file" / "plan.json")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "x"


def test_summaries_name_operator_shapes_and_activation(plan: Plan) -> None:
    assert plan.steps[0].summary == "Conv2d 3x3 s2 p1 1x3x17x17 -> 1x8x9x9 relu6"
    assert plan.steps[1].summary == "Conv2d 3x3 p1 g8 1x8x9x9 -> 1x8x9x9 relu"
    assert plan.steps[6].summary == "Map clamp 0.1..0.9 1x12x4x4 -> 1x12x4x4"
    assert first_choice(plan.steps[0].spec).engine == "cpu"


def test_a_plan_of_version_1_with_a_broken_activation_is_refused(plan: Plan, tmp_path: Path) -> None:
    content = json.loads(plan.model_dump_json())
    content["schema_version"] = 1
    content["steps"][0]["spec"] = {"type": "LayerSpec", "op": {"type": "Clamp", "activation": 6.0}}
    with pytest.raises(PlanError, match=r"steps: 6\.0 is no activation.*explore run"):
        read_plan(written(content, tmp_path))


def test_numbers_that_older_programs_wrote_for_names_are_read(plan: Plan, tmp_path: Path) -> None:
    old = {
        ("input", "blocks"): ("row_major", 0),
        ("outer", "pixels"): ("outer", 0),
        ("layout", "nchw"): ("layout", 0),
    }
    content = json.loads(plan.model_dump_json())
    numbered = set()
    for step in content["steps"]:
        for role in ("split", "tile"):
            pairs = [tuple(pair) for pair in step["choice"][role]]
            numbered |= {pair for pair in pairs if pair in old}
            step["choice"][role] = [old.get(pair, pair) for pair in pairs]
    assert numbered
    assert read_plan(written(content, tmp_path)) == plan
