"""The study of breadth: its page, what it calls wrong, and the inputs that it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from codegen.onnx_import.reader import load_graph
from codegen.reference import evaluate
from tests.networks.architectures import ARCHITECTURES
from tests.networks.judge import judge_on_board, judge_on_host
from tests.networks.page import Record, agrees, page, wrong
from tests.networks.trained import TRAINED, Trained, digits, tones


def record(place: str, package: str = "", **found: Any) -> Record:
    return Record("net", package, place, 0, "family", found)


@pytest.mark.parametrize(
    "place, found, is_wrong, right",
    [
        ("host", {"error": 2e-6, "own_error": 1e-6}, False, True),
        ("host", {"error": 2e-4, "own_error": 1e-6}, False, False),  # onnxruntime's own rounding
        ("host", {"error": 1e-6, "own_error": 2e-4, "peer_error": 1e-6}, True, True),
        ("host", {"error": 1e-2, "own_error": 2e-3, "peer_error": 8e-3}, False, False),  # nobody is near
        ("host", {"error": np.nan, "own_error": np.nan}, True, False),
        ("host", {"reason": "crash: KeyError"}, True, False),
        ("host", {"reason": "UnsupportedOperatorError: node"}, False, False),
        ("board", {"error": 9e-4}, False, True),
        ("board", {"error": 2e-3}, True, False),
    ],
)
def test_what_is_wrong_and_what_agrees(
    place: str, found: dict[str, Any], is_wrong: bool, right: bool
) -> None:
    assert bool(wrong([record(place, **found)])) == is_wrong
    assert agrees(record(place, **found)) == right


def test_the_page_joins_both_places_and_names_no_directory_of_the_machine() -> None:
    text = page(
        [
            record("host", nodes=7, macs=3_000_000, error=1e-6, own_error=2e-6, peer_error=3e-6),
            record("board", error=4e-5, share=0.5, launches=2, time_s=0.0125),
            record("host", "package 1.0", nodes=5, reason="ModelError: /home/user/net.onnx: is | odd"),
        ]
    )
    assert (
        "| net | family | 7 | 3.0 million | 1.0e-06 (2.0e-06, 3.0e-06) | 4.0e-05 | 50% | 2 | 12.5 ms | - |"
        in text
    )
    assert "| net | package 1.0 | family | 5 |" in text and "ModelError: net.onnx: is / odd |" in text
    assert "1 of 1 agree on the host, of 1 kinds; 1 of 1 on the virtual board." in text
    assert "Off by rounding" not in text and "Beyond" not in text and "None is wrong or crashes" in text


def test_what_is_too_large_for_the_virtual_board_is_not_counted_there() -> None:
    host = record("host", nodes=1, error=1e-6, own_error=1e-6, peer_error=1e-6)
    large = record("board", reason="more than 300 million multiply-adds: not simulated")
    refused = record("board", reason="UnsupportedOperatorError: node")
    assert "1 of 1 agree on the host, of 1 kinds; 0 of 0 on the virtual board." in page([host, large])
    assert "0 of 1 on the virtual board." in page([host, refused])


def test_the_page_names_what_rounding_alone_keeps_from_agreeing() -> None:
    text = page([record("host", nodes=7, error=3e-4, own_error=2e-4, peer_error=1e-4)])
    assert "0 of 1 agree on the host" in text and "None is wrong or crashes on the host." in text
    assert "Off by rounding on the host, at most 4 times as far as onnxruntime is from float64: net." in text


def test_the_page_names_what_is_beyond_the_boards_tolerance() -> None:
    host = record("host", nodes=7, error=5e-5, own_error=4e-5, peer_error=6e-5)
    text = page([host, record("board", error=1.8e-3, share=1.0, launches=1, time_s=1e-3)])
    assert "0 of 1 on the virtual board." in text
    assert (
        "Beyond 1e-03 on the virtual board" in text
        and "net (1.8e-03, onnxruntime is 6.0e-05 from float64)" in text
    )


def test_names_are_unique_and_at_most_two_sizes_are_of_one_family() -> None:
    names, families = [one.name for one in ARCHITECTURES], [one.family for one in ARCHITECTURES]
    assert len(set(names)) == len(names) >= 40
    assert len(set(families)) >= 25 and max(map(families.count, families)) <= 2
    assert len({(one.package, one.file) for one in TRAINED}) == len(TRAINED)


def test_inputs_are_the_same_for_a_seed() -> None:
    image = digits((1, 3, 48, 160), 0)
    assert image.shape == (1, 3, 48, 160) and -1 < image.min() < -0.5 and 0.9 < image.max() < 1.2
    assert np.array_equal(image, digits((1, 3, 48, 160), 0)) and not np.array_equal(
        image, digits(image.shape, 1)
    )
    assert tones((1, 100, 1), 0).shape == (1, 100, 1)


def save_small(path: Path, *, weights: np.ndarray) -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, (8, 4, 1, 1), weights)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["y"])],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4, 8, 8))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 8, 8, 8))],
        [weight],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))


def test_a_network_without_effect_does_not_agree(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    save_small(path, weights=np.zeros(32))
    found = judge_on_host(path, {})
    assert found.error is None and "same for every input" in found.reason


def test_a_network_is_judged_in_both_places(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    save_small(path, weights=np.linspace(-1, 1, 32))
    host, board = judge_on_host(path, {}), judge_on_board(path, {})
    assert host.macs == 8 * 4 * 64 and host.error is not None and host.error < 1e-6
    assert board.error is not None and board.error < 1e-5 and not board.reason
    assert board.time_s is not None and board.time_s > 0


def test_a_trained_network_is_judged_with_its_constants_compiled_in(tmp_path: Path) -> None:
    x, rate, y = (
        helper.make_tensor_value_info(name, type_, shape)
        for name, type_, shape in (
            ("x", TensorProto.FLOAT, [1, 4]),
            ("rate", TensorProto.INT64, []),
            ("y", TensorProto.FLOAT, [1, 4]),
        )
    )
    nodes = [
        helper.make_node("Cast", ["rate"], ["factor"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "factor"], ["y"]),
    ]
    graph_ = helper.make_graph(nodes, "rated", [x, rate], [y])
    model = helper.make_model(graph_, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "site").mkdir()
    save(model, tmp_path / "site" / "rated.onnx")
    open_ = Trained("package", "rated.onnx", "gain")
    assert open_.judged(tmp_path / "site", tmp_path) == tmp_path / "site" / "rated.onnx"
    judged = Trained("package", "rated.onnx", "gain", constants={"rate": "3"}).judged(
        tmp_path / "site", tmp_path
    )
    graph = load_graph(judged)
    assert graph.inputs == ("x",)
    values = np.ones((1, 4), np.float32)
    assert evaluate(graph, {"x": values})["y"].tolist() == [[3.0] * 4]
