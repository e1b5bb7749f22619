"""Operators that read tensors whose size depends on data, sizes computed from such, and joined ones: by onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from codegen.errors import UnsupportedOperatorError
from codegen.onnx_import.reader import import_model
from tests.explorer.test_lengths import Arrays, check, model_of

ROWS = (
    helper.make_node("Compress", ["x", "c"], ["rows"], axis=0),
    helper.make_node("Compress", ["x", "d"], ["others"], axis=0),
    helper.make_node("Transpose", ["rows"], ["turned"]),
    helper.make_node("Shape", ["rows"], ["shape"]),
    helper.make_node("Gather", ["shape", "zero"], ["count"]),
    helper.make_node("Unsqueeze", ["count", "axis_0"], ["counts"]),
    helper.make_node("Gather", ["rows", "zero"], ["column"], axis=1),
    helper.make_node("Greater", ["column", "nought"], ["is_positive"]),
)
CONSTANTS: Arrays = {
    "zero": np.array(0),
    "nought": np.array(0.0, np.float32),
    "one": np.array(1),
    "last": np.array(-1),
    "few": np.array([3]),
    "axis_0": np.array([0]),
    "axis_1": np.array([1]),
    "minus_one": np.array([-1]),
    "minus_two": np.array([-2]),
    "huge": np.array([2**63 - 1]),
    "lowest": np.array([-(2**63)]),
    "two_wide": np.array([-1, 2]),
    "halves": np.array([0, 2, 2]),
    "ends": np.array([-1, 0]),
    "both_axes": np.array([0, 1]),
    "ones_row": np.ones((1, 4), np.float32),
    "from": np.array([1, 0]),
    "around": np.array([2, 1, 3, 0]),
    "beside": np.array([0, 1, 0, 2]),
    "fewer": np.array([0, 0, -1, 0]),
    "filler": np.array(7.0, np.float32),
    "to": np.array([2**63 - 1, 3]),
}


def inputs_of(rows: int, others: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(rows)
    numbers = np.arange(6)
    return {
        "x": random.standard_normal((6, 4)).astype(np.float32),
        "c": random.permutation(numbers < rows),
        "d": random.permutation(numbers < others),
    }


def node(op_type: str, *names: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op_type, list(names), ["y"], **attributes)


READERS = (
    node("ReduceSum", "rows", keepdims=0),
    node("ReduceSum", "rows", "axis_0"),
    node("ReduceMean", "rows", "axis_0", keepdims=0),
    node("ReduceMax", "rows", "axis_0"),
    node("ReduceMin", "column", keepdims=0),
    node("ReduceProd", "rows", "axis_0"),
    node("ReduceLogSumExp", "rows", "both_axes"),
    node("ReduceL2", "rows", "axis_0"),
    node("ArgMax", "rows", axis=0),
    node("ArgMin", "rows", axis=0),
    node("Softmax", "rows", axis=0),
    node("LogSoftmax", "rows", axis=0),
    node("CumSum", "rows", "axis_0", reverse=1),
    node("CumSum", "rows", "axis_0", exclusive=1),
    node("MatMul", "turned", "rows"),
    node("NonZero", "rows"),
    node("Reshape", "rows", "minus_one"),
    node("Reshape", "rows", "two_wide"),
    node("Reshape", "rows", "halves"),
    node("Flatten", "rows", axis=0),
    node("Gather", "rows", "zero", axis=0),
    node("Gather", "rows", "last", axis=0),
    node("Gather", "rows", "ends", axis=0),
    node("Slice", "rows", "axis_0", "few", "axis_0"),
    node("Slice", "rows", "axis_1", "huge", "axis_0"),
    node("Slice", "rows", "minus_two", "huge", "axis_0"),
    node("Slice", "rows", "axis_0", "minus_one", "axis_0"),
    node("Slice", "rows", "huge", "lowest", "axis_0", "minus_two"),
    node("Slice", "rows", "from", "to", "both_axes"),
    node("Slice", "x", "axis_0", "counts", "axis_0"),
    node("Slice", "x", "counts", "huge", "axis_0"),
    node("Concat", "rows", "x", axis=0),
    node("Concat", "rows", "ones_row", "others", "rows", axis=0),
    node("Concat", "rows", "rows", axis=1),
    node("TopK", "column", "counts"),
    node("Expand", "ones_row", "shape"),
    node("ConstantOfShape", "shape", value=numpy_helper.from_array(np.array([5], np.int32))),
    node("Range", "zero", "count", "one"),
    node("Range", "count", "zero", "last"),
    node("Size", "rows"),
    node("Compress", "rows", "is_positive", axis=0),
    node("Pad", "rows", "around"),
    node("Pad", "rows", "around", "filler"),
    node("Pad", "rows", "beside"),
    node("Pad", "rows", "fewer"),
)


@pytest.mark.parametrize("reader", READERS, ids=lambda one: f"{one.op_type} of {', '.join(one.input)}")
def test_what_reads_rows_gives_what_onnxruntime_gives(reader: NodeProto) -> None:
    outputs = ["y", "places"] if reader.op_type == "TopK" else ["y"]
    reader.output[:] = outputs
    model = model_of([*ROWS, reader], inputs_of(3, 2), outputs, CONSTANTS)
    check(model, inputs_of(3, 2), inputs_of(1, 6), inputs_of(6, 0))


def test_the_best_of_those_above_a_threshold_are_chosen() -> None:
    """As detectors do: of the scores above a threshold the best few, and what belongs to them."""
    nodes = [
        helper.make_node("Greater", ["scores", "level"], ["is_high"]),
        helper.make_node("NonZero", ["is_high"], ["first_places"]),
        helper.make_node("Transpose", ["first_places"], ["first_rows"], perm=[1, 0]),
        helper.make_node("GatherND", ["scores", "first_rows"], ["high"]),
        helper.make_node("NonZero", ["is_high"], ["second_places"]),
        helper.make_node("Transpose", ["second_places"], ["second_rows"], perm=[1, 0]),
        helper.make_node("GatherND", ["boxes", "second_rows"], ["high_boxes"]),
        helper.make_node("Shape", ["high"], ["size"]),
        helper.make_node("Concat", ["few", "size"], ["sizes"], axis=0),
        helper.make_node("ReduceMin", ["sizes"], ["smaller"], keepdims=0),
        helper.make_node("Reshape", ["smaller", "one"], ["k"]),
        helper.make_node("TopK", ["high", "k"], ["best", "which"]),
        helper.make_node("Gather", ["high_boxes", "which"], ["best_boxes"], axis=0),
        helper.make_node("Shape", ["best"], ["shape"]),
        helper.make_node(
            "ConstantOfShape", ["shape"], ["labels"], value=numpy_helper.from_array(np.array([2]))
        ),
        helper.make_node("Concat", ["best", "high"], ["all"], axis=0),
    ]
    constants = {"level": np.array(0.5, np.float32), "few": np.array([5]), "one": np.array([1])}
    several = [
        {
            "scores": np.random.default_rng(seed).uniform(0, level, 12).astype(np.float32),
            "boxes": np.random.default_rng(seed).uniform(0, 1, (12, 4)).astype(np.float32),
        }
        for seed, level in enumerate((1.0, 0.6, 0.4, 4.0))
    ]
    model = model_of(nodes, several[0], ["best", "best_boxes", "labels", "all"], constants)
    shapes = check(model, *several)
    assert (0,) in shapes and (5,) in shapes
    assert import_model(model).types["best"].shape == (5,)


def test_boxes_of_a_number_that_depends_on_data_are_suppressed() -> None:
    nodes = [
        helper.make_node("Compress", ["boxes", "c"], ["few_boxes"], axis=1),
        helper.make_node("Compress", ["scores", "c"], ["few_scores"], axis=2),
        helper.make_node("NonMaxSuppression", ["few_boxes", "few_scores", "most", "overlap"], ["selected"]),
        helper.make_node("Slice", ["selected", "axis_0", "few", "axis_0"], ["first"]),
    ]
    constants = {**CONSTANTS, "most": np.array([2**62]), "overlap": np.array([0.4], np.float32)}
    several = []
    for seed in range(3):
        random = np.random.default_rng(seed)
        corners = random.uniform(0, 6, (1, 20, 2))
        boxes = np.concatenate([corners, corners + random.uniform(1, 6, (1, 20, 2))], -1)
        scores = random.uniform(-1, 0, (1, 1, 20))
        chosen = random.uniform(0, 1, 20) < seed / 2
        several.append({"boxes": boxes.astype(np.float32), "scores": scores.astype(np.float32), "c": chosen})
    check(model_of(nodes, several[0], ["selected", "first"], constants), *several)


@pytest.mark.parametrize("empty_first", [False, True])
def test_a_branch_may_give_another_number_of_rows(empty_first: bool) -> None:
    def branch(name: str, body: list[NodeProto], output: str) -> object:
        return helper.make_graph(body, name, [], [helper.make_empty_tensor_value_info(output)])

    nothing = helper.make_node(
        "Constant", [], ["none"], value=numpy_helper.from_array(np.zeros((0, 4), np.float32))
    )
    twice = helper.make_node("Add", ["rows", "rows"], ["twice"])
    nodes = [
        *ROWS,
        helper.make_node("Size", ["rows"], ["size"]),
        helper.make_node("Equal", ["size", "zero"], ["is_empty"]),
        helper.make_node("Not", ["is_empty"], ["is_full"]),
        helper.make_node(
            "If",
            ["is_empty" if empty_first else "is_full"],
            ["found"],
            then_branch=branch("then", [nothing], "none")
            if empty_first
            else branch("then", [twice], "twice"),
            else_branch=branch("else", [twice], "twice")
            if empty_first
            else branch("else", [nothing], "none"),
        ),
        helper.make_node("Neg", ["found"], ["y"]),
    ]
    shapes = check(
        model_of(nodes, inputs_of(3, 2), ["y"], CONSTANTS), inputs_of(3, 2), inputs_of(0, 1), inputs_of(6, 1)
    )
    assert shapes == [(3, 4), (0, 4), (6, 4)]


@pytest.mark.parametrize("reduction", ["none", "add"])
def test_updates_behind_their_length_are_not_written(reduction: str) -> None:
    """Into a tensor that has a length itself, as regions of several levels are put together."""
    nodes = [
        *ROWS,
        helper.make_node("Greater", ["column", "level"], ["is_large"]),
        helper.make_node("NonZero", ["is_large"], ["places"]),
        helper.make_node("Squeeze", ["places", "axis_0"], ["which"]),
        helper.make_node("Gather", ["rows", "which"], ["updates"], axis=0),
        helper.make_node("Unsqueeze", ["which", "axis_1"], ["tuples"]),
        helper.make_node("Shape", ["updates"], ["update_shape"]),
        helper.make_node("Expand", ["tuples", "update_shape"], ["indices"]),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node(
            "ScatterElements", ["zeros", "indices", "updates"], ["y"], axis=0, reduction=reduction
        ),
        helper.make_node("ScatterND", ["rows", "tuples", "updates"], ["z"], reduction=reduction),
    ]
    constants = {**CONSTANTS, "level": np.array(0.0, np.float32)}
    model = model_of(nodes, inputs_of(3, 2), ["y", "z"], constants)
    check(model, inputs_of(3, 2), inputs_of(6, 2), inputs_of(4, 2))


def test_sizes_are_followed_through_the_arithmetic_of_exporters() -> None:
    """A shape whose open dimension is written as the size that it has, by Equal and Where."""
    nodes = [
        *ROWS,
        helper.make_node("Cast", ["count"], ["as_int32"], to=TensorProto.INT32),
        helper.make_node("Cast", ["as_int32"], ["as_int64"], to=TensorProto.INT64),
        helper.make_node("Unsqueeze", ["as_int64", "axis_0"], ["n"]),
        helper.make_node("Concat", ["n", "few"], ["wanted"], axis=0),
        helper.make_node("Shape", ["wanted"], ["rank"]),
        helper.make_node("ConstantOfShape", ["rank"], ["ones"], value=numpy_helper.from_array(np.array([1]))),
        helper.make_node("Mul", ["ones", "minus_one"], ["open"]),
        helper.make_node("Equal", ["wanted", "open"], ["is_open"]),
        helper.make_node("Where", ["is_open", "ones", "wanted"], ["sizes"]),
        helper.make_node("Unsqueeze", ["column", "axis_1"], ["columns"]),
        helper.make_node("Expand", ["columns", "sizes"], ["y"]),
        helper.make_node("Mul", ["n", "few"], ["elements"]),
        helper.make_node("Div", ["elements", "few"], ["rows_again"]),
        helper.make_node("Concat", ["rows_again", "minus_one"], ["shape_again"], axis=0),
        helper.make_node("Reshape", ["y", "shape_again"], ["z"]),
    ]
    model = model_of(nodes, inputs_of(3, 2), ["y", "z"], CONSTANTS)
    check(model, inputs_of(3, 2), inputs_of(6, 2), inputs_of(1, 2))


LIMITS = {
    "the smaller": [helper.make_node("Min", ["total", "most"], ["limit"])],
    "clipped": [helper.make_node("Clip", ["total", "zero", "most"], ["limit"])],
    "clipped above": [helper.make_node("Clip", ["total", "", "most"], ["limit"])],
}


def durations(limit: list[NodeProto]) -> ModelProto:
    """As synthesisers of speech have it: each place of a text lasts as many frames as the network says."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["total"], to=TensorProto.INT64),
        *limit,
        helper.make_node("Range", ["zero", "limit", "one"], ["frames"]),
        helper.make_node("Cast", ["frames"], ["times"], to=TensorProto.FLOAT),
        helper.make_node("CumSum", ["x", "axis"], ["ends"]),
        helper.make_node("Less", ["times", "ends"], ["is_before"]),
        helper.make_node("Cast", ["is_before"], ["y"], to=TensorProto.FLOAT),
    ]
    constants = {"zero": np.array(0), "one": np.array(1), "axis": np.array(0), "most": np.array(40)}
    return model_of(nodes, {"x": np.zeros((6, 1), np.float32)}, ["y"], constants)


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
def test_frames_as_many_as_data_say_have_the_bound_that_the_network_gives(limit: list[NodeProto]) -> None:
    lasting = ({"x": np.full((6, 1), value, np.float32)} for value in (2, 5, 9))
    check(durations(limit), *lasting)


