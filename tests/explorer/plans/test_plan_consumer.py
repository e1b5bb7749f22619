"""The example in JavaScript: a plan computed from its files alone, laid out by the schema's formulas."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from codegen.algorithm import algorithm_named
from codegen.bundle.step_weights import weights_of_steps
from codegen.canonical import content_hash
from codegen.engine_registry import layout_named
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.graph import Graph
from codegen.operators.conv2d import Conv2d
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.pool2d import Pool2d
from codegen.operators.reshape import Reshape
from codegen.operators.softmax import Softmax
from codegen.plan import Plan, PlanStep, plan_text
from codegen.plan_schema import SCHEMA_PATH
from codegen.reference import evaluate
from codegen.tensor import Array, TensorType
from explorer.plans.modelled_plan import modelled_plan
from explorer.plans.network import Network, load_network, write_zoo_model
from explorer.plans.weights_file import safetensors
from microbench.profile import load_profile
from tests.codegen.planned import GraphBuilder
from tests.test_floors import ROOT

PROGRAM = ROOT / "docs" / "examples" / "plan-consumer" / "run.mjs"
PROFILE = load_profile("pi-zero")
OTHER_LANES = {4: 8, 8: 16, 16: 4}

pytestmark = pytest.mark.needs("node")


@dataclass(frozen=True)
class Told:
    """Outputs in the plan's order, and for each step the hashes of places."""

    outputs: list[np.ndarray]
    places: list[dict[str, Any]]


def computed(
    plan: str, graph: Graph, of: Plan, array: np.ndarray, place: Path, schema: str | None = None
) -> Told:
    """What the program makes of a plan's text, with the weights of the plan `of`; raises where it fails."""
    place.mkdir()
    weights = {
        f"{step.name}/{i}": value
        for step, values in zip(of.steps, weights_of_steps(graph, of), strict=True)
        for i, value in enumerate(values)
    }
    (place / "plan.json").write_text(plan, encoding="utf-8")
    (place / "schema.json").write_text(schema or SCHEMA_PATH.read_text(encoding="utf-8"), encoding="utf-8")
    (place / "weights").write_bytes(safetensors(weights))
    array.astype("<f4").tofile(place / "input.bin")
    words = ["node", str(PROGRAM), "--plan", "plan.json", "--schema", "schema.json", "--weights", "weights"]
    words += ["--input", f"{of.inputs[0].name}=input.bin", "--out", "out", "--places", "places.json"]
    ended = subprocess.run(words, cwd=place, capture_output=True, text=True, timeout=500, check=False)
    assert ended.returncode == 0, ended.stderr
    outputs = [np.fromfile(place / "out" / f"output{i}.bin", "<f4") for i in range(len(of.outputs))]
    return Told(outputs, json.loads((place / "places.json").read_text()))


@pytest.fixture(scope="module")
def graph() -> Graph:
    """Layers of every kind that the program computes; channels leave padding in blocks."""
    build = GraphBuilder("small", (1, 3, 17, 15))
    stem = build.add(Conv2d((3, 3), (2, 2), (1, 1, 1, 1)), "x", [(22, 3, 3, 3), (22,)])
    depthwise = build.add(Conv2d((3, 3), pads=(1, 1, 1, 1), groups=22), stem, [(22, 1, 3, 3), (22,)])
    pointwise = build.add(Conv2d((1, 1)), depthwise, [(26, 22, 1, 1), (26,)])
    dilated = build.add(Conv2d((3, 3), dilations=(2, 2)), pointwise, [(18, 26, 3, 3), (18,)])
    largest = build.add(Pool2d("max", (2, 2), (2, 2)), dilated)
    average = build.add(Pool2d("average", (2, 2)), largest)
    flat = build.add(Reshape(), average, shape=(1, 18))
    logits = build.add(FullyConnected(), flat, [(10, 18), (10,)])
    return build.build(build.add(Softmax(1), logits))


@pytest.fixture(scope="module")
def plan(graph: Graph) -> Plan:
    return modelled_plan(Network("small", Path("small.onnx"), graph, "ab" * 32), PROFILE)


@pytest.fixture(scope="module")
def array() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(1, 3, 17, 15)).astype(np.float32)


