from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from codegen.onnx_import.reader import load_graph
from explorer.studies.sparse_times import zeros_of
from tests.explorer.command_line import explore, refused
from tests.explorer.tiny import write_tiny_model


def searched(model: Path, directory: Path) -> None:
    places = ("--store", directory / "samples.sqlite", "--out", directory / model.stem)
    options = ("--keep-cores-free", "1", "--layer-budget", "1", "--force", "second=cpu_sparse_conv")
    result = explore(
        "run", "--device", "host", "--model", model, *places, *options[: 4 if "dense" in model.stem else 6]
    )
    assert result.exit_code == 0, result.output


def test_pruned_networks_beside_the_dense_one(tmp_path: Path) -> None:
    dense, pruned = write_tiny_model(tmp_path / "dense.onnx"), tmp_path / "pruned.onnx"
    assert explore("prune", dense, "--sparsity", "0.75", "--out", pruned).exit_code == 0
    bench = ("bench", "sparse", dense, pruned, "--bundles", tmp_path, "--rounds", "2", "--runs", "2")
    refused(explore(*bench), "PeerError", "no bundle")
    for model in (dense, pruned):
        searched(model, tmp_path)
    plan = json.loads((tmp_path / "pruned" / "plan.json").read_text(encoding="utf-8"))
    (step,) = (step for step in plan["steps"] if step["choice"]["algorithm"] == "cpu_sparse_conv")
    assert step["spec"]["sparsity"]["weights"] == 32
    result = explore(*bench, "--json")
    assert result.exit_code == 0, result.output
    (table,) = json.loads(result.stdout)
    assert [row["network"] for row in table["rows"]] == ["dense", "pruned"]
    assert table["rows"][0]["/ first"] == "1.000" and table["rows"][0]["zeros"] == "0.0%"
    for row in table["rows"]:
        assert float(row["error"]) < 1e-4 and float(row["median ms"]) > 0 and float(row["/ first"]) > 0
    refused(explore(*bench[:2], dense, dense, *bench[4:]), "UsageError", "one name")


def test_the_share_of_zeros_is_of_weights_that_are_multiplied(tmp_path: Path) -> None:
    dense, pruned = write_tiny_model(tmp_path / "dense.onnx"), tmp_path / "pruned.onnx"
    assert zeros_of(load_graph(dense)) == 0
    explore("prune", dense, "--sparsity", "0.5", "--out", pruned, "--first", "--fully-connected")
    assert np.isclose(zeros_of(load_graph(pruned)), 0.5, atol=0.01)
