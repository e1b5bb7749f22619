"""Every operator form, alone in a model: import and passes against onnxruntime."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from codegen.errors import UnsupportedOperatorError
from codegen.expression import Operand
from codegen.onnx_import.reader import import_model, load_graph
from codegen.operators.batch_normalization import BatchNormalization
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.pool2d import Pool2d
from codegen.operators.pool_nd import PoolNd
from codegen.operators.reshape import Reshape
from codegen.operators.softmax import Softmax
from codegen.passes import optimize
from codegen.reference import evaluate
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
from tests.probes import NETWORKS

WEIGHT, BIAS = normal(4, 6, 3, 3), normal(4)
CONVS = [
    Case("Conv", constants=[WEIGHT, BIAS], attributes={"kernel_shape": [3, 3]}),
    Case("Conv", constants=[WEIGHT]),
    Case("Conv", constants=[WEIGHT], attributes={"pads": [0, 1, 2, 1], "strides": [2, 3]}),
    Case("Conv", constants=[WEIGHT], attributes={"dilations": [2, 3]}),
    Case("Conv", constants=[WEIGHT], attributes={"auto_pad": "VALID", "strides": [2, 2]}),
    Case("Conv", constants=[WEIGHT], attributes={"auto_pad": "NOTSET", "pads": [1, 1, 1, 1]}),
    *(
        Case("Conv", constants=[normal(4, 6, 4, 3)], attributes={"auto_pad": mode, "strides": strides})
        for mode in ("SAME_UPPER", "SAME_LOWER")
        for strides in ([1, 1], [2, 2], [3, 2])
    ),
    Case("Conv", constants=[normal(4, 6, 1, 1)], attributes={"auto_pad": "SAME_UPPER", "strides": [3, 3]}),
    Case("Conv", constants=[normal(6, 1, 3, 3), normal(6)], attributes={"group": 6}),
    Case("Conv", constants=[normal(12, 1, 3, 2)], attributes={"group": 6, "strides": [2, 1]}),
    Case("Conv", constants=[normal(4, 3, 1, 1)], attributes={"group": 2}),
    Case("Conv", (2, 6, 5, 5), [normal(4, 6, 1, 5)]),
    Case("Conv", (1, 6, 1, 1), [normal(4, 6, 1, 1), BIAS]),
]
TRANSPOSED = normal(6, 4, 3, 2)
CONV_TRANSPOSES = [
    Case("ConvTranspose", constants=[TRANSPOSED, BIAS], attributes={"kernel_shape": [3, 2]}),
    Case("ConvTranspose", constants=[TRANSPOSED], attributes={"strides": [2, 3], "pads": [1, 0, 2, 1]}),
    Case("ConvTranspose", constants=[TRANSPOSED], attributes={"strides": [3, 2], "output_padding": [2, 0]}),
    Case("ConvTranspose", constants=[TRANSPOSED], attributes={"dilations": [2, 3], "strides": [2, 2]}),
    Case(
        "ConvTranspose", constants=[normal(6, 2, 2, 2), normal(6)], attributes={"group": 3, "strides": [2, 2]}
    ),
    Case("ConvTranspose", constants=[normal(6, 1, 4, 4)], attributes={"group": 6, "strides": [2, 2]}),
    Case("ConvTranspose", constants=[TRANSPOSED], attributes={"auto_pad": "VALID", "strides": [2, 2]}),
    *(
        Case(
            "ConvTranspose", constants=[normal(6, 4, 4, 3)], attributes={"auto_pad": mode, "strides": [2, 2]}
        )
        for mode in ("SAME_UPPER", "SAME_LOWER")
    ),
    Case("ConvTranspose", (2, 6, 5, 5), [normal(6, 4, 4, 4)], {"output_shape": [9, 10], "strides": [2, 2]}),
]
POOLS = [
    Case("MaxPool", attributes={"kernel_shape": [3, 2]}),
    Case("MaxPool", attributes={"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("MaxPool", attributes={"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    Case("MaxPool", attributes={"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    Case("MaxPool", attributes={"kernel_shape": [2, 3], "strides": [3, 2], "auto_pad": "VALID"}),
    Case("MaxPool", attributes={"kernel_shape": [2, 2], "dilations": [3, 2]}, opsets=OPSETS[1:]),
    Case("AveragePool", attributes={"kernel_shape": [3, 2]}),
    Case("AveragePool", attributes={"kernel_shape": [3, 3], "pads": [1, 0, 2, 1], "strides": [2, 2]}),
    Case("AveragePool", attributes={"kernel_shape": [3, 3], "pads": [1, 0, 2, 1], "count_include_pad": 1}),
    Case("AveragePool", attributes={"kernel_shape": [3, 3], "count_include_pad": 1}),
    Case("AveragePool", attributes={"kernel_shape": [4, 4], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    Case("AveragePool", attributes={"kernel_shape": [4, 4], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    Case("AveragePool", attributes={"kernel_shape": [2, 2], "dilations": [3, 2]}, opsets=(RUNTIME_NEWEST,)),
    Case(
        "AveragePool",
        attributes={
            "kernel_shape": [4, 4],
            "strides": [2, 2],
            "auto_pad": "SAME_UPPER",
            "count_include_pad": 1,
        },
    ),
    *(
        Case(
            op,
            attributes={"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": mode, "ceil_mode": 1},
            opsets=OPSETS[1:],
        )
        for op in ("MaxPool", "AveragePool")
        for mode in ("VALID", "SAME_LOWER")
    ),
    Case(
        "MaxPool",
        attributes={
            "kernel_shape": [3, 3],
            "dilations": [2, 2],
            "pads": [2, 1, 0, 2],
            "ceil_mode": 1,
            "strides": [2, 3],
        },
        opsets=OPSETS[1:],
    ),
    Case("GlobalAveragePool"),
    Case("GlobalMaxPool"),
]
CEIL_POOLS = [
    Case(
        op,
        shape,
        attributes={"ceil_mode": 1, "kernel_shape": kernel, "strides": strides, "pads": pads},
        opsets=OPSETS[1:],
    )
    for op in ("MaxPool", "AveragePool")
    for shape in ((1, 2, 8, 8), (1, 2, 9, 7), (1, 2, 6, 5))
    for kernel, strides, pads in (
        ([3, 3], [2, 2], [0, 0, 0, 0]),
        ([3, 3], [2, 2], [1, 1, 1, 1]),
        ([2, 2], [3, 3], [1, 1, 1, 1]),
        ([2, 2], [2, 2], [0, 1, 1, 0]),
        ([1, 1], [2, 2], [0, 0, 0, 0]),
    )
]
STATISTICS = [normal(6), normal(6), normal(6), np.abs(normal(6)) + number(0.1)]
ELEMENTWISE = [
    Case("BatchNormalization", constants=STATISTICS, attributes={"epsilon": 1e-3}),
    Case("BatchNormalization", (3, 6), STATISTICS),
    Case("BatchNormalization", (2, 6, 5), STATISTICS),
    Case("BatchNormalization", (1, 6, 2, 3, 2), STATISTICS),
    Case("Relu"),
    Case("Relu", (7,)),
    Case("Clip", attributes={"min": 0.0, "max": 6.0}, opsets=(9,)),
    Case("Clip", attributes={"min": -0.5}, opsets=(9,)),
    Case("Clip", attributes={"max": 0.5}, opsets=(9,)),
    Case("Clip", opsets=(9,)),
    Case("Clip", constants=[number(0), number(6)], opsets=OPSETS[1:]),
    Case("Clip", constants=[number(-0.5)], opsets=OPSETS[1:]),
    Case("Clip", constants=[None, number(0.5)], opsets=OPSETS[1:]),
    Case("Clip", constants=[number(-np.inf), number(np.inf)], opsets=OPSETS[1:]),
    Case("Clip", opsets=OPSETS[1:]),
    Case("Identity"),
    Case("Dropout", attributes={"ratio": 0.4}, opsets=(9, 11)),
    Case("Dropout", constants=[number(0.4)], opsets=OPSETS[2:]),
    Case("Dropout", constants=[None, np.array(False)], opsets=OPSETS[2:]),
    *(
        Case("Softmax", shape, attributes=attributes)
        for shape in ((2, 5), (2, 3, 4, 2), (2, 5, 1, 1))
        for attributes in ({}, {"axis": 1}, {"axis": 0}, {"axis": len(shape) - 1})
    ),
    Case("Softmax", (2, 3, 4), attributes={"axis": -2}, opsets=OPSETS[1:]),
]
AFFINE = [
    *(
        Case(op, constants=[value], swapped=swapped)
        for op in ("Add", "Sub", "Mul")
        for value in (number(1.5), normal(6, 1, 1), normal(1, 6, 1, 1))
        for swapped in (False, True)
    ),
    Case("Div", constants=[normal(6, 1, 1)]),
    Case("Add", (3, 6), [normal(6)]),
]
SHAPES = [
    *(
        Case("Reshape", (2, 3, 4, 5), [integers(*to)])
        for to in ((6, 20), (2, -1), (0, 0, -1), (-1,), (0, 60))
    ),
    Case("Reshape", (2, 3, 4), [integers(2, 12)], {"allowzero": 1}, opsets=OPSETS[3:]),
    *(Case("Flatten", (2, 3, 4, 5), attributes={"axis": axis}) for axis in (0, 1, 2, 4)),
    Case("Flatten", (2, 3, 4, 5), attributes={"axis": -1}, opsets=OPSETS[1:]),
    Case("Squeeze", (1, 3, 1, 5), attributes={"axes": [0, 2]}, opsets=(9, 11)),
    Case("Squeeze", (1, 3, 1, 5), [integers(-2)], opsets=OPSETS[2:]),
    Case("Squeeze", (1, 3, 1, 5)),
    Case("Unsqueeze", (3, 5), attributes={"axes": [0, 3]}, opsets=(9, 11)),
    Case("Unsqueeze", (3, 5), [integers(-1, 0)], opsets=OPSETS[2:]),
]
MATRICES = [
    Case("Gemm", (3, 5), [normal(5, 4), normal(4)]),
    Case("Gemm", (3, 5), [normal(4, 5), normal(1, 4)], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    Case("Gemm", (3, 5), [normal(5, 4), normal(1)]),
    Case("Gemm", (1, 5), [normal(5, 4), number(2.5)]),
    Case("Gemm", (3, 5), [normal(5, 4)], opsets=OPSETS[1:]),
    Case("Gemm", (5, 1), [normal(5, 4), normal(1, 4)], {"transA": 1}),
    Case("Gemm", (5, 1), [normal(4, 5)], swapped=True, opsets=OPSETS[1:]),
    Case("Gemm", (1, 5), [normal(5, 4)], {"transA": 1, "transB": 1}, swapped=True, opsets=OPSETS[1:]),
    Case("MatMul", (3, 5), [normal(5, 4)]),
    Case("MatMul", (2, 3, 5), [normal(5, 4)]),
    Case("MatMul", (5, 1), [normal(4, 5)], swapped=True),
    Case("MatMul", (1, 4), [normal(8, 1)], swapped=True),
    Case("MatMul", (1, 4), [normal(1, 1)], swapped=True),
    Case("MatMul", (5, 4), [normal(3, 5)], swapped=True),
]
CASES = [
    pytest.param(case, opset, id=f"{case}-{opset}")
    for case in (*CONVS, *CONV_TRANSPOSES, *POOLS, *CEIL_POOLS, *ELEMENTWISE, *AFFINE, *SHAPES, *MATRICES)
    for opset in case.opsets
]


@pytest.mark.parametrize(("case", "opset"), CASES)
def test_operator_form(case: Case, opset: int) -> None:
    compare(single(case, opset), case.shape)


def test_normalisation_of_a_matrix_product_becomes_its_bias() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Add", ["b", "p"], ["y"])]
    fused = compare(model_of(nodes, (2, 5), {"w": normal(5, 4), "b": normal(4)}, 13), (2, 5))
    assert [type(node.op) for node in fused.nodes] == [FullyConnected]


def test_constant_left_operand_with_bias_per_row() -> None:
    nodes = [helper.make_node("Gemm", ["a", "x", "c"], ["y"], beta=0.5)]
    compare(model_of(nodes, (5, 1), {"a": normal(4, 5), "c": normal(4, 1)}, 13), (5, 1))


def test_same_padding_counts_dilation() -> None:
    """By the definition of ONNX; onnxruntime refuses this form."""
    case = Case("Conv", constants=[WEIGHT], attributes={"auto_pad": "SAME_LOWER", "dilations": [2, 3]})
    graph = import_model(single(case, 13))
    assert graph.nodes[0].op == Conv2d((3, 3), pads=(2, 3, 2, 3), dilations=(2, 3))
    assert graph.types["y"].shape == (1, 4, 9, 7)


def test_ceil_mode_with_counted_padding() -> None:
    """A Pool2d without declared pads; with them the divisor needs two kinds of padding, which a PoolNd has."""
    attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1}
    case = Case("AveragePool", (1, 2, 8, 8), attributes=attributes)
    fused = compare(single(case, RUNTIME_NEWEST), case.shape)
    assert fused.nodes[0].op == Pool2d("average", (3, 3), (2, 2), (0, 0, 1, 1))
    padded = Case("AveragePool", (1, 2, 9, 9), attributes={**attributes, "pads": [1, 1, 0, 0]})
    (node,) = compare(single(padded, RUNTIME_NEWEST), padded.shape).nodes
    assert isinstance(node.op, PoolNd)


@pytest.mark.parametrize(
    ("attributes", "value"),
    [
        ({"value": numpy_helper.from_array(normal(6, 1, 1))}, normal(6, 1, 1)),
        ({"value_float": 1.5}, number(1.5)),
        ({"value_floats": [1.5]}, number([1.5])),
    ],
)
def test_constant_node(attributes: dict[str, Any], value: np.ndarray) -> None:
    nodes = [
        helper.make_node("Constant", [], ["c"], **attributes),
        helper.make_node("Mul", ["x", "c"], ["y"]),
    ]
    fused = compare(model_of(nodes, IMAGE, {}, 13), IMAGE)
    (node,) = fused.nodes
    if value.size == 1:
        assert node.op == Map(Operand(0) * value.item())
    else:
        np.testing.assert_array_equal(fused.constants[node.weights[0]].reshape(-1), value.reshape(-1))


@pytest.mark.parametrize(
    "attributes", [{"value_ints": [1, -1]}, {"value": numpy_helper.from_array(integers(1, -1))}]
)
def test_constant_shape(attributes: dict[str, Any]) -> None:
    nodes = [
        helper.make_node("Constant", [], ["s"], **attributes),
        helper.make_node("Reshape", ["x", "s"], ["y"]),
    ]
    compare(model_of(nodes, IMAGE, {}, 17), IMAGE)


def test_shape_arithmetic_is_folded() -> None:
    """`x.view(x.size(0), -1)` as exporters write it."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
        helper.make_node("Constant", [], ["rest"], value_ints=[-1]),
        helper.make_node("Concat", ["n1", "rest"], ["to"], axis=0),
        helper.make_node("Reshape", ["x", "to"], ["y"]),
    ]
    constants = {"zero": np.array(0, dtype=np.int64), "axes": integers(0)}
    fused = compare(model_of(nodes, (2, 3, 4, 5), constants, 13), (2, 3, 4, 5))
    assert [type(node.op) for node in fused.nodes] == [Reshape]