@pytest.fixture(scope="module")
def told(plan: Plan, graph: Graph, array: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Told:
    return computed(plan_text(plan), graph, plan, array, tmp_path_factory.mktemp("told") / "run")


def digest(places: Array) -> str:
    return hashlib.sha256(places.astype("<i4").tobytes()).hexdigest()


def places_in(image: Array, count: int) -> Array:
    """Where the numbers 1 to `count` lie in memory that is otherwise 0."""
    return np.argsort(image, kind="stable")[-count:]


def own_places(layout: str, tensor: TensorType) -> str:
    numbers = 1 + np.arange(tensor.elements, dtype=np.float32).reshape(tensor.shape)
    return digest(places_in(layout_named(layout).pack(numbers), tensor.elements))


def own_weight_places(step: PlanStep) -> str | None:
    if not step.spec.weights:
        return None
    algorithm = algorithm_named(step.choice.algorithm)
    assert isinstance(algorithm, CpuAlgorithm)
    kernel, bias = (tensor.elements for tensor in step.spec.weights)
    numbers = 1 + np.arange(kernel + bias, dtype=np.float32)
    parts = [
        part.reshape(t.shape) for part, t in zip(np.split(numbers, [kernel]), step.spec.weights, strict=True)
    ]
    packed = algorithm.emit(step.spec, PROFILE.target(), step.choice, parts, "kernel").weights
    return digest(places_in(packed, kernel + bias))


def test_it_computes_what_the_reference_does(told: Told, graph: Graph, array: np.ndarray) -> None:
    (wanted,) = evaluate(graph, {"x": array}).values()
    np.testing.assert_allclose(told.outputs[0], wanted.ravel(), atol=1e-6)


def test_its_places_are_those_of_the_code(told: Told, plan: Plan) -> None:
    assert [one["step"] for one in told.places] == [step.name for step in plan.steps]
    for one, step in zip(told.places, plan.steps, strict=True):
        assert one["inputs"] == list(map(own_places, step.choice.input_layouts, step.spec.inputs))
        assert one["outputs"] == list(map(own_places, step.choice.output_layouts, step.spec.outputs))
        assert one["weights"] == own_weight_places(step), step.name


def with_other_blocks(plan: Plan) -> str:
    """The plan with blocks of another number of channels wherever it has blocks."""
    content = json.loads(
        re.sub(r"\bchannel(\d+)\b", lambda m: f"channel{OTHER_LANES[int(m[1])]}", plan_text(plan))
    )
    for step in content["steps"]:
        layouts = {*step["choice"]["input_layouts"], *step["choice"]["output_layouts"]}
        if any(layout.startswith("channel") for layout in layouts):
            for axis in step["choice"]["tile"]:
                axis[1] = OTHER_LANES[axis[1]] if axis[0] == "lanes" else axis[1]
        step["spec_hash"] = content_hash(step["spec"])
    return json.dumps(content)


def blocks_of_several_pixels(step: PlanStep) -> list[bool]:
    """Of inputs and outputs; where there is one pixel, channels lie in their order in blocks of any size."""
    layouts = (*step.choice.input_layouts, *step.choice.output_layouts)
    tensors = (*step.spec.inputs, *step.spec.outputs)
    return [
        layout.startswith("channel") and prod(tensor.shape[2:]) > 1
        for layout, tensor in zip(layouts, tensors, strict=True)
    ]


def test_other_layouts_are_other_places_and_the_same_results(
    told: Told, plan: Plan, graph: Graph, array: np.ndarray, tmp_path: Path
) -> None:
    again = computed(with_other_blocks(plan), graph, plan, array, tmp_path / "run")
    moved = [blocks_of_several_pixels(step) for step in plan.steps]
    assert any(map(any, moved)) and not all(map(all, moved))
    for now, then, ones in zip(again.places, told.places, moved, strict=True):
        lie = [*now["inputs"], *now["outputs"]], [*then["inputs"], *then["outputs"]]
        assert [one != other for one, other in zip(*lie, strict=True)] == ones
    weights = [now["weights"] != then["weights"] for now, then in zip(again.places, told.places, strict=True)]
    assert any(weights)
    assert (again.outputs[0] == told.outputs[0]).all()


def test_the_formulas_are_what_is_followed(
    told: Told, plan: Plan, graph: Graph, array: np.ndarray, tmp_path: Path
) -> None:
    schema = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    formulas = next(one for one in schema["$defs"]["Layout"]["oneOf"] if one["const"] == "nchw")["x-formulas"]
    formulas["place"] = "elements - 1 - (p * N * C + c * N + n)"
    again = computed(plan_text(plan), graph, plan, array, tmp_path / "reversed", json.dumps(schema))
    assert again.places[0]["inputs"] != told.places[0]["inputs"]
    assert (again.outputs[0] == told.outputs[0]).all()
    formulas["place"] = "p"
    with pytest.raises(AssertionError, match="layout nchw: two elements have place 0"):
        computed(plan_text(plan), graph, plan, array, tmp_path / "twice", json.dumps(schema))
    formulas["place"] = "p +"
    with pytest.raises(AssertionError, match='formula "p \\+": a number or a name is missing'):
        computed(plan_text(plan), graph, plan, array, tmp_path / "broken", json.dumps(schema))


def test_mobilenet_v1_is_that_of_onnxruntime(tmp_path: Path) -> None:
    write_zoo_model("mobilenet_v1", tmp_path / "model.onnx")
    network = load_network(tmp_path / "model.onnx", {}, "mobilenet")
    plan = modelled_plan(network, PROFILE)
    assert len({step.choice.algorithm for step in plan.steps if step.spec.weights}) >= 4
    picture = np.random.default_rng(5).normal(size=plan.inputs[0].shape).astype(np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {plan.inputs[0].name: picture})
    told = computed(plan_text(plan), network.graph, plan, picture, tmp_path / "run")
    np.testing.assert_allclose(told.outputs[0], wanted.ravel(), rtol=0, atol=1e-4)
