"""Networks with outputs whose size depends on data: compiled, run and cut to their lengths, against onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from codegen.errors import UnsupportedOperatorError
from codegen.lengths import Length
from codegen.onnx_import.reader import import_model
from explorer.backend import prepare
from explorer.plans.check import check_bundle, trials_of
from explorer.plans.network import load_network
from microbench.board import BundleRun
from microbench.boards.null import NullBoard
from microbench.profile import load_profile

FLAGS = ("-O1",)
Arrays = Mapping[str, np.ndarray]


def model_of(
    nodes: Sequence[NodeProto], inputs: Arrays, outputs: Sequence[str], constants: Arrays | None = None
) -> ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "bounded",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in inputs.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def check(model: ModelProto, *several: Arrays) -> list[tuple[int, ...]]:
    """Compiled once, it gives for all inputs what onnxruntime gives; returns the shapes of the first output."""
    prepared, shapes = prepare(model, flags=FLAGS), []
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for inputs in several:
        found, wanted = prepared.run(inputs), session.run(None, dict(inputs))
        for one, other in zip(found, wanted, strict=True):
            assert one.dtype == other.dtype and one.shape == other.shape
            np.testing.assert_allclose(one, other, atol=1e-5)
        shapes.append(found[0].shape)
    return shapes


def scene(seed: int, boxes: int = 40) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    corners, sides = rng.uniform(0, 10, (1, boxes, 2)), rng.uniform(1, 6, (1, boxes, 2))
    return {
        "boxes": np.concatenate([corners, corners + sides], -1).astype(np.float32),
        "scores": rng.uniform(0, 1, (1, 3, boxes)).astype(np.float32),
    }


DETECTOR = [
    helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "overlap", "least"], ["selected"]),
    helper.make_node("Gather", ["selected", "two"], ["of_box"], axis=1),
    helper.make_node("Gather", ["boxes", "of_box"], ["chosen"], axis=1),
    helper.make_node("Squeeze", ["chosen", "zero"], ["found"]),
    helper.make_node("Mul", ["found", "scale"], ["scaled"]),
    helper.make_node("Transpose", ["scores"], ["turned"], perm=[0, 2, 1]),
    helper.make_node("Slice", ["selected", "one", "three", "one"], ["class_and_box"]),
    helper.make_node("GatherND", ["plane", "class_and_box"], ["score"]),
    helper.make_node("Unsqueeze", ["score", "one"], ["column"]),
    helper.make_node("Cast", ["class_and_box"], ["numbers"], to=TensorProto.FLOAT),
    helper.make_node("Concat", ["scaled", "column", "numbers"], ["detections"], axis=1),
    helper.make_node("Shape", ["detections"], ["shape"]),
    helper.make_node("Size", ["detections"], ["size"]),
]
CONSTANTS: Arrays = {
    "most": np.array([5]),
    "overlap": np.array([0.4], np.float32),
    "least": np.array([0.3], np.float32),
    "two": np.array(2),
    "zero": np.array([0]),
    "one": np.array([1]),
    "three": np.array([3]),
    "scale": np.array([[2.0, 3.0, 2.0, 3.0]], np.float32),
}


def test_a_detector_with_its_post_processing_runs() -> None:
    squeezed = helper.make_node("Squeeze", ["scores", "zero"], ["plane"])
    model = model_of([squeezed, *DETECTOR], scene(0), ["detections", "shape", "size"], CONSTANTS)
    none = {**scene(1), "scores": np.zeros((1, 3, 40), np.float32)}
    shapes = check(model, scene(0), scene(2), none)
    assert len({rows for rows, _ in shapes}) > 1 and shapes[-1] == (0, 7)


def test_the_graph_says_where_the_length_stands() -> None:
    model = model_of([helper.make_node("NonZero", ["x"], ["y"])], {"x": np.zeros((2, 3), np.int8)}, ["y"])
    graph = import_model(model)
    assert graph.outputs == ("y", "y.length") and graph.lengths == {"y": Length(1, "y.length")}
    assert graph.types["y"].shape == (2, 6) and graph.types["y.length"].shape == ()


@pytest.mark.parametrize(
    ("node", "inputs", "outputs"),
    [
        (helper.make_node("NonZero", ["x"], ["y"]), {"x": np.array([[0, 2, 0], [1, 0, 3]], np.int32)}, ["y"]),
        (
            helper.make_node("Compress", ["x", "c"], ["y"], axis=1),
            {"x": np.arange(12, dtype=np.float64).reshape(2, 3, 2), "c": np.array([False, True, True])},
            ["y"],
        ),
        *(
            (
                helper.make_node("Unique", ["x"], ["y", "first", "inverse", "counts"], sorted=ascending),
                {"x": np.array([2.0, 1.0, 1.0, -3.0, 2.0, 0.0], np.float32)},
                ["y", "first", "inverse", "counts"],
            )
            for ascending in (0, 1)
        ),
    ],
    ids=lambda one: one.op_type if isinstance(one, NodeProto) else "",
)
def test_alone_they_give_what_onnxruntime_gives(node: NodeProto, inputs: Arrays, outputs: list[str]) -> None:
    other = {name: value[..., ::-1].copy() for name, value in inputs.items()}
    check(model_of([node], inputs, outputs), inputs, other)


def test_rows_that_are_found_are_read_and_transformed() -> None:
    x, weight = (
        np.random.default_rng(5).standard_normal((6, 4)).astype(np.float32),
        np.eye(4, 3, 1, np.float32),
    )
    nodes = [
        helper.make_node("ReduceSum", ["x", "one"], ["sums"], keepdims=0),
        helper.make_node("Greater", ["sums", "level"], ["is_large"]),
        helper.make_node("NonZero", ["is_large"], ["places"]),
        helper.make_node("Transpose", ["places"], ["rows"]),
        helper.make_node("GatherND", ["x", "rows"], ["large"]),
        helper.make_node("MatMul", ["large", "weight"], ["product"]),
        helper.make_node("Softmax", ["product"], ["y"], axis=-1),
        helper.make_node("ArgMax", ["y"], ["best"], axis=1, keepdims=0),
    ]
    constants = {"one": np.array([1]), "level": np.array(0.1, np.float32), "weight": weight}
    model = model_of(nodes, {"x": x}, ["y", "best", "places"], constants)
    check(model, {"x": x}, {"x": -x}, {"x": x - 10})


@pytest.mark.parametrize(
    "reader",
    [
        helper.make_node("Add", ["rows", "x"], ["y"]),
        helper.make_node("Add", ["rows", "others"], ["y"]),
        helper.make_node("Concat", ["rows", "x"], ["y"], axis=1),
        helper.make_node("Conv", ["image", "kernel"], ["y"]),
        helper.make_node("EyeLike", ["rows"], ["y"]),
        helper.make_node("Expand", ["rows", "six"], ["y"]),
        helper.make_node("Flatten", ["turned"], ["y"], axis=0),
        helper.make_node("Mul", ["column", "other_columns"], ["y"]),
        helper.make_node("Reshape", ["rows", "halves"], ["y"]),
        helper.make_node("Reshape", ["rows", "six"], ["y"]),
        helper.make_node("Squeeze", ["rows"], ["y"]),
        helper.make_node("Unique", ["rows"], ["y"], axis=0),
    ],
    ids=lambda node: f"{node.op_type} of {', '.join(node.input)}",
)
def test_what_would_mix_rows_with_what_stands_behind_them_is_refused(reader: NodeProto) -> None:
    nodes = [
        helper.make_node("Compress", ["x", "c"], ["rows"], axis=0),
        helper.make_node("Compress", ["x", "d"], ["others"], axis=0),
        helper.make_node("Transpose", ["rows"], ["turned"]),
        helper.make_node("Gather", ["rows", "zero"], ["column"], axis=1),
        helper.make_node("Gather", ["others", "one"], ["other_columns"], axis=1),
        helper.make_node("Unsqueeze", ["rows", "planes"], ["image"]),
        reader,
    ]
    inputs = {"x": np.ones((6, 4), np.float32), "c": np.ones(6, bool), "d": np.ones(6, bool)}
    constants = {
        "zero": np.array(0),
        "one": np.array([1]),
        "six": np.array([6, 4]),
        "halves": np.array([2, -1]),
        "planes": np.array([0, 1]),
        "kernel": np.ones((2, 1, 3, 3), np.float32),
    }
    with pytest.raises(UnsupportedOperatorError, match="depend"):
        import_model(model_of(nodes, inputs, ["y"], constants))


class Answering(NullBoard):
    """Gives the outputs that it is told to give."""

    def __init__(self, outputs: tuple[np.ndarray, ...]) -> None:
        super().__init__(load_profile("host"))
        self.outputs = outputs

    def run_bundle(self, bundle: Path, inputs: tuple[np.ndarray, ...]) -> BundleRun:
        return BundleRun(self.outputs, (1.0,), 1.0, "modelled", {}, {})


def test_a_bundle_is_checked_up_to_its_lengths(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    nodes = [
        helper.make_node("Compress", ["x", "c"], ["rows"], axis=0),
        helper.make_node("Neg", ["rows"], ["y"]),
    ]
    inputs = {"x": np.zeros((6, 2), np.float32), "c": np.zeros(6, bool)}
    onnx.save(model_of(nodes, inputs, ["y"]), path)
    (trial,) = trials_of(load_network(path, {}, "model"), 3, 1)
    wanted, length = trial.outputs
    assert 0 < len(wanted) < 6 and length == len(wanted)
    whole = np.full((6, 2), np.nan, np.float32)
    whole[: len(wanted)] = wanted
    for found, error in ((length, 0.0), (length - 1, np.inf), (length + 1, np.inf)):
        board = Answering((whole.reshape(-1), np.asarray(found).reshape(-1)))
        report, _ = check_bundle(board, tmp_path, [trial], 1e-4)
        assert report.largest_error == error
