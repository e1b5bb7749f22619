"""Networks that sort and select, compared by the values they decide by where a reference decides otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from codegen.bundle import compile_bundle
from codegen.plan import read_plan
from explorer.pipeline.boards import open_board_of
from explorer.plans.check import Trial, check_bundle, failure_of, staged, trials_of
from explorer.plans.modelled_plan import modelled_plan
from explorer.plans.network import Network, load_network
from explorer.plans.stages import decided_by
from explorer.settings import RunSettings
from microbench.board import Board

TOLERANCE = 1e-3
ROWS = 12


def model_of(table: np.ndarray) -> ModelProto:
    """Of the rows of a table the eight with the largest scores, each column times a number of its own."""
    weights = np.random.default_rng(0).standard_normal((4, ROWS)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "weights"], ["products"]),
            helper.make_node("Sigmoid", ["products"], ["scores"]),
            helper.make_node("TopK", ["scores", "eight"], ["best", "places"], axis=1),
            helper.make_node("Gather", ["table", "places"], ["chosen"], axis=0),
            helper.make_node("Squeeze", ["chosen", "zero"], ["rows"]),
            helper.make_node("Mul", ["rows", "columns"], ["found"]),
        ],
        "chosen",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4)),
            helper.make_tensor_value_info("table", TensorProto.FLOAT, table.shape),
        ],
        [helper.make_empty_tensor_value_info("best"), helper.make_empty_tensor_value_info("found")],
        [
            numpy_helper.from_array(value, name)
            for name, value in {
                "weights": weights,
                "eight": np.array([8]),
                "zero": np.array([0]),
                "columns": np.array([2, 3, 4], np.float32),
            }.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture
def network(tmp_path: Path) -> Network:
    model = model_of(np.zeros((ROWS, 3), np.float32))
    onnx.save(model, tmp_path / "chosen.onnx")
    return load_network(tmp_path / "chosen.onnx", {}, "chosen")


@pytest.fixture
def board() -> Board:
    return open_board_of(RunSettings(device="host"))


def compiled(network: Network, board: Board, place: Path) -> Path:
    plan = modelled_plan(network, board.profile, engines=("cpu",))
    compile_bundle(network.graph, plan, board.target, place)
    return place


def decided_otherwise(trial: Trial) -> Trial:
    """The two best rows in the other order, as where their scores are within rounding of each other."""
    best, found = trial.outputs
    turned = found.copy()
    turned[[0, 1]] = found[[1, 0]]
    assert not np.allclose(turned, found)
    return replace(trial, outputs=(best, turned))


def test_what_numbers_become_places_is_what_a_network_decides_by(network: Network) -> None:
    assert decided_by(network.graph) == ("scores",)


def test_outputs_behind_other_decisions_are_compared_with_what_follows_from_the_values_decided_by(
    network: Network, board: Board, tmp_path: Path
) -> None:
    bundle, trials = compiled(network, board, tmp_path / "bundle"), trials_of(network, 0, 2)
    by_place, _ = check_bundle(board, bundle, trials, TOLERANCE)
    assert by_place.deciding == 0
    assert by_place.largest_error < 1e-5
    report, _ = check_bundle(board, bundle, [*map(decided_otherwise, trials)], TOLERANCE)
    assert report.deciding == 1
    assert report.largest_error < 1e-5
    assert report.same_top5


@pytest.mark.parametrize("size", [4 * ROWS, 3], ids=["before", "behind"])
def test_a_bundle_that_is_wrong_before_or_behind_its_decisions_is_wrong_by_stages(
    network: Network, board: Board, tmp_path: Path, size: int
) -> None:
    constants = network.graph.constants
    off = {
        name: np.asarray(value, np.float32) * 1.05 if value.size == size else value
        for name, value in constants.items()
    }
    assert any(off[name] is not value for name, value in constants.items())
    other = replace(network, graph=replace(network.graph, constants=off))
    bundle = compiled(other, board, tmp_path / "bundle")
    report, _ = check_bundle(board, bundle, trials_of(network, 0, 1), TOLERANCE)
    assert report.deciding == 1
    assert report.largest_error > 10 * TOLERANCE


def test_networks_that_decide_nothing_are_compared_by_place(board: Board, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Exp", ["x"], ["y"])],
        "plain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4))],
        [helper.make_empty_tensor_value_info("y")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "plain.onnx")
    plain = load_network(tmp_path / "plain.onnx", {}, "plain")
    (trial,) = trials_of(plain, 0, 1)
    off = replace(trial, outputs=(trial.outputs[0] + 1,))
    report, _ = check_bundle(board, compiled(plain, board, tmp_path / "bundle"), [off], TOLERANCE)
    assert report.deciding == 0
    assert report.largest_error > TOLERANCE


def test_a_run_whose_outputs_do_not_follow_from_what_it_decided_by_is_a_failure(
    network: Network, board: Board, tmp_path: Path
) -> None:
    bundle, (trial,) = compiled(network, board, tmp_path / "bundle"), trials_of(network, 0, 1)
    plan, run = read_plan(bundle / "plan.json"), board.run_bundle(bundle, trial.inputs)
    other = decided_otherwise(trial)
    assert failure_of(run, other, plan)
    assert not failure_of(run, other, plan, lambda: staged(board, bundle, [other]))
    wrong = replace(run, outputs=tuple(1.05 * output for output in run.outputs))
    assert failure_of(wrong, other, plan, lambda: staged(board, bundle, [other]))