def test_frames_without_a_bound_are_told_how_to_get_one() -> None:
    with pytest.raises(UnsupportedOperatorError, match="bound it by Min or Clip"):
        import_model(durations([helper.make_node("Identity", ["total"], ["limit"])]))


def test_detections_are_padded_to_as_many_as_there_may_be() -> None:
    """As exporters of detectors write it: flat rows, behind them zeros by pairs in the order of the axes reversed."""
    nodes = [
        *ROWS,
        helper.make_node("Shape", ["rows"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "zero"], ["n"]),
        helper.make_node("Sub", ["ten", "n"], ["missing"]),
        helper.make_node("Mul", ["missing", "four"], ["elements"]),
        helper.make_node("Unsqueeze", ["elements", "axis_0"], ["after"]),
        helper.make_node("Concat", ["axis_0", "after"], ["pair"], axis=0),
        helper.make_node("Reshape", ["pair", "two_wide"], ["pairs"]),
        helper.make_node("Slice", ["pairs", "minus_one", "lowest", "axis_0", "minus_one"], ["last_first"]),
        helper.make_node("Transpose", ["last_first"], ["sides"], perm=[1, 0]),
        helper.make_node("Reshape", ["sides", "minus_one"], ["pads"]),
        helper.make_node("Reshape", ["rows", "minus_one"], ["flat"]),
        helper.make_node("Pad", ["flat", "pads"], ["padded"]),
        helper.make_node("Reshape", ["padded", "four_wide"], ["y"]),
    ]
    constants = {**CONSTANTS, "ten": np.array(10), "four": np.array(4), "four_wide": np.array([-1, 4])}
    model = model_of(nodes, inputs_of(3, 2), ["y"], constants)
    assert check(model, inputs_of(3, 2), inputs_of(1, 6), inputs_of(6, 0)) == [(10, 4)] * 3
    assert not import_model(model).lengths


def test_what_data_put_before_an_axis_is_refused() -> None:
    nodes = [
        *ROWS,
        helper.make_node("Concat", ["counts", "axis_0", "axis_0", "axis_0"], ["pads"], axis=0),
        helper.make_node("Pad", ["x", "pads"], ["y"]),
    ]
    with pytest.raises(UnsupportedOperatorError, match="put that behind the axis"):
        import_model(model_of(nodes, inputs_of(3, 2), ["y"], CONSTANTS))
