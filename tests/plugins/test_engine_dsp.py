"""An engine from a package outside the tree: searched, composed, compiled and run beside the built-in ones."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from codegen.bundle.manifest import read_manifest
from tests.plugins.installed import PLUGINS, explore_with, install
from tests.test_floors import ROOT


def write_model(path: Path) -> Path:
    """A matrix, and behind it vectors of length one.

    The model says in a function of its own what UnitLength means: that is how onnxruntime knows.
    """
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("dsp", 1)]
    norm = helper.make_node("LpNormalization", ["x"], ["y"], axis=-1, p=2)
    meaning = helper.make_function("dsp", "UnitLength", ["x"], ["y"], [norm], opsets[:1])
    matrix = np.random.default_rng(3).standard_normal((16, 24)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "matrix"], ["t"], name="product"),
            helper.make_node("UnitLength", ["t"], ["y"], name="unit", domain="dsp"),
        ],
        "normalised",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 16))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (2, 24))],
        [numpy_helper.from_array(matrix, "matrix")],
    )
    onnx.save(helper.make_model(graph, opset_imports=opsets, functions=[meaning], ir_version=8), path)
    return path


def test_it_keeps_what_every_engine_keeps(tmp_path: Path) -> None:
    site = install("engine_dsp", tmp_path / "site")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", PLUGINS / "engine_dsp" / "conformance.py"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_network_runs_on_two_engines_and_agrees_with_onnxruntime(tmp_path: Path) -> None:
    site, model = install("engine_dsp", tmp_path / "site"), write_model(tmp_path / "normalised.onnx")
    arguments: list[str | Path] = [
        "run",
        "--device",
        "host",
        "--layer-budget",
        "2",
        "--model",
        model,
        "--out",
        "out",
        "--store",
        "s.sqlite",
    ]
    ended = explore_with(site, *arguments, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    out = tmp_path / "out"
    steps = {step["name"]: step for step in json.loads((out / "plan.json").read_text())["steps"]}
    engines = {name: step["choice"]["engine"] for name, step in steps.items()}
    assert (engines["product"], engines["unit"]) == ("cpu", "dsp")
    with (out / "samples.csv").open(encoding="utf-8", newline="") as file:
        samples = [row for row in csv.DictReader(file) if row["engine"] == "dsp"]
    assert {(row["algorithm"], row["tile"], row["status"]) for row in samples} == {
        ("dsp_normalise", "lanes=1", "ok"),
        ("dsp_normalise", "lanes=4", "ok"),
    }
    check = json.loads((out / "summary.json").read_text())["check"]
    assert check["kind"] == "host" and check["largest_error"] <= check["tolerance"] == 1e-4
    read_manifest(out / "bundle")
    text = (out / "bundle" / "model.c").read_text(encoding="utf-8")
    assert '{"unit", "dsp", -1}' in text and "dsp_normalise" in text
