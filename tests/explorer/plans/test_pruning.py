from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from explorer.errors import UsageError
from explorer.plans.pruning import CONVOLUTION, DEPTHWISE, FIRST, FULLY_CONNECTED, prune
from tests.explorer.command_line import explore, refused

EVERY = frozenset({CONVOLUTION, FIRST, DEPTHWISE, FULLY_CONNECTED})
BLOCKS = {"none": (1, 1), "4x1": (4, 1), "1x4": (1, 4), "16x1": (16, 1)}


def written(path: Path, by_constant: bool = False) -> Path:
    """Two convolutions with a depthwise one between them, and two matrices, the second turned."""
    random = np.random.default_rng(3)
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 1, 3, 3), "w3": (34, 8, 1, 1), "m1": (34, 12), "m2": (5, 12)}
    tensors = [
        numpy_helper.from_array(random.standard_normal(shape, dtype=np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], "first"),
        helper.make_node("Conv", ["a", "w2"], ["b"], "second", group=8),
        helper.make_node("Conv", ["b", "w3"], ["c"], "third"),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("MatMul", ["e", "m1"], ["f"], "fourth"),
        helper.make_node("Gemm", ["f", "m2"], ["y"], "fifth", transB=1),
    ]
    if by_constant:
        nodes = [*(helper.make_node("Constant", [], [t.name], value=t) for t in tensors), *nodes]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 9, 9))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 5))],
        [] if by_constant else tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def constants(path: Path) -> dict[str, np.ndarray]:
    model = onnx.load(path)
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def outputs_first(name: str, value: np.ndarray) -> np.ndarray:
    return value.T if name == "m1" else value


@pytest.mark.parametrize("by_constant", [False, True])
def test_what_is_left_whole_unless_asked_for(tmp_path: Path, by_constant: bool) -> None:
    source = written(tmp_path / "net.onnx", by_constant)
    layers = prune(source, tmp_path / "out.onnx", 0.75, "none", frozenset({CONVOLUTION}))
    assert [(layer.name, layer.kind, layer.is_pruned) for layer in layers] == [
        ("first", FIRST, False),
        ("second", DEPTHWISE, False),
        ("third", CONVOLUTION, True),
        ("fourth", FULLY_CONNECTED, False),
        ("fifth", FULLY_CONNECTED, False),
    ]
    before, after = constants(source), constants(tmp_path / "out.onnx")
    for name in ("w1", "w2", "m1", "m2"):
        assert (before[name] == after[name]).all()
    assert np.count_nonzero(after["w3"]) == layers[2].nonzero == 34 * 8 // 4
    onnx.checker.check_model(str(tmp_path / "out.onnx"))


@pytest.mark.parametrize("structure", BLOCKS)
def test_the_smallest_blocks_are_zero_and_all_others_as_they_were(tmp_path: Path, structure: str) -> None:
    source, (rows, columns) = written(tmp_path / "net.onnx"), BLOCKS[structure]
    prune(source, tmp_path / "out.onnx", 0.6, structure, EVERY)
    after = constants(tmp_path / "out.onnx")
    for name, value in constants(source).items():
        old, new = (outputs_first(name, one) for one in (value, after[name]))
        sums: dict[bool, list[float]] = {True: [], False: []}
        for taps in np.ndindex(old.shape[2:]):
            for o in range(0, old.shape[0], rows):
                for i in range(0, old.shape[1], columns):
                    place = (slice(o, o + rows), slice(i, i + columns), *taps)
                    is_zero = not new[place].any()
                    assert is_zero or (new[place] == old[place]).all()
                    sums[is_zero].append(float(np.abs(old[place]).sum()))
        count = len(sums[True]) + len(sums[False])
        assert len(sums[True]) == round(0.6 * count), name
        assert max(sums[True]) <= min(sums[False]), name


def test_what_there_is_nothing_of_is_refused(tmp_path: Path) -> None:
    source = written(tmp_path / "net.onnx")
    for sparsity in (0.0, 1.0, -0.5, 90.0):
        with pytest.raises(UsageError, match="between 0 and 1"):
            prune(source, tmp_path / "out.onnx", sparsity, "none", EVERY)
    with pytest.raises(UsageError, match="2x2"):
        prune(source, tmp_path / "out.onnx", 0.5, "2x2", EVERY)
    model = onnx.load(source)
    del model.graph.node[2:]
    onnx.save(model, tmp_path / "short.onnx")
    with pytest.raises(UsageError, match="no layer to prune"):
        prune(tmp_path / "short.onnx", tmp_path / "out.onnx", 0.5, "none", frozenset({CONVOLUTION}))
    assert not (tmp_path / "out.onnx").exists()


def test_the_command_says_whose_the_accuracy_is(tmp_path: Path) -> None:
    source, out = written(tmp_path / "net.onnx"), tmp_path / "new" / "out.onnx"
    result = explore("prune", source, "--sparsity", "0.9", "--out", out, "--fully-connected")
    assert result.exit_code == 0, result.output
    assert "Nothing was trained" in result.stdout and "left whole" in result.stdout
    found = json.loads(explore("prune", source, "--sparsity", "0.9", "--out", out, "--json").stdout)
    assert [layer["is_pruned"] for layer in found["layers"]] == [False, False, True, False, False]
    refused(explore("prune", source, "--sparsity", "90", "--out", out), "UsageError", "--sparsity")
    refused(explore("prune", tmp_path / "none.onnx", "--sparsity", "0.9", "--out", out), "ModelError")
