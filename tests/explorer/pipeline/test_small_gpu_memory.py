"""A network whose weights GPU memory does not hold goes to both engines."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import explorer.pipeline.run
from codegen.bundle import Model, compose
from codegen.errors import GpuMemoryError
from codegen.graph import Graph
from codegen.plan import Plan
from codegen.target import Target
from microbench.profile import load_profile
from tests.explorer.command_line import explore

CHANNELS = 8, 64, 96, 128


def write_wide_model(path: Path) -> Path:
    """Three convolutions 3x3 of 8 to 128 channels: 0.7 MB of weights."""
    random = np.random.default_rng(0)
    weights, nodes, last = [], [], "x"
    for number, (inputs, outputs) in enumerate(pairwise(CHANNELS)):
        values = random.standard_normal((outputs, inputs, 3, 3)) / np.sqrt(9 * inputs)
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{number}"))
        nodes.append(
            helper.make_node("Conv", [last, f"w{number}"], [f"c{number}"], f"conv{number}", pads=[1] * 4)
        )
        last = f"c{number}"
    graph = helper.make_graph(
        nodes,
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, CHANNELS[0], 12, 12])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, [1, CHANNELS[-1], 12, 12])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def board(path: Path, gpu_memory_bytes: int) -> Path:
    """The profile of a Pi Zero with so much GPU memory."""
    import microbench.profile

    text = (Path(microbench.profile.__file__).parent / "profiles" / "pi-zero.toml").read_text()
    own = f"gpu_memory_bytes = {load_profile('pi-zero').gpu_memory_bytes}"
    assert own in text
    path.write_text(text.replace(own, f"gpu_memory_bytes = {gpu_memory_bytes}"))
    return path


def searched(directory: Path) -> int:
    """Bytes of the GPU image of the plan for 900,000 bytes, which is of both engines."""
    model, small = write_wide_model(directory / "wide.onnx"), board(directory / "small.toml", 900_000)
    few = ("--layer-budget", "1", "--rehearsals", "0", "--store", directory / "samples.sqlite")
    result = explore("run", "--model", model, "--device", small, *few, "--out", directory / "out")
    assert result.exit_code == 0, result.output
    steps = json.loads((directory / "out" / "plan.json").read_text())["steps"]
    assert {step["choice"]["engine"] for step in steps} == {"cpu", "videocore4"}
    size: int = json.loads((directory / "out" / "bundle" / "manifest.json").read_text())["gpu"]["size_bytes"]
    return size


def test_what_does_not_fit_is_split_between_the_engines(tmp_path: Path) -> None:
    assert 700_000 < searched(tmp_path) <= 900_000


def test_where_gaps_between_buffers_exceed_the_memory_the_plan_takes_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaps = 200_000

    def with_gaps(graph: Graph, plan: Plan, target: Target) -> Model:
        model = compose(graph, plan, target)
        if model.image is not None and model.image.size_bytes + gaps > target.gpu_memory_bytes:
            raise GpuMemoryError(model.image.size_bytes + gaps, target.gpu_memory_bytes)
        return model

    monkeypatch.setattr(explorer.pipeline.run, "compose", with_gaps)
    assert searched(tmp_path) <= 900_000 - gaps
