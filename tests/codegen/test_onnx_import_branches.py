"""Operators that join branches, and what TensorFlow's exporter writes: import and passes against onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper

from codegen.errors import ModelError
from codegen.expression import RELU, RESULT, Apply, Operand, clamp
from codegen.onnx_import.reader import import_model
from codegen.operator import Operator
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map
from codegen.operators.pool2d import Pool2d
from codegen.operators.reshape import Reshape
from codegen.operators.softmax import Softmax
from codegen.operators.transpose import Transpose
from tests.codegen.layers import sum_of_two
from tests.codegen.onnx_cases import (
    IMAGE,
    OPSETS,
    RUNTIME_NEWEST,
    Case,
    compare,
    integers,
    model_of,
    normal,
    number,
    single,
)

AROUND = [0, 0, 1, 0, 0, 0, 2, 3]  # before and after N, C, H, W
CHANNELS = [0, 1, 0, 0, 0, 2, 0, 0]
LAST = [0, 1, 2, 0, 0, 3, 0, 0]
FORMS = [
    *(
        Case(op, constants=[value], swapped=swapped)
        for op in ("Min", "Max")
        for value in (
            number(0.5),
            number([0.5]),
            np.full((1, 6, 1, 1), 0.5, dtype=np.float32),
            number(-np.inf),
        )
        for swapped in (False, True)
        if not (op == "Min" and np.isinf(value).any())
    ),
    Case("Min", constants=[number(0.5), number(0.25), number(np.inf)]),
    Case("Max", (7,), constants=[number(0.5)]),
    Case("Max"),
    *(
        form
        for pads in (AROUND, LAST, CHANNELS, [0] * 8)
        for form in (
            Case("Pad", attributes={"pads": pads}, opsets=(9,)),
            Case("Pad", constants=[integers(*pads)], opsets=OPSETS[1:]),
            Case("Pad", constants=[integers(*pads), number(0)], opsets=OPSETS[1:]),
        )
    ),
    Case("Pad", (3, 5), [integers(0, 0, 0, 0)], opsets=OPSETS[1:]),
    Case("Pad", constants=[integers(1, 0, 2, 3), None, integers(-1, 2)], opsets=(RUNTIME_NEWEST,)),
    *(Case("Transpose", attributes={"perm": perm}) for perm in ([0, 3, 1, 2], [0, 2, 3, 1], [3, 1, 0, 2])),
    Case("Transpose", (1, 1, 7, 5), attributes={"perm": [1, 2, 0, 3]}),
    Case("Transpose", (3, 4, 5)),
    *(
        form
        for shape in (IMAGE, (2, 1, 5, 3), (2, 5, 1, 3))
        for axes in ([2, 3], [-1, -2], [1, 2], [2], [3], [1])
        for keep in (0, 1)
        for form in (
            Case("ReduceMean", shape, attributes={"axes": axes, "keepdims": keep}, opsets=OPSETS[:4]),
            Case(
                "ReduceMean",
                shape,
                [integers(*axes)],
                attributes={"keepdims": keep},
                opsets=(RUNTIME_NEWEST,),
            ),
        )
        if not (axes[0] == -1 and form.opsets[0] == 9)
    ),
    Case("ReduceMean", (2, 6, 4, 3), [integers(1)], opsets=(RUNTIME_NEWEST,)),
    Case("ReduceMean", (1, 1, 4, 3), attributes={"keepdims": 1}),
    Case("ReduceMean", (1, 3), attributes={"axes": [0]}, opsets=OPSETS[:4]),
    Case("ReduceMean", attributes={"noop_with_empty_axes": 1}, opsets=(RUNTIME_NEWEST,)),
    Case("Sum"),
]
CASES = [pytest.param(case, opset, id=f"{case}-{opset}") for case in FORMS for opset in case.opsets]


@pytest.mark.parametrize(("case", "opset"), CASES)
def test_operator_form(case: Case, opset: int) -> None:
    compare(single(case, opset), case.shape)


def node(op: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), [output], **attributes)


@dataclass(frozen=True)
class Model:
    """Nodes from `x` to `y`, and the operators that are left of them."""

    nodes: list[NodeProto]
    left: list[Operator]
    shape: tuple[int, ...] = IMAGE
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)


WEIGHTS = {"w": normal(6, 6, 3, 3), "v": normal(6, 6, 1, 1)}
CONV = Conv2d((3, 3), pads=(1, 1, 1, 1))
RELU6 = clamp(RESULT, 0.0, 6.0)
MODELS = {
    "residual": Model(
        [
            node("Conv", "x w", "a", pads=[1, 1, 1, 1]),
            node("Conv", "a w", "b", pads=[1, 1, 1, 1]),
            node("Add", "b a", "s"),
            node("Relu", "s", "y"),
        ],
        [CONV, CONV, sum_of_two(RELU)],
        constants=WEIGHTS,
    ),
    "doubled": Model([node("Add", "x x", "y")], [sum_of_two()]),
    "doubled vector": Model([node("Sum", "x x", "y")], [sum_of_two()], (5,)),
    "sum of three": Model(
        [node("Relu", "x", "a"), node("Sum", "x a x", "y")],
        [Map(Apply("add", (Apply("add", (Operand(0), RELU)), Operand(0))))],
    ),
    "normalised sum": Model(
        [node("Add", "x x", "s"), node("Mul", "s c", "m"), node("Relu", "m", "y")],
        [sum_of_two(), Conv2d((1, 1), groups=6, epilogue=RELU)],
        constants={"c": normal(6, 1, 1)},
    ),
    "concat": Model([node("Relu", "x", "a"), node("Concat", "x a x", "y", axis=1)], [Map(RELU), Concat(1)]),
    "concat of vectors": Model([node("Concat", "x x", "y", axis=-1)], [Concat(1)], (2, 3)),
    "concat of one": Model([node("Relu", "x", "a"), node("Concat", "a", "y", axis=1)], [Map(RELU)]),
    **{
        f"concat along {axis}": Model(
            [node("Relu", "x", "a"), node("Concat", "x a", "y", axis=axis)],
            [Map(RELU), Reshape(), Reshape(), Concat(1), Reshape()],
            (2, 3, 4, 5),
        )
        for axis in (0, 2, 3, -1)
    },
    "clamp in halves": Model(
        [node("Conv", "x w", "a"), node("Max", "a zero", "b"), node("Min", "six b", "y")],
        [Conv2d((3, 3), epilogue=RELU6)],
        constants={**WEIGHTS, "zero": number(0), "six": number(6)},
    ),
    "channels last": Model(
        [
            node("Transpose", "x", "p", perm=[0, 3, 1, 2]),
            node("Pad", "p pads", "q"),
            node("Conv", "q w", "a", strides=[2, 2]),
            node("Relu", "a", "r"),
            node("Transpose", "r", "l", perm=[0, 2, 3, 1]),
            node("Transpose", "l", "n", perm=[0, 3, 1, 2]),
            node("Conv", "n v", "c"),
            node("ReduceMean", "c", "m", axes=[2, 3], keepdims=0),
            node("Softmax", "m", "y"),
        ],
        [
            Transpose((0, 3, 1, 2)),
            Conv2d((3, 3), (2, 2), (0, 0, 1, 1), epilogue=RELU),
            Conv2d((1, 1)),
            Pool2d("average", (4, 5)),
            Reshape(),
            Softmax(1),
        ],
        (1, 8, 10, 6),
        {**WEIGHTS, "pads": integers(0, 0, 0, 0, 0, 0, 1, 1)},
    ),
    "mean of channels last": Model(
        [
            node("Conv", "x w", "a"),
            node("Transpose", "a", "l", perm=[0, 2, 3, 1]),
            node("ReduceMean", "l", "y", axes=[1, 2], keepdims=1),
        ],
        [Conv2d((3, 3)), Pool2d("average", (7, 5)), Reshape()],
        constants=WEIGHTS,
    ),
    "output channels last": Model(
        [node("Conv", "x w", "a"), node("Transpose", "a", "y", perm=[0, 2, 3, 1])],
        [Conv2d((3, 3)), Transpose((0, 2, 3, 1))],
        constants=WEIGHTS,
    ),
    "padded pools": Model(
        [
            node("Relu", "x", "a"),
            node("Pad", "a pads", "p"),
            node("MaxPool", "p", "m", kernel_shape=[3, 3], strides=[2, 2]),
            node("Pad", "m pads", "q"),
            node("AveragePool", "q", "y", kernel_shape=[2, 2]),
        ],
        [
            Map(RELU),
            Pool2d("max", (3, 3), (2, 2), (1, 1, 1, 1)),
            Pool2d("average", (2, 2), pads=(1, 1, 1, 1), include_padding=True),
        ],
        constants={"pads": integers(0, 0, 1, 1, 0, 0, 1, 1)},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_few_nodes(name: str) -> None:
    model = MODELS[name]
    fused = compare(model_of(model.nodes, model.shape, model.constants, 13), model.shape)
    assert [step.op for step in fused.nodes] == model.left


def test_imported_sum_keeps_the_order_of_its_operands() -> None:
    nodes = [node("Relu", "x", "a"), node("Add", "a x", "y")]
    assert import_model(model_of(nodes, IMAGE, {}, 13)).nodes[1].inputs == ("a", "x")


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"num_scan_inputs": 3}, "scans 3 of 2 inputs"),
        ({"num_scan_inputs": 0}, "scans 0 of 2 inputs"),
        (
            {"num_scan_inputs": 1, "scan_input_directions": [0, 1]},
            "scan_input_directions has 2 elements, not 1",
        ),
        ({"num_scan_inputs": 1, "scan_output_axes": [0, 0]}, "scan_output_axes has 2 elements, not 1"),
    ],
)
def test_a_scan_has_as_many_directions_as_it_scans(attributes: dict[str, Any], reason: str) -> None:
    row = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (3,)) for name in ("state", "row")]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("next", "given")]
    nodes = [helper.make_node("Add", ["state", "row"], ["next"]), helper.make_node("Neg", ["row"], ["given"])]
    body = helper.make_graph(nodes, "body", row, results)
    scan = helper.make_node("Scan", ["start", "x"], ["last", "y"], body=body, **attributes)
    graph = helper.make_graph(
        [scan],
        "scan",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (4, 3))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("start", TensorProto.FLOAT, (3,), [0.0, 1.0, 2.0])],
    )
    with pytest.raises(ModelError, match=reason):
        import_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9))
