"""`explore plan`: the schema as published, weights that any program reads, older versions in today's form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codegen.bundle.step_weights import weights_of_steps
from codegen.canonical import content_hash
from codegen.operators.conv2d import Conv2d
from codegen.plan import Plan, plan_text, write_plan
from codegen.plan_schema import SCHEMA_PATH
from codegen.zoo import build
from explorer.plans.modelled_plan import modelled_plan
from explorer.plans.network import Network, load_network
from explorer.plans.weights_file import safetensors
from microbench.profile import load_profile
from tests.codegen.planned import GraphBuilder, plan_of
from tests.explorer.command_line import explore


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(build("squeezenet").SerializeToString())
    return path


@pytest.fixture(scope="module")
def network(model: Path) -> Network:
    return load_network(model, {}, "squeezenet")


@pytest.fixture(scope="module")
def plan(network: Network) -> Plan:
    return modelled_plan(network, load_profile("pi-zero"))


def tensors_of(content: bytes) -> dict[str, np.ndarray]:
    """A reader of its own."""
    length = int.from_bytes(content[:8], "little")
    head = json.loads(content[8 : 8 + length])
    types = {"F32": "<f4", "I64": "<i8", "BOOL": "?"}
    return {
        name: np.frombuffer(
            content[8 + length :][slice(*about["data_offsets"])], types[about["dtype"]]
        ).reshape(about["shape"])
        for name, about in head.items()
    }


def test_the_schema_is_printed() -> None:
    told = explore("plan", "schema")
    assert told.exit_code == 0
    assert told.stdout == SCHEMA_PATH.read_text(encoding="utf-8")


def test_weights_of_a_plan(plan: Plan, network: Network, model: Path, tmp_path: Path) -> None:
    write_plan(plan, tmp_path / "plan.json")
    out = tmp_path / "weights.safetensors"
    told = explore("plan", "weights", str(tmp_path / "plan.json"), "--model", str(model), "--out", str(out))
    assert told.exit_code == 0, told.output
    found = tensors_of(out.read_bytes())
    wanted = {
        f"{step.name}/{i}": value
        for step, values in zip(plan.steps, weights_of_steps(network.graph, plan), strict=True)
        for i, value in enumerate(values)
    }
    assert found.keys() == wanted.keys()
    assert all((found[name] == value).all() for name, value in wanted.items())


def test_weights_of_another_model_are_refused(plan: Plan, tmp_path: Path) -> None:
    write_plan(plan.model_copy(update={"model_sha256": "ab" * 32}), tmp_path / "plan.json")
    other = tmp_path / "other.onnx"
    other.write_bytes(build("squeezenet").SerializeToString())
    out = tmp_path / "weights.safetensors"
    told = explore("plan", "weights", str(tmp_path / "plan.json"), "--model", str(other), "--out", str(out))
    assert told.exit_code != 0 and "was made for model" in told.output
    assert not out.exists()


def test_elements_of_every_type_are_little_endian() -> None:
    values = {
        "empty": np.zeros((0, 3), dtype=np.float32),
        "truth": np.array([True, False]),
        "big": np.arange(3, dtype=">i8"),
        "scalar": np.array(2.5, dtype=np.float32),
    }
    content = safetensors(values)
    assert int.from_bytes(content[:8], "little") % 8 == 0
    found = tensors_of(content)
    assert found.keys() == values.keys()
    for name, value in values.items():
        assert found[name].shape == value.shape and (found[name] == value).all()


def as_version_1(step: dict[str, Any]) -> dict[str, Any]:
    """A step without an activation, as the first version wrote it."""
    spec, choice = step["spec"], step["choice"]
    op = {key: value for key, value in spec["op"].items() if key != "epilogue"}
    old_spec = {
        "type": "LayerSpec",
        "op": {**op, "activation": {"type": "Activation", "low": None, "high": None}},
        "inputs": spec["inputs"],
        "output": spec["outputs"][0],
        "weights": spec["weights"],
    }
    kept = {key: value for key, value in choice.items() if key not in ("engine", "output_layouts")}
    return {
        **{key: value for key, value in step.items() if key != "outputs"},
        "output": step["outputs"][0],
        "spec": old_spec,
        "spec_hash": content_hash(old_spec),
        "choice": {**kept, "processor": "cpu", "output_layout": choice["output_layouts"][0]},
    }


def test_a_plan_of_version_1_is_written_anew(tmp_path: Path) -> None:
    build = GraphBuilder("convolution", (1, 3, 8, 8))
    graph = build.build(build.add(Conv2d((3, 3)), "x", [(4, 3, 3, 3), (4,)]))
    wanted = plan_of(graph)
    content = wanted.model_dump(mode="json")
    old = {**content, "schema_version": 1, "steps": [as_version_1(step) for step in content["steps"]]}
    (tmp_path / "old.json").write_text(json.dumps(old), encoding="utf-8")
    out = tmp_path / "plan.json"
    told = explore("plan", "migrate", str(tmp_path / "old.json"), "--out", str(out))
    assert told.exit_code == 0, told.output
    assert out.read_text(encoding="utf-8") == plan_text(wanted.model_copy(update={"model_sha256": None}))