def test_constant_weights_may_be_computed() -> None:
    nodes = [
        helper.make_node("Mul", ["w", "s"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["turned"], perm=[1, 0, 2, 3]),
        helper.make_node("Conv", ["x", "turned"], ["y"]),
    ]
    compare(model_of(nodes, IMAGE, {"w": normal(6, 4, 3, 3), "s": number(0.5)}, 13), IMAGE)


@pytest.mark.parametrize("opset", [9, 13])
def test_softmax_before_13_is_over_a_matrix(opset: int) -> None:
    graph = import_model(single(Case("Softmax", (2, 3, 4), attributes={"axis": 1}), opset))
    kinds = [type(node.op) for node in graph.nodes]
    assert kinds == ([Reshape, Softmax, Reshape] if opset < 13 else [Softmax])


def test_names_are_kept_or_made_and_unique() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="same"),
        helper.make_node("Clip", ["a"], ["b"], max=1.0),
        helper.make_node("Relu", ["b"], ["y"], name="same"),
    ]
    graph = import_model(model_of(nodes, (2, 3), {}, 9))
    assert [node.name for node in graph.nodes] == ["same", "Clip_1", "same_2"]
    assert all(isinstance(node.op, Map) for node in graph.nodes)


def test_initializers_may_be_listed_as_inputs() -> None:
    model = single(Case("Conv", constants=[WEIGHT]), 9)
    model.graph.input.append(helper.make_tensor_value_info("c0", TensorProto.FLOAT, WEIGHT.shape))
    model.ir_version = 3
    assert import_model(model).inputs == ("x",)


