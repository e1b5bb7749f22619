"""What a model may ask of the importer: each limit is a typed error, told before the memory or time is spent."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, external_data_helper, helper, numpy_helper

from codegen.errors import FoldingError, ModelError, ObstaclesError
from codegen.onnx_import import folding_limits, reader
from codegen.onnx_import.reader import import_model, load_graph

BILLION = 10**9


def model_of(
    nodes: Sequence[NodeProto], constants: Mapping[str, np.ndarray] | None = None, opset: int = 17
) -> ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (4,))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def added(node: NodeProto, **constants: np.ndarray) -> ModelProto:
    """The node gives `c`, whose sum is added to the input."""
    total = helper.make_node("ReduceSum", ["c"], ["s"], keepdims=0)
    return model_of([node, total, helper.make_node("Add", ["x", "s"], ["y"])], constants)


ONE = np.ones(1, dtype=np.float32)
SQUARE = np.ones((3000, 3000), dtype=np.float32)
BOMBS = {
    "tile": added(helper.make_node("Tile", ["a", "n"], ["c"]), a=ONE, n=np.array([BILLION])),
    "expand": added(helper.make_node("Expand", ["a", "n"], ["c"]), a=ONE, n=np.array([BILLION, BILLION])),
    "constant of shape": added(helper.make_node("ConstantOfShape", ["n"], ["c"]), n=np.array([BILLION] * 7)),
    "range": added(
        helper.make_node("Range", ["a", "n", "d"], ["c"]), a=np.array(0), n=np.array(2**62), d=np.array(1)
    ),
    "range by steps of nothing": added(
        helper.make_node("Range", ["a", "n", "d"], ["c"]), a=np.array(0), n=np.array(1), d=np.array(0)
    ),
    "one-hot": added(
        helper.make_node("OneHot", ["a", "n", "v"], ["c"]),
        a=np.array([1]),
        n=np.array(2**40),
        v=np.array([0, 1], dtype=np.float32),
    ),
    "pad": added(helper.make_node("Pad", ["a", "n"], ["c"]), a=ONE, n=np.array([0, BILLION])),
    "resize": added(helper.make_node("Resize", ["a", "", "", "n"], ["c"]), a=ONE, n=np.array([BILLION])),
    "window": added(helper.make_node("HannWindow", ["n"], ["c"]), n=np.array(BILLION)),
    "mel": added(
        helper.make_node("MelWeightMatrix", ["n", "n", "n", "f", "f"], ["c"]),
        n=np.array(2**30),
        f=np.array(1.0, dtype=np.float32),
    ),
    "outer product": added(
        helper.make_node("Mul", ["a", "b"], ["c"]),
        a=np.ones((2**15, 1), dtype=np.float32),
        b=np.ones((1, 2**15), dtype=np.float32),
    ),
    "matrices": added(helper.make_node("MatMul", ["a", "a"], ["c"]), a=SQUARE),
}


@pytest.mark.parametrize("name", BOMBS)
def test_results_that_are_too_large_are_not_made(name: str) -> None:
    with pytest.raises(FoldingError, match=r"node '.*; make it smaller"):
        import_model(BOMBS[name])


def test_all_of_them_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codegen.onnx_import.builder.MOST_FOLDED_BYTES", 10_000)
    nodes = [helper.make_node("Tile", ["a", "n"], [f"t{i}"]) for i in range(4)]
    nodes += [helper.make_node("ReduceSum", [f"t{i}"], [f"s{i}"]) for i in range(4)]
    nodes.append(helper.make_node("Sum", ["x", *(f"s{i}" for i in range(4))], ["y"]))
    model = model_of(nodes, {"a": ONE, "n": np.array([1000])})
    with pytest.raises((FoldingError, ObstaclesError), match="more than 10000 bytes"):
        import_model(model)


@pytest.mark.parametrize("is_main", [True, False])
def test_time_has_a_limit(monkeypatch: pytest.MonkeyPatch, is_main: bool) -> None:
    monkeypatch.setattr(folding_limits, "MOST_SECONDS", 0.0)
    model = added(helper.make_node("Sin", ["a"], ["c"]), a=np.ones((2**18, 4), dtype=np.float32))
    errors: list[BaseException] = []

    def work() -> None:
        try:
            import_model(model)
        except ModelError as error:
            errors.append(error)

    if is_main:
        work()
    else:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert [type(error) for error in errors] == [FoldingError]
    assert "seconds" in str(errors[0])


def test_what_nobody_reads_is_not_computed() -> None:
    bomb = helper.make_node("Tile", ["a", "n"], ["c"])
    model = model_of(
        [bomb, helper.make_node("ImageDecoder", ["c"], ["d"]), helper.make_node("Relu", ["x"], ["y"])],
        {"a": ONE, "n": np.array([BILLION])},
    )
    assert [node.op.describe() for node in import_model(model).nodes] == ["Map relu"]


def test_functions_that_call_each_other_twice_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST_NODES", 500)
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = []
    for level in range(20):
        inner = f"F{level + 1}" if level < 19 else "Relu"
        domain = "own" if level < 19 else ""
        body = [
            helper.make_node(inner, ["p"], ["q"], domain=domain),
            helper.make_node(inner, ["q"], ["r"], domain=domain),
        ]
        functions.append(helper.make_function("own", f"F{level}", ["p"], ["r"], body, sets))
    model = model_of([helper.make_node("F0", ["x"], ["y"], domain="own")])
    model.functions.extend(functions)
    model.opset_import.append(sets[1])
    with pytest.raises((FoldingError, ObstaclesError), match="more than 500 nodes"):
        import_model(model)


# --- files ------------------------------------------------------------------------------------------------


def external_model(directory: Path, location: str = "net.bin") -> Path:
    directory.mkdir(exist_ok=True)
    model = added(helper.make_node("Identity", ["w"], ["c"]), w=np.ones(4, dtype=np.float32))
    external_data_helper.convert_model_to_external_data(model, location=location, size_threshold=0)
    external_data_helper.write_external_data_tensors(model, str(directory))
    path = directory / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_links_out_of_the_models_directory_are_not_followed(tmp_path: Path) -> None:
    path = external_model(tmp_path / "in")
    data = tmp_path / "in" / "net.bin"
    data.rename(tmp_path / "secret")
    data.symlink_to(tmp_path / "secret")
    with pytest.raises(ModelError, match="outside the model's directory"):
        load_graph(path)


def test_links_within_it_are(tmp_path: Path) -> None:
    path = external_model(tmp_path / "in")
    data = tmp_path / "in" / "net.bin"
    data.rename(tmp_path / "in" / "other")
    data.symlink_to("other")
    load_graph(path)


@pytest.mark.parametrize("device", ["fifo", "/dev/zero"])
def test_pipes_and_devices_are_not_read(tmp_path: Path, device: str) -> None:
    path = external_model(tmp_path / "in")
    data = tmp_path / "in" / "net.bin"
    data.unlink()
    if device == "fifo":
        os.mkfifo(data)
        expected = "no regular file"
    else:
        data.symlink_to(device)
        expected = "outside the model's directory"
    with pytest.raises(ModelError, match=expected):
        load_graph(path)


def test_a_model_that_is_a_pipe_or_a_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "net.onnx")
    for path in (tmp_path / "net.onnx", Path("/dev/zero")):
        with pytest.raises(ModelError, match=r"cannot be read.*regular file"):
            load_graph(path)


def test_sparse_terabytes_are_not_read(tmp_path: Path) -> None:
    path = external_model(tmp_path / "in")
    os.truncate(tmp_path / "in" / "net.bin", 2**42)
    load_graph(path)
    model = ModelProto()
    model.ParseFromString(path.read_bytes())
    tensor = model.graph.initializer[0]
    tensor.dims[:] = [2**38]
    for entry in tensor.external_data:
        if entry.key == "length":
            entry.value = str(2**40)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="1099511627776 bytes, of which a tensor may have"):
        load_graph(path)


# --- names ------------------------------------------------------------------------------------------------


def test_many_nodes_of_one_name() -> None:
    count = 3000
    nodes = [
        helper.make_node(
            "Relu", [f"t{i}" if i else "x"], ["y" if i == count - 1 else f"t{i + 1}"], name="same"
        )
        for i in range(count)
    ]
    names = [node.name for node in import_model(model_of(nodes)).nodes]
    assert len(set(names)) == count
    assert names[0] == "same"


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "a\x1b[2Jb", "a\x7f", "a\x9b"])
@pytest.mark.parametrize("place", ["node", "tensor", "input", "graph", "operator"])
def test_control_characters_in_names(name: str, place: str) -> None:
    middle = name if place == "tensor" else "t"
    model = model_of(
        [
            helper.make_node("Relu", ["x"], [middle], name=name if place == "node" else "first"),
            helper.make_node("Relu", [middle], ["y"]),
        ]
    )
    if place == "input":
        model.graph.input[0].name = name
    if place == "graph":
        model.graph.name = name
    if place == "operator":
        model.graph.node[0].op_type = name
    with pytest.raises(ModelError, match="control characters") as raised:
        import_model(model)
    assert name not in str(raised.value)
