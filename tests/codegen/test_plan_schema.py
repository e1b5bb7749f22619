"""The schema of plans: current, complete, and its formulas are what the code does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.docstrings import section
from codegen.engine_registry import layouts
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.operators.fully_connected import FullyConnected
from codegen.plan import Plan, plan_text
from codegen.plan_schema import SCHEMA_PATH, plan_schema, plan_schema_text
from codegen.schedule import Choice
from codegen.target import Target
from codegen.tensor import TensorType
from tests.codegen.algorithm_layers import LAYERS
from tests.codegen.built import ON_AARCH64, choices, targets_of
from tests.codegen.formulas import evaluated
from tests.codegen.planned import plan_of, small_network

SCHEMA = plan_schema()
DEFINITIONS = SCHEMA["$defs"]
WITH_FORMULAS = sorted(
    name for name, kind in DEFINITIONS.items() if name in algorithms() and "x-formulas" in kind
)
POINTS = 12


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(small_network())


def changed(plan: Plan, **fields: Any) -> dict[str, Any]:
    return {**json.loads(plan_text(plan)), **fields}


def test_the_file_is_current_and_accepts_a_plan(plan: Plan) -> None:
    message = "renew it by `explore plan schema > codegen/schemas/plan-v3.schema.json`"
    assert SCHEMA_PATH.read_text(encoding="utf-8") == plan_schema_text(), message
    validator = jsonschema.Draft202012Validator(SCHEMA)
    validator.check_schema(SCHEMA)
    validator.validate(json.loads(plan_text(plan)))
    assert not validator.is_valid(changed(plan, schema_version=2))
    assert not validator.is_valid(changed(plan, steps=[]))
    assert not validator.is_valid(changed(plan, wall_clock="now"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("algorithm", "cpu_conv_direct"),  # another algorithm's axes
        ("tile", [["pixels", "many"]]),
        ("tile", [["no_such_axis", 1]]),
        ("engine", "videocore4"),
        ("input_layouts", ["no_such_layout"]),
    ],
)
def test_a_choice_is_held_against_its_algorithm(plan: Plan, field: str, value: object) -> None:
    content = json.loads(plan_text(plan))
    choice = {
        **content["steps"][0]["choice"],
        "engine": "cpu",
        "algorithm": "cpu_blocked_pool",
        "split": [["threads", 1]],
        "tile": [["lanes", 4], ["pixels", 2]],
    }
    validator = jsonschema.Draft202012Validator(SCHEMA)
    content["steps"][0]["choice"] = choice
    validator.validate(content)
    content["steps"][0]["choice"] = {**choice, field: value}
    assert not validator.is_valid(content)


def described_places() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, definition in (("plan", SCHEMA), *DEFINITIONS.items()):
        if name not in algorithms():
            for field, schema in definition.get("properties", {}).items():
                if field != "type":
                    yield name, field, schema


def test_every_field_is_described() -> None:
    silent = [
        f"{name}.{field}" for name, field, schema in described_places() if not schema.get("description")
    ]
    assert not silent
    assert all(definition.get("description") for definition in DEFINITIONS.values())


def said(schema: Any) -> Iterator[tuple[str, set[str]]]:
    """Every description of a schema, and the names of all that it defines."""
    if isinstance(schema, list):
        for one in schema:
            yield from said(one)
    if isinstance(schema, dict):
        names = {*schema, *map(str, schema.get("enum", ())), str(schema.get("const", ""))}
        yield str(schema.get("description", "")), names
        for one in schema.values():
            yield from said(one)


def test_texts_name_nothing_that_is_not_there() -> None:
    texts, names = zip(*said(SCHEMA), strict=True)
    known = {"weights", "bias", "x", "y", "T", "i", "tensor", "layout", "offset"}.union(*names)
    told = [
        word
        for text in texts
        for part in re.findall("`([^`]+)`", text)
        for word in re.findall(r"[A-Za-z_]\w*", part)
    ]
    assert {word for word in told if word not in known} <= {"relayout"}
    assert {"choice", "input_layouts", "kernel"} <= known


def test_every_axis_of_every_algorithm_is_described() -> None:
    for name, algorithm in algorithms().items():
        axes = {
            axis.name
            for spec in LAYERS.values()
            for board in {*targets_of(algorithm), *ON_AARCH64.values()}
            for target in (board, replace(board, weights="float16"))
            if algorithm.applies(spec, target)
            for axis in algorithm.space(spec, target).axes
        }
        assert set(section(type(algorithm), "Axes")) == axes, name


def test_every_choice_of_every_algorithm_is_valid() -> None:
    validator = jsonschema.Draft202012Validator({"$ref": "#/$defs/Choice", "$defs": DEFINITIONS})
    for algorithm in algorithms().values():
        for spec in LAYERS.values():
            for target in targets_of(algorithm):
                if algorithm.applies(spec, target):
                    for choice in choices(algorithm, spec, target, 2):
                        validator.validate(json.loads(json.dumps(form_of(choice))))


def form_of(choice: Choice) -> Any:
    from codegen.canonical import plain

    return plain(choice)


@pytest.mark.parametrize(
    "shape", [(1, 3, 5, 7), (2, 32, 4, 4), (1, 33, 1, 1), (2, 17, 3, 3), (3, 10), (1, 64, 6, 9)]
)
@pytest.mark.parametrize("name", sorted(layouts()))
def test_a_layout_lies_as_its_formulas_say(name: str, shape: tuple[int, ...]) -> None:
    layout = layouts()[name]
    (described,) = (one for one in DEFINITIONS["Layout"]["oneOf"] if one["const"] == name)
    value = 1 + np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    batch, channels, pixels = shape[0], shape[1], int(np.prod(shape[2:]))
    n, c, p = np.ogrid[:batch, :channels, :pixels]
    known = {"N": batch, "C": channels, "P": pixels, "n": n, "c": c, "p": p}
    places = evaluated(described["x-formulas"], "place", known)
    image = layout.pack(value)
    assert (
        evaluated(described["x-formulas"], "elements", known)
        == image.size
        == layout.elements(TensorType(shape))
    )
    assert (image[places] == value.reshape(batch, channels, pixels)).all()


def weighted_layers(name: str) -> Iterator[tuple[LayerSpec, Target, Choice]]:
    algorithm = algorithms()[name]
    for spec in LAYERS.values():
        for target in targets_of(algorithm):
            if isinstance(spec.op, Conv2d | FullyConnected) and algorithm.applies(spec, target):
                for choice in choices(algorithm, spec, target, POINTS):
                    yield spec, target, choice


@pytest.mark.parametrize("name", WITH_FORMULAS)
def test_weights_lie_as_an_algorithm_s_formulas_say(name: str) -> None:
    algorithm, formulas = algorithms()[name], DEFINITIONS[name]["x-formulas"]
    assert isinstance(algorithm, CpuAlgorithm)
    checked = 0
    for spec, target, choice in weighted_layers(name):
        kernel, bias = (
            1 + np.arange(tensor.elements, dtype=np.float32).reshape(tensor.shape) + 1000 * i
            for i, tensor in enumerate(spec.weights)
        )
        four = kernel.reshape(*kernel.shape, *(1,) * (4 - kernel.ndim))
        o, i, y, x = np.ogrid[tuple(slice(size) for size in four.shape)]
        sizes = dict(zip("OIYX", four.shape, strict=True))
        axes = {axis: value for axis, value in (*choice.tile, *choice.split) if isinstance(value, int)}
        known = {**axes, **sizes, "G": getattr(spec.op, "groups", 1), "o": o, "i": i, "y": y, "x": x}
        packed = algorithm.emit(spec, target, choice, [kernel, bias], "kernel").weights
        weights, biases = evaluated(formulas, "weight", known), evaluated(formulas, "bias", known).ravel()
        assert packed.size == evaluated(formulas, "elements", known)
        assert (packed[weights] == four).all(), (spec.describe(), choice)
        assert (packed[biases] == bias).all()
        rest = np.ones(packed.size, dtype=bool)
        rest[weights.ravel()] = rest[biases] = False
        assert not packed[rest].any()
        checked += 1
    assert checked


def test_the_formulas_of_mobilenet_s_layers_are_there() -> None:
    assert {"cpu_blocked_conv", "cpu_blocked_depthwise", "cpu_conv_im2col", "cpu_pointwise_gemm"} <= {
        *WITH_FORMULAS
    }