def test_typed_and_raw_data_are_the_same() -> None:
    typed = single(Case("Conv", constants=[WEIGHT]), 13)
    typed.graph.initializer[0].CopyFrom(
        helper.make_tensor("c0", TensorProto.FLOAT, WEIGHT.shape, WEIGHT.reshape(-1))
    )
    graph = import_model(typed)
    np.testing.assert_array_equal(graph.constants[graph.nodes[0].weights[0]], WEIGHT)


def test_normalisation_keeps_its_statistics_until_folded() -> None:
    graph = import_model(
        single(Case("BatchNormalization", constants=STATISTICS, attributes={"epsilon": 0.5}), 13)
    )
    assert graph.nodes[0].op == BatchNormalization(0.5)
    for found, wanted in zip(graph.weights_of(graph.nodes[0]), STATISTICS, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.needs("trained networks")
@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("mobilenetv1_100_224.onnx", {Conv2d: 27, Pool2d: 1, Reshape: 1, FullyConnected: 1}),
        ("mobilenetv2_100_224.onnx", {Conv2d: 52, Map: 10, Pool2d: 1, Reshape: 1, FullyConnected: 1}),
        ("squeezenet1_1_224.onnx", {Conv2d: 26, Concat: 8, Pool2d: 4, Reshape: 1}),
    ],
)
def test_trained_network(name: str, kinds: dict[type, int]) -> None:
    path = NETWORKS / name
    fused = optimize(load_graph(path))
    value = np.random.default_rng(3).standard_normal((1, 3, 224, 224)).astype(np.float32)
    wanted = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(
        None, {"input": value}
    )[0]
    found = evaluate(fused, {"input": value})[fused.outputs[0]]
    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()
    assert Counter(type(node.op) for node in fused.nodes) == kinds


def test_a_transposed_convolution_larger_than_its_taps_reach_is_refused() -> None:
    case = Case(
        "ConvTranspose", constants=[TRANSPOSED], attributes={"output_shape": [9, 9], "strides": [1, 1]}
    )
    with pytest.raises(UnsupportedOperatorError, match="give the rest as output_padding"):
        import_model(single(case, 13))
