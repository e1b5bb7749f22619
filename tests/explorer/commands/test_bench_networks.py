from __future__ import annotations

from pathlib import Path

from onnx import TensorProto, helper, save

from explorer.studies.foreign_networks import compared
from tests.explorer.command_line import explore
from tests.explorer.tiny import write_tiny_model


def test_networks_beside_onnxruntime(tmp_path: Path) -> None:
    good = write_tiny_model(tmp_path / "good.onnx", side="side")
    graph = helper.make_graph(
        [helper.make_node("Multinomial", ["x"], ["y"], name="draw")],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4))],
        [helper.make_tensor_value_info("y", TensorProto.INT32, None)],
    )
    bad = tmp_path / "bad.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), bad)
    page = tmp_path / "page.md"
    result = explore(
        "bench", "networks", good, bad, tmp_path / "none.onnx", "--shape", "x=1,3,8,8", "--markdown", page
    )
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    for words in ("1 of 3 can be compiled", "'draw'", "no such file"):
        assert words in text


def test_error_of_a_network(tmp_path: Path) -> None:
    found = compared(write_tiny_model(tmp_path / "good.onnx"), {})
    assert found.error is not None
    assert found.error < 1e-5
    assert found.nodes == 6
