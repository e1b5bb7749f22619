"""A package with an operator of two outputs and its algorithm: a network that uses both is searched and checked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.plugins.installed import explore_with, install

DOMAIN = "example"


def write_model(path: Path) -> Path:
    """A convolution, MinMaxPair, and the difference of its outputs, of which the lower one is an output too.

    The model says in a function of its own what MinMaxPair means: that is how onnxruntime knows.
    """
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(DOMAIN, 1)]
    meaning = helper.make_function(
        DOMAIN,
        "MinMaxPair",
        ["x"],
        ["low", "high"],
        [
            helper.make_node("Flatten", ["x"], ["flat"], axis=1),
            helper.make_node("ReduceMin", ["flat"], ["low"], axes=[1], keepdims=1),
            helper.make_node("ReduceMax", ["flat"], ["high"], axes=[1], keepdims=1),
        ],
        opsets[:1],
    )
    kernel = np.random.default_rng(0).standard_normal((8, 3, 3, 3), dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], "first", pads=[1, 1, 1, 1]),
            helper.make_node("MinMaxPair", ["c"], ["low", "high"], "ends", domain=DOMAIN),
            helper.make_node("Sub", ["high", "low"], ["spread"], "difference"),
        ],
        "spread",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1]) for name in ("spread", "low")],
        [numpy_helper.from_array(kernel, "w")],
    )
    model = helper.make_model(graph, opset_imports=opsets, functions=[meaning], ir_version=8)
    onnx.save(model, str(path))
    return path


def words(tmp_path: Path, device: str) -> tuple[str | Path, ...]:
    places = ("--store", tmp_path / "samples.sqlite", "--out", tmp_path / "out")
    model = write_model(tmp_path / "spread.onnx")
    return ("run", "--device", device, "--model", model, "--layer-budget", "1", "--rehearsals", "0", *places)


@pytest.mark.parametrize(("device", "kind"), [("host", "host"), ("pi-zero", "modelled")])
def test_an_operator_of_two_outputs_is_searched_compiled_and_checked(
    tmp_path: Path, device: str, kind: str
) -> None:
    site = install("operator_min_max", tmp_path / "site")
    ended = explore_with(site, *words(tmp_path, device), cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    check = json.loads((tmp_path / "out" / "summary.json").read_text())["check"]
    assert check["largest_error"] <= check["tolerance"] and check["kind"] == kind
    steps = {step["name"]: step for step in json.loads((tmp_path / "out" / "plan.json").read_text())["steps"]}
    assert steps["ends"]["choice"]["algorithm"] == "cpu_min_max" and len(steps["ends"]["outputs"]) == 2
    file = tmp_path / "samples.csv"
    explore_with(site, "samples", "export", file, "--store", tmp_path / "samples.sqlite", cwd=tmp_path)
    assert "MinMaxPair 1x8x8x8 -> 1x1, 1x1" in file.read_text(encoding="utf-8")
    algorithms = explore_with(site, "algorithms", cwd=tmp_path).stdout
    assert "cpu_min_max" in algorithms and "One pass over each sample" in algorithms


def test_without_the_package_the_models_own_function_says_what_it_computes(tmp_path: Path) -> None:
    ended = explore_with(tmp_path / "nothing", *words(tmp_path, "host"), cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert {step["spec"]["op"]["type"] for step in plan["steps"]} >= {"Reduce"}


def test_without_the_algorithm_the_layer_has_no_way(tmp_path: Path) -> None:
    site = install("operator_min_max", tmp_path / "site")
    (entries,) = site.glob("*.dist-info/entry_points.txt")
    entries.write_text(entries.read_text().partition("[explore.algorithms]")[0])
    ended = explore_with(site, *words(tmp_path, "host"), cwd=tmp_path)
    assert ended.returncode == 2 and "SearchError" in ended.stderr and "MinMaxPair" in ended.stderr
