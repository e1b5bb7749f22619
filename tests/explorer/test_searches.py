"""The study of full searches: what its page says, where a plan's multiply-adds are, and a search from file to row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper, save

from codegen.chains import chain_nodes
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from explorer.pipeline.boards import open_board_of
from explorer.plans.modelled_plan import modelled_plan
from explorer.plans.network import load_network
from explorer.settings import RunSettings
from tests.codegen.plan_run import choice_of
from tests.codegen.planned import GraphBuilder, plan_of, relayout_step, step_of
from tests.networks.places import launched_share, why_not_launched
from tests.networks.searched_networks import SEARCHED, Searched
from tests.networks.searches import searched
from tests.networks.searches_page import Found, page


def found(**changed: Any) -> Found:
    values = {
        "wall_s": 80.0,
        "processor_s": 60.0,
        "shapes": {"x": [1, 3, 8, 8]},
        "macs": 3_000_000,
        "time_s": 0.0125,
        "launches": 1,
        "peak_share": 0.25,
        "launched": 0.99,
        "why_not": "",
        "cpu_share": 0.0,
        "measured": 1200,
        "error": 1e-4,
        "tolerance": 1e-3,
    }
    return Found("net", "kind", {**values, **changed})


def test_a_row_of_the_page() -> None:
    text = page([found()])
    row = "| net | kind | 1x3x8x8 | 3 million | 12.5 ms | 1 | 25.0% | 99.0% | 0.0% | 1,200 | 60 s | 1.0e-04 |"
    assert row in text and "1 of 1 were searched; 1 are within the tolerance." in text


def test_what_is_to_be_said_of_single_networks() -> None:
    slow = found(processor_s=900.0, why_not="Gemm 40%: the CPU is faster", error=2e-3)
    failed = Found("other", "kind", {"reason": "exit code 2: no board\n", "wall_s": 1.0, "processor_s": 1.0})
    text = page([slow, failed])
    assert "1 of 2 were searched; 0 are within the tolerance." in text
    assert "- net: multiply-adds on the CPU: Gemm 40%: the CPU is faster." in text
    assert "- net: the search takes 15 minutes of processor time." in text
    assert "beyond 1e-03" not in text and "beyond 1e-03; on random" in page(
        [found(error=2e-3, rounding=4e-5)]
    )
    assert (
        "trained for" not in text
        and "trained for, in place of random inputs, the error is 2.0e-04 of" in page([found(own_error=2e-4)])
    )
    assert "- other: not searched, exit code 2: no board." in text


def test_networks_have_one_source_each() -> None:
    names = [one.name for one in SEARCHED]
    assert len(set(names)) == len(names) >= 12
    for one in SEARCHED:
        assert sum(map(bool, (one.architecture, one.carried, one.given, one.zoo))) == 1


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A convolution that the QPUs take, and one in three dimensions that they do not."""
    weights = [
        helper.make_tensor("w", TensorProto.FLOAT, (16, 4, 3, 3), [0.1] * 576),
        helper.make_tensor("v", TensorProto.FLOAT, (2, 16, 3, 3, 3), [0.1] * 864),
        helper.make_tensor("s", TensorProto.INT64, (5,), (1, 16, 1, 8, 8)),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4),
        helper.make_node("Reshape", ["a", "s"], ["b"]),
        helper.make_node("Conv", ["b", "v"], ["y"], pads=[1] * 6),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4, 8, 8))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    path = tmp_path / "small.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_where_multiply_adds_are(small: Path) -> None:
    network, board = load_network(small, {}, "small"), open_board_of(RunSettings(device="pi-zero"))
    plan = modelled_plan(network, board.profile, engines=("cpu", "videocore4"), preferred="videocore4")
    macs = [LayerSpec.of(network.graph, node).macs for node in network.graph.nodes]
    share = launched_share(network.graph, plan)
    assert share is not None and share == pytest.approx(macs[0] / sum(macs))
    why = why_not_launched(network.graph, plan, board.target)
    assert why.endswith(": no algorithm of the QPUs takes it") and f"{1 - share:.0%}" in why


def test_members_of_a_chain_are_where_the_chain_is() -> None:
    build = GraphBuilder("separable", (1, 20, 7, 6))
    window = build.add(Conv2d((3, 3), pads=(1, 1, 1, 1), groups=20), "x", [(20, 1, 3, 3), (20,)])
    graph = build.build(build.add(Conv2d((1, 1)), window, [(26, 20, 1, 1), (26,)]))
    (chain,) = chain_nodes(graph)
    node, spec = chain.node, LayerSpec.of(graph, chain.node)
    steps = (
        relayout_step("x", graph.types["x"], "nchw", "pixel16"),
        step_of(node.name, spec, node.inputs, node.output, choice_of(spec, "qpu_separable")),
        relayout_step(node.output, graph.types[node.output], "pixel16", "nchw"),
    )
    assert launched_share(graph, plan_of(graph, steps)) == 1.0


@pytest.mark.slow
def test_a_search_from_file_to_row(small: Path, tmp_path: Path) -> None:
    network = Searched("small", "test", given=small.name)
    assert network.file(tmp_path, tmp_path, None) == small
    row = searched(network, small, tmp_path / "work")
    assert row.found["error"] < 1e-4 and row.found["measured"] > 10 and row.found["processor_s"] > 0
    assert (row.found["launches"] == 0) == (row.found["cpu_share"] == pytest.approx(1.0))
    assert "| small | test | 1x4x8x8 |" in page([row])
