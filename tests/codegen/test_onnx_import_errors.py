"""Bad input: each is refused by a typed error that names the thing, the place and the remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, external_data_helper, helper, numpy_helper

from codegen.errors import DynamicShapeError, ModelError, UnsupportedOperatorError, UnsupportedTypeError
from codegen.onnx_import.reader import import_model, load_graph
from codegen.reference import evaluate

WEIGHT = np.arange(4 * 3 * 3 * 3, dtype=np.float32).reshape(4, 3, 3, 3)
SHAPE = (1, 3, 8, 8)


def model_of(
    nodes: Sequence[NodeProto],
    constants: Mapping[str, np.ndarray] | None = None,
    shape: Sequence[int | str | None] | None = SHAPE,
    *,
    opset: int = 13,
    element: int = TensorProto.FLOAT,
    outputs: Sequence[str] = ("y",),
) -> ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "bad",
        [helper.make_tensor_value_info("x", element, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def relu(source: str = "x", target: str = "y") -> NodeProto:
    return helper.make_node("Relu", [source], [target])


def conv(**attributes: Any) -> NodeProto:
    return helper.make_node("Conv", ["x", "w"], ["y"], name="first", **attributes)


# --- the file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 64, b"no model at all, but text\n", bytes(range(256)), b"{}"]
)
def test_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"net\.onnx: is no ONNX model"):
        load_graph(path)


def test_every_truncation_is_a_model_error(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    data = model_of([conv()], {"w": WEIGHT}).SerializeToString()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(ModelError, match=r"net\.onnx: "):
            load_graph(path)


def test_missing_file_directory_and_impossible_path(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.onnx: no such file"):
        load_graph(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="is a directory"):
        load_graph(tmp_path)
    with pytest.raises(ModelError, match="cannot be read"):
        load_graph(tmp_path / ("n" * 300))
    with pytest.raises(ModelError, match="cannot be read"):
        load_graph(tmp_path / "a\0b")


@pytest.mark.parametrize("opset", [1, 6, 29, 1000])
def test_operator_set_outside_the_range(opset: int) -> None:
    with pytest.raises(ModelError, match=rf"operator set {opset}; supported are 7 to 28"):
        import_model(model_of([relu()], opset=opset))


def test_operator_set_missing() -> None:
    model = model_of([relu()])
    del model.opset_import[:]
    with pytest.raises(ModelError, match="imports 0 versions"):
        import_model(model)


def test_operator_set_named_again() -> None:
    model = model_of([relu()])
    model.opset_import.append(model.opset_import[0])
    assert import_model(model).outputs == import_model(model_of([relu()])).outputs
    model.opset_import[1].version -= 1
    with pytest.raises(ModelError, match="imports 2 versions"):
        import_model(model)


# --- external data ----------------------------------------------------------------------------------------


def external_model(directory: Path) -> tuple[Path, Path]:
    model = model_of([conv()], {"w": WEIGHT})
    external_data_helper.convert_model_to_external_data(model, location="net.bin", size_threshold=0)
    external_data_helper.write_external_data_tensors(model, str(directory))
    (directory / "net.onnx").write_bytes(model.SerializeToString())
    return directory / "net.onnx", directory / "net.bin"


def test_external_data_are_read(tmp_path: Path) -> None:
    path, _ = external_model(tmp_path)
    graph = load_graph(path)
    np.testing.assert_array_equal(graph.constants[graph.nodes[0].weights[0]], WEIGHT)
    evaluate(graph, {"x": np.ones(SHAPE)})


def test_external_data_missing(tmp_path: Path) -> None:
    path, data = external_model(tmp_path)
    data.unlink()
    with pytest.raises(
        ModelError, match=r"initializer 'w'.*net\.bin cannot be read.*put it beside the model"
    ):
        load_graph(path)


def test_external_data_truncated(tmp_path: Path) -> None:
    path, data = external_model(tmp_path)
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"net\.bin ends before byte 432.*truncated"):
        load_graph(path)


@pytest.mark.parametrize("location", ["/etc/hostname", "../secret", "a/../../secret", "", "a\0b"])
def test_external_data_outside_the_model_s_directory(tmp_path: Path, location: str) -> None:
    model = model_of([conv()], {"w": WEIGHT})
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    with pytest.raises(ModelError, match="no path below the model's directory"):
        import_model(model, directory=tmp_path)


@pytest.mark.parametrize(("key", "value"), [("offset", "-1"), ("offset", "one"), ("length", "3")])
def test_external_data_with_bad_extent(tmp_path: Path, key: str, value: str) -> None:
    path, _ = external_model(tmp_path)
    model = ModelProto.FromString(path.read_bytes())
    entries = model.graph.initializer[0].external_data
    for entry in [entry for entry in entries if entry.key == key]:
        entries.remove(entry)
    entries.add(key=key, value=value)
    with pytest.raises(ModelError, match=r"initializer 'w'.*external data"):
        import_model(model, directory=tmp_path)


# --- inputs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "suggestion"),
    [
        (("batch", 3, 8, 8), "--shape x=1,3,8,8"),
        ((None, 3, "height", "width"), "--shape x=1,3,224,224"),
        ((0, 10), "--shape x=1,10"),
        (None, "--shape x=1,3,224,224"),
    ],
)
def test_open_shape_asks_for_one(shape: Sequence[int | str | None] | None, suggestion: str) -> None:
    with pytest.raises(DynamicShapeError, match="input 'x' has no fixed shape") as error:
        import_model(model_of([relu()], shape=shape))
    assert suggestion in str(error.value)


def test_given_shape_fills_or_overrides() -> None:
    for declared in (("batch", 3, None, None), SHAPE, None):
        graph = import_model(model_of([relu()], shape=declared), shapes={"x": (2, 3, 5, 6)})
        assert graph.types["y"].shape == (2, 3, 5, 6)


@pytest.mark.parametrize("given", [(1, 3, 8), (1, 3, 8, 0), (), (1, 3, -8, 8)])
def test_given_shape_that_cannot_be(given: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="input 'x' of 4 dimensions cannot take the shape"):
        import_model(model_of([relu()]), shapes={"x": given})


def test_shape_for_an_unknown_input() -> None:
    with pytest.raises(ModelError, match=r"no input 'image' .*its inputs: x"):
        import_model(model_of([relu()]), shapes={"image": SHAPE})


@pytest.mark.parametrize("element", [TensorProto.BFLOAT16, TensorProto.STRING, TensorProto.INT4, 99])
def test_input_of_another_type(element: int) -> None:
    with pytest.raises(ModelError, match=r"input 'x' has elements of .*float64"):
        import_model(model_of([relu()], element=element))


# --- operators --------------------------------------------------------------------------------------------


def test_unsupported_operator_says_what_to_do() -> None:
    said = r"node 'odd' \(TfIdfVectorizer, opset 13\): .*explore operators"
    with pytest.raises(UnsupportedOperatorError, match=said):
        import_model(model_of([helper.make_node("TfIdfVectorizer", ["x"], ["y"], name="odd")]))


def test_unnamed_node_is_named_by_operator_and_index() -> None:
    with pytest.raises(UnsupportedOperatorError, match=r"node 'TfIdfVectorizer_1'"):
        import_model(model_of([relu("x", "a"), helper.make_node("TfIdfVectorizer", ["a"], ["y"])]))


def test_other_domain() -> None:
    model = model_of([helper.make_node("BiasAdd", ["x"], ["y"], domain="com.microsoft")])
    with pytest.raises(UnsupportedOperatorError, match=r"'BiasAdd_0'.*'com\.microsoft'.*ORT_ENABLE_BASIC"):
        import_model(model)


@pytest.mark.parametrize("name", ["RandomNormal", "RandomUniform"])
def test_constant_looking_nodes_are_not_folded(name: str) -> None:
    node = helper.make_node(name, [], ["y"])
    with pytest.raises(UnsupportedOperatorError, match=name):
        import_model(model_of([node]))


def broken(node: NodeProto, **constants: np.ndarray) -> ModelProto:
    return model_of([node], constants)


NUMBERS = np.ones(5, dtype=np.float32)
HALF = np.array(0.5, dtype=np.float32)
PAD = helper.make_node("Pad", ["x", "p"], ["y"])
NORMALISATION = {role: np.ones(3, dtype=np.float32) for role in "sbmv"}
IMAGE_WEIGHTS = {"w": WEIGHT}
UNSUPPORTED = {
    "half weights": model_of([conv()], {"w": WEIGHT.astype(np.float16)}),
    "double weights": model_of([conv()], {"w": WEIGHT.astype(np.float64)}),
    "negative pads": model_of([conv(pads=[-1, 0, 0, 0])], IMAGE_WEIGHTS),
    "dropout in training": model_of(
        [helper.make_node("Dropout", ["x", "", "t"], ["y"])], {"t": np.array(True)}
    ),
    "kernel above plane": broken(conv(dilations=[4, 4]), w=WEIGHT),
    "empty weights": broken(conv(), w=WEIGHT[:0]),
    "pool of padding": broken(
        helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], pads=[2, 0, 0, 0])
    ),
    "variance": broken(
        helper.make_node("BatchNormalization", ["x", *"sbmv"], ["y"]),
        **{**NORMALISATION, "v": -NORMALISATION["v"]},
    ),
    "clip at nan": broken(helper.make_node("Clip", ["x", "c"], ["y"]), c=np.array(np.nan, dtype=np.float32)),
    "computed shape": model_of([helper.make_node("Reshape", ["x", "x"], ["y"])]),
    "quantised to truth values": broken(
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"]), s=HALF, z=np.array(True)
    ),
}


@pytest.mark.parametrize("form", UNSUPPORTED)
def test_unsupported_form_names_its_node(form: str) -> None:
    with pytest.raises(
        UnsupportedOperatorError, match=r"node '[A-Za-z]+(_\d)?' \([A-Za-z]+, opset \d+\): .+; .+"
    ) as error:
        import_model(UNSUPPORTED[form])
    assert "malformed" not in str(error.value)


MALFORMED = {
    "no output": broken(helper.make_node("Relu", ["x"], [])),
    "no input": broken(helper.make_node("Relu", [], ["y"])),
    "unknown tensor": broken(relu("nowhere")),
    "channels": broken(conv(), w=WEIGHT[:, :2]),
    "groups": broken(conv(group=3), w=WEIGHT),
    "no groups": broken(conv(group=0), w=WEIGHT),
    "kernel_shape": broken(conv(kernel_shape=[5, 5]), w=WEIGHT),
    "strides": broken(conv(strides=[0, 1]), w=WEIGHT),
    "one stride": broken(conv(strides=[1]), w=WEIGHT),
    "attribute type": broken(conv(strides=1.5), w=WEIGHT),
    "pads": broken(conv(pads=[1, 1]), w=WEIGHT),
    "auto_pad": broken(conv(auto_pad="SAME"), w=WEIGHT),
    "bias": broken(helper.make_node("Conv", ["x", "w", "b"], ["y"]), w=WEIGHT, b=NUMBERS),
    "pool without kernel": broken(helper.make_node("MaxPool", ["x"], ["y"])),
    "statistics": broken(
        helper.make_node("BatchNormalization", ["x", *"sbmv"], ["y"]), **dict.fromkeys("sbmv", NUMBERS)
    ),
    "clip ends": broken(helper.make_node("Clip", ["x", "c"], ["y"]), c=NUMBERS),
    "reshape": broken(helper.make_node("Reshape", ["x", "s"], ["y"]), s=np.array([7, -1])),
    "reshape twice open": broken(helper.make_node("Reshape", ["x", "s"], ["y"]), s=np.array([-1, -1])),
    "reshape by reals": broken(helper.make_node("Reshape", ["x", "s"], ["y"]), s=NUMBERS),
    "reshape to empty": broken(
        helper.make_node("Reshape", ["x", "s"], ["y"], allowzero=1), s=np.array([0, 1])
    ),
    "reshape copies nothing": broken(
        helper.make_node("Reshape", ["x", "s"], ["y"]), s=np.array([1] * 4 + [0])
    ),
    "concat axis": broken(helper.make_node("Concat", ["x", "x"], ["y"], axis=4)),
    "concat without axis": broken(helper.make_node("Concat", ["x", "x"], ["y"])),
    "concat of unequal planes": model_of(
        [
            helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2]),
            helper.make_node("Concat", ["x", "p"], ["y"], axis=1),
        ]
    ),
    "sum of nothing": broken(helper.make_node("Sum", [], ["y"])),
    "transpose": broken(helper.make_node("Transpose", ["x"], ["y"], perm=[0, 1, 2])),
    "pads of two axes": broken(PAD, p=np.array([1, 1])),
    "pads of an axis twice": model_of(
        [helper.make_node("Pad", ["x", "p", "", "a"], ["y"])],
        {"p": np.array([1, 1, 1, 1]), "a": np.array([2, -2])},
        opset=18,
    ),
    "pad value": broken(
        helper.make_node("Pad", ["x", "p", "c"], ["y"]), p=np.array([0, 0, 1, 0, 0, 0, 0, 0]), c=NUMBERS
    ),
    "mean axes": broken(helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 4])),
    "flatten": broken(helper.make_node("Flatten", ["x"], ["y"], axis=5)),
    "softmax": broken(helper.make_node("Softmax", ["x"], ["y"], axis=4)),
    "squeeze": broken(helper.make_node("Squeeze", ["x", "a"], ["y"]), a=np.array([1])),
    "matrix": broken(helper.make_node("Gemm", ["x", "w"], ["y"]), w=np.ones((8, 2), dtype=np.float32)),
    "constant form": broken(helper.make_node("Constant", [], ["y"])),
    "bad folding": model_of(
        [helper.make_node("Reshape", ["c", "s"], ["d"]), helper.make_node("Add", ["x", "d"], ["y"])],
        {"c": NUMBERS, "s": np.array([7])},
    ),
    "constant of an absent input": model_of(
        [helper.make_node("Unsqueeze", ["", "a"], ["c"]), relu()], {"a": np.array([0])}, outputs=["y", "c"]
    ),
    "tile backwards": broken(helper.make_node("Tile", ["x", "n"], ["y"]), n=np.array([1, -1, 1, 1])),
    "depth of nothing": broken(
        helper.make_node("OneHot", ["x", "n", "v"], ["y"]), n=np.array([], dtype=np.int64), v=NUMBERS[:2]
    ),
    "diagonal of several": broken(helper.make_node("Trilu", ["x", "k"], ["y"]), k=np.array([1, 2])),
    "parts of a matrix": model_of(
        [
            helper.make_node("SplitToSequence", ["x", "n"], ["s"], axis=1),
            helper.make_node("SequenceAt", ["s", "n"], ["y"]),
        ],
        {"n": np.array([[1, 2]])},
    ),
    "parts of nothing": model_of(
        [
            helper.make_node("SplitToSequence", ["x", "n"], ["s"], axis=1),
            helper.make_node("SequenceAt", ["s", "n"], ["y"]),
        ],
        {"n": np.array(0)},
    ),
    "recurrent over an image": broken(helper.make_node("GRU", ["x", "w", "w"], ["y"]), w=WEIGHT),
    "normalised over no channels": model_of(
        [
            helper.make_node("Flatten", ["x"], ["f"], axis=0),
            helper.make_node("Squeeze", ["f", "a"], ["v"]),
            helper.make_node("LRN", ["v"], ["y"], size=3),
        ],
        {"a": np.array([0])},
    ),
    "frames by a scalar": model_of(
        [helper.make_node("Flatten", ["x"], ["f"], axis=0), helper.make_node("STFT", ["f", "n", "w"], ["y"])],
        {"n": np.array(4), "w": np.array(1.0, np.float32)},
        opset=17,
    ),
    "norm of order 0": broken(helper.make_node("GlobalLpPool", ["x"], ["y"], p=0)),
    "windows' norm of order 0": broken(helper.make_node("LpPool", ["x"], ["y"], kernel_shape=[2, 2], p=0)),
    "places of more axes than there are": model_of(
        [
            helper.make_node("NonZero", ["x"], ["n"]),
            helper.make_node("Gather", ["n", "first"], ["v"], axis=0),
            helper.make_node("GatherND", ["v", "p"], ["y"]),
        ],
        {"first": np.array(0), "p": np.array([[0, 1]])},
    ),
    "convolution by a scalar of integers": model_of(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("ConvInteger", ["q", "w", "z"], ["y"]),
        ],
        {"s": HALF, "z": np.array(3, np.uint8), "w": np.array(1, np.int8)},
    ),
    "blocks of fewer axes": model_of(
        [helper.make_node("QuantizeLinear", ["x", "s"], ["q"]), helper.make_node("Relu", ["q"], ["y"])],
        {"s": np.ones((2, 2), np.float32)},
        opset=21,
    ),
    "body that is none": model_of([helper.make_node("SequenceMap", ["x"], ["y"])], opset=17),
    "written twice": model_of([relu("x", "a"), relu("x", "a"), relu("a", "y")]),
    "input written": model_of([relu("x", "x"), relu("x", "y")]),
    "output of nobody": model_of([relu("x", "a")]),
    "output is input": model_of([relu("x", "y")], outputs=["x"]),
    "output twice": model_of([relu("x", "y")], outputs=["y", "y"]),
    "no outputs": model_of([relu("x", "y")], outputs=[]),
}


@pytest.mark.parametrize("form", MALFORMED)
def test_malformed_model(form: str) -> None:
    with pytest.raises(ModelError) as error:
        import_model(MALFORMED[form])
    assert not isinstance(error.value, UnsupportedOperatorError)
    assert len(str(error.value)) > 30


def test_initializer_that_does_not_hold_its_data() -> None:
    model = model_of([conv()], IMAGE_WEIGHTS)
    model.graph.initializer[0].raw_data = b"1234"
    with pytest.raises(ModelError, match="initializer 'w'"):
        import_model(model)


@pytest.mark.parametrize("to", [TensorProto.STRING, TensorProto.BFLOAT16, TensorProto.COMPLEX64])
def test_constants_that_are_folded_to_another_type(to: int) -> None:
    nodes = [helper.make_node("Cast", ["c"], ["d"], to=to), helper.make_node("Where", ["x", "d", "d"], ["y"])]
    with pytest.raises(UnsupportedTypeError, match=r"node 'Cast_0' .*'d' is constant, of .*export the model"):
        import_model(model_of(nodes, {"c": NUMBERS}, (5,), element=TensorProto.BOOL))


def test_string_constant() -> None:
    node = helper.make_node("Constant", [], ["c"], value_string="text")
    with pytest.raises(UnsupportedOperatorError, match="value_string"):
        import_model(model_of([node, helper.make_node("Add", ["x", "c"], ["y"])]))
