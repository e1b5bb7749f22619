"""Sequences that nothing but import needs to know: import and passes against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper

from codegen.errors import ModelError
from codegen.onnx_import.reader import import_model
from codegen.reference import evaluate
from tests.codegen.onnx_cases import compare, model_of

SHAPE = (3, 4)
CONSTANTS = {
    "one": np.array(1),
    "two": np.array(2),
    "last": np.array(-1),
    "sizes": np.array([1, 3]),
    "ones": np.ones((1, 4), np.float32),
}


def node(op_type: str, inputs: list[str], outputs: list[str], **attributes: Any) -> NodeProto:
    return helper.make_node(op_type, inputs, outputs, **attributes)


def growing_loop() -> NodeProto:
    body = helper.make_graph(
        [
            node("SequenceInsert", ["parts", "row"], ["longer"]),
            node("Identity", ["on"], ["goes_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_sequence_value_info("longer", TensorProto.FLOAT, None),
        ],
    )
    return node("Loop", ["two", "", "empty"], ["grown"], body=body)


CASES = {
    "parts of one size": [
        node("SplitToSequence", ["x", "two"], ["parts"], axis=1),
        node("SequenceAt", ["parts", "last"], ["y"]),
    ],
    "parts of given sizes, joined": [
        node("SplitToSequence", ["x", "sizes"], ["parts"], axis=1),
        node("SequenceInsert", ["parts", "x", "one"], ["more"]),
        node("ConcatFromSequence", ["more"], ["y"], axis=1),
    ],
    "single rows, stacked": [
        node("SplitToSequence", ["x"], ["rows"], keepdims=0),
        node("SequenceErase", ["rows", "one"], ["fewer"]),
        node("ConcatFromSequence", ["fewer"], ["y"], axis=-1, new_axis=1),
    ],
    "of constants and their number": [
        node("SequenceConstruct", ["ones", "ones"], ["pair"]),
        node("SequenceLength", ["pair"], ["count"]),
        node("Cast", ["count"], ["number"], to=TensorProto.FLOAT),
        node("SequenceAt", ["pair", "one"], ["second"]),
        node("Mul", ["second", "number"], ["factor"]),
        node("Mul", ["x", "factor"], ["y"]),
    ],
    "grown in a loop": [
        node("Gather", ["x", "one"], ["row"]),
        node("SequenceEmpty", [], ["empty"]),
        growing_loop(),
        node("ConcatFromSequence", ["grown"], ["y"], axis=0),
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_they_vanish(name: str) -> None:
    compare(model_of(CASES[name], SHAPE, CONSTANTS, 17), SHAPE)


def test_what_is_optional_and_there_is_itself() -> None:
    nodes = [
        node("Optional", ["x"], ["maybe"]),
        node("OptionalHasElement", ["maybe"], ["is_there"]),
        node("OptionalGetElement", ["maybe"], ["value"]),
        node("Cast", ["is_there"], ["one_or_none"], to=TensorProto.FLOAT),
        node("Add", ["value", "one_or_none"], ["y"]),
    ]
    x = np.ones(SHAPE, np.float32)
    found = evaluate(import_model(model_of(nodes, SHAPE, {}, 18)), {"x": x})["y"]
    assert np.array_equal(found, x + 1)


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([node("SequenceConstruct", ["x", "x"], ["y"])], "output 'y' is a sequence"),
        (
            [node("SequenceConstruct", ["x"], ["s"]), node("Relu", ["s"], ["y"])],
            r"'Relu_1'.*input 0 \('s'\) is a sequence",
        ),
        (
            [node("SequenceConstruct", ["x"], ["s"]), node("RNN", ["s", "x", "x"], ["y"])],
            r"'RNN_1'.*input 0 \('s'\) is a sequence",
        ),
        ([node("SequenceAt", ["x", "one"], ["y"])], "no sequence whose tensors are known"),
        (
            [node("SequenceConstruct", ["x"], ["s"]), node("SequenceAt", ["s", "two"], ["y"])],
            "position 2 is outside a sequence of 1 tensors",
        ),
        (
            [
                node("SequenceConstruct", ["x", "x"], ["s"]),
                node("ReduceMax", ["x"], ["m"]),
                node("Cast", ["m"], ["place"], to=TensorProto.INT64),
                node("SequenceAt", ["s", "place"], ["y"]),
            ],
            r"'SequenceAt_3'.*input 1 \('place'\) is computed",
        ),
    ],
    ids=["output", "reader", "reader of shapes", "tensor", "position", "computed position"],
)
def test_those_that_remain_are_refused(nodes: list[NodeProto], reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        import_model(model_of(nodes, SHAPE, CONSTANTS, 17))
