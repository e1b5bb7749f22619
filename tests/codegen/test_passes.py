"""Each pass: what it rewrites, what it leaves alone, and that the graph computes the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.errors import GraphSpecError
from codegen.expression import RELU, RESULT, Expression, Operand, clamp, is_clamp
from codegen.graph import Graph, Node
from codegen.operator import Operator
from codegen.operators.conv2d import Conv2d
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.operators.elementwise import Map
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.pool2d import Pool2d
from codegen.operators.reshape import Reshape
from codegen.operators.softmax import Softmax
from codegen.passes import PIPELINE, Pass, optimize, pipeline
from codegen.passes.batch_norm import fold_batch_normalization
from codegen.passes.canonical_form import canonicalize
from codegen.passes.dead_code import remove_dead_code
from codegen.passes.epilogue_fusion import fuse_epilogues
from codegen.passes.reshape_elimination import eliminate_reshapes
from codegen.passes.row_affine import fold_row_affines
from codegen.reference import evaluate
from codegen.tensor import TensorType
from tests.codegen.chains import (
    CHANNELS,
    CONV,
    DEPTHWISE,
    IMAGE,
    NORM,
    POINTWISE,
    RELU6,
    TRANSPOSED,
    Step,
    graph_of,
    rewritten,
    same_results,
    straight,
)

AFFINE = Map(Operand(0) * Operand(1) + Operand(2))

# --- batch-norm folding -----------------------------------------------------------------------------------


@pytest.mark.parametrize("conv", [CONV, DEPTHWISE, POINTWISE, TRANSPOSED])
def test_batch_norm_folds_into_convolution(conv: Conv2d | ConvTranspose2d) -> None:
    assert rewritten(straight(conv, NORM), fold_batch_normalization) == [conv]


def test_batch_norm_folds_into_fully_connected_and_twice() -> None:
    graph = straight(FullyConnected(), NORM, NORM, shape=(3, 6))
    assert rewritten(graph, fold_batch_normalization) == [FullyConnected()]


def test_batch_norm_folds_behind_reshape_that_keeps_channels() -> None:
    graph = straight(CONV, (2, CHANNELS, 25), NORM)
    assert rewritten(graph, fold_batch_normalization) == [CONV, Reshape()]


def test_batch_norm_does_not_fold_behind_reshape_that_mixes_channels() -> None:
    graph = straight(CONV, (2, CHANNELS * 25), NORM)
    assert rewritten(graph, fold_batch_normalization) == [CONV, Reshape(), AFFINE]


@pytest.mark.parametrize(
    "before", [Map(RELU), Pool2d("max", (2, 2)), Conv2d((1, 1), epilogue=RELU), Softmax(1)]
)
def test_batch_norm_stands_alone_as_depthwise(before: Operator) -> None:
    ops = rewritten(straight(before, NORM), fold_batch_normalization)
    assert ops == [before, Conv2d((1, 1), groups=CHANNELS)]


@pytest.mark.parametrize("shape", [(3, 6), (2, 6, 5), (1, 6, 2, 3, 2)])
def test_batch_norm_of_other_ranks_is_elementwise(shape: tuple[int, ...]) -> None:
    assert rewritten(straight(NORM, shape=shape), fold_batch_normalization) == [AFFINE]


def test_batch_norm_behind_planes_stays_with_them() -> None:
    graph = straight(Pool2d("max", (2, 2)), (2, CHANNELS, 16), NORM)
    ops = rewritten(graph, fold_batch_normalization)
    assert ops == [Pool2d("max", (2, 2)), Reshape(), Reshape(), Conv2d((1, 1), groups=CHANNELS), Reshape()]


@pytest.mark.parametrize("shape", [(3, CHANNELS), (1, CHANNELS, 5, 4)])
def test_numbers_that_all_channels_share_are_constants_of_an_expression(shape: tuple[int, ...]) -> None:
    graph = straight(Softmax(1), NORM, Map(RELU), shape=shape)
    shared = {name: np.full_like(graph.constants[name], 0.5) for name in graph.nodes[1].weights}
    same = replace(graph, constants={**graph.constants, **shared})
    factor = 0.5 / np.sqrt(0.5 + NORM.epsilon)
    (affine,) = fold_batch_normalization(same).nodes[1:2]
    assert not affine.weights
    assert affine.op == Map(Operand(0) * float(np.float32(factor)) + float(np.float32(0.5 - 0.5 * factor)))
    assert len(optimize(same).nodes) == 2
    same_results(same, optimize(same))


@pytest.mark.parametrize("outputs", [("y", "z"), ("y", "a")])
def test_batch_norm_leaves_a_producer_that_others_read(outputs: tuple[str, ...]) -> None:
    steps: list[Step] = [(CONV, "x", "a", None), (NORM, "a", "y", None), (Softmax(1), "a", "z", None)]
    graph = graph_of(steps, outputs)
    assert CONV in rewritten(graph, fold_batch_normalization)
    assert len(fold_batch_normalization(graph).nodes) == 3


def test_shared_weights_are_not_changed_for_the_other_node() -> None:
    graph = graph_of([(CONV, "x", "a", None), (NORM, "a", "b", None), (CONV, "b", "y", None)])
    first, norm, _ = graph.nodes
    shared = Graph(
        "shared",
        ("x",),
        ("y",),
        (first, norm, Node("Y", CONV, ("b",), ("y",), first.weights)),
        graph.types,
        graph.constants,
    )
    assert rewritten(shared, fold_batch_normalization) == [CONV, CONV]


def test_batch_norm_is_folded_in_double_precision() -> None:
    """The folded weight is the exact one, rounded once."""
    graph = straight(POINTWISE, NORM)
    conv, norm = graph.nodes
    weight, bias = (np.asarray(value, dtype=np.float64) for value in graph.weights_of(conv))
    scale, shift, mean, variance = (np.asarray(v, dtype=np.float64) for v in graph.weights_of(norm))
    factor = scale / np.sqrt(variance + NORM.epsilon)
    folded = fold_batch_normalization(graph)
    found_weight, found_bias = folded.weights_of(folded.nodes[0])
    np.testing.assert_array_equal(found_weight, (weight * factor[:, None, None, None]).astype(np.float32))
    np.testing.assert_allclose(
        np.asarray(found_bias, np.float64), (bias - mean) * factor + shift, rtol=1e-6, atol=1e-7
    )


def rows_and(expression: Expression, value: tuple[int, ...], between: tuple[int, ...] = (2, 3, 6)) -> Graph:
    """A matrix product of six rows of six numbers, seen as `between`, and a Map of it with a weight of that shape."""
    graph = straight(FullyConnected(), between, Map(RELU), shape=(6, 6))
    *before, last = graph.nodes
    weight = np.random.default_rng(3).standard_normal(value).astype(np.float32)
    after = replace(last, op=Map(expression), weights=("w",))
    return replace(graph, nodes=(*before, after), constants={**graph.constants, "w": weight})


@pytest.mark.parametrize("expression", [Operand(0) + Operand(1), Operand(1) * Operand(0)])
@pytest.mark.parametrize("value", [(6,), (1, 1, 6), (1,)])
def test_a_number_for_each_column_folds_into_the_matrix(
    expression: Expression, value: tuple[int, ...]
) -> None:
    assert rewritten(rows_and(expression, value), fold_row_affines) == [FullyConnected(), Reshape()]


def test_a_factor_for_all_folds_into_the_matrix() -> None:
    graph = straight(FullyConnected(), (2, 3, 6), Map(2.5 * Operand(0)), shape=(6, 6))
    assert rewritten(graph, fold_row_affines) == [FullyConnected(), Reshape()]


def test_a_number_without_axes_has_no_columns() -> None:
    op = Map(Operand(0) + 1.0)
    assert rewritten(straight(op, shape=()), fold_row_affines) == [op]


@pytest.mark.parametrize(
    ("expression", "value", "between"),
    [
        (Operand(0) + Operand(1), (3, 1), (2, 3, 6)),  # a number for each row
        (Operand(0) + Operand(1), (6,), (3, 2, 6, 1)),  # the columns are no longer the last axis
        (Operand(0) + Operand(1), (4, 1, 1, 6), (2, 3, 6)),  # the result is larger
        (Operand(0) - Operand(1), (6,), (2, 3, 6)),
    ],
)
def test_other_maps_behind_a_matrix_stay(
    expression: Expression, value: tuple[int, ...], between: tuple[int, ...]
) -> None:
    graph = rows_and(expression, value, between)
    if len(value) > len(between):
        graph = replace(graph, types={**graph.types, "y": TensorType((4, *between))})
    if between[-1] == 1:
        graph = replace(graph, types={**graph.types, "y": TensorType((3, 2, 6, 6))})
    assert len(rewritten(graph, fold_row_affines)) == 3


# --- activation fusing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [CONV, TRANSPOSED, Pool2d("max", (2, 2)), Pool2d("average", (3, 3))])
def test_clamps_fuse_into_their_producer(op: Conv2d | ConvTranspose2d | Pool2d) -> None:
    ops = rewritten(straight(op, Map(RELU), Map(clamp(RESULT, -1.0, 6.0))), fuse_epilogues)
    assert ops == [type(op)(**{**op.__dict__, "epilogue": RELU6})]


def test_clamp_fuses_behind_reshape() -> None:
    assert rewritten(straight(FullyConnected(), (3, 2, 3), Map(RELU), shape=(3, 6)), fuse_epilogues) == [
        FullyConnected(RELU),
        Reshape(),
    ]


def test_clamp_without_a_producer_stays() -> None:
    assert rewritten(straight(Map(RELU), Softmax(1), Map(RELU6)), fuse_epilogues) == [
        Map(RELU),
        Softmax(1),
        Map(RELU6),
    ]


@pytest.mark.parametrize("outputs", [("y", "a"), ("y", "z")])
def test_clamp_leaves_a_producer_that_others_read(outputs: tuple[str, ...]) -> None:
    steps: list[Step] = [(CONV, "x", "a", None), (Map(RELU), "a", "y", None), (Softmax(1), "a", "z", None)]
    assert rewritten(graph_of(steps, outputs), fuse_epilogues) == [CONV, Map(RELU), Softmax(1)]


ENDS = st.one_of(st.none(), st.integers(-3, 3).map(float))
ACTIVATIONS = st.builds(clamp, st.just(RESULT), ENDS, ENDS)


@given(first=ACTIVATIONS, second=ACTIVATIONS)
def test_composed_clamps_do_what_both_do(first: Expression, second: Expression) -> None:
    values = np.linspace(-5, 5, 41)
    both = second.substitute((first,))
    assert is_clamp(both)
    np.testing.assert_array_equal(both.evaluate((values,)), second.evaluate((first.evaluate((values,)),)))


# --- reshapes, canonical form, dead code ------------------------------------------------------------------


def test_reshapes_in_a_row_become_one() -> None:
    graph = straight(CONV, (2, 100), (2, 4, 25), (200,), Map(RELU))
    assert rewritten(graph, lambda g: remove_dead_code(eliminate_reshapes(g))) == [
        CONV,
        Reshape(),
        Map(RELU),
    ]


def test_reshape_there_and_back_goes() -> None:
    graph = straight(CONV, (2, 100), IMAGE, Map(RELU))
    assert rewritten(graph, lambda g: remove_dead_code(eliminate_reshapes(g))) == [CONV, Map(RELU)]


def test_output_keeps_its_name_when_its_reshape_goes() -> None:
    graph = straight(CONV, Map(RELU), IMAGE)
    assert rewritten(graph, eliminate_reshapes) == [CONV, Map(RELU)]


@pytest.mark.parametrize("outputs", [("y",), ("a", "y"), ("y", "z")])
def test_copies_between_the_graph_s_own_ends_stay_right(outputs: tuple[str, ...]) -> None:
    steps: list[Step] = [
        (Reshape(), "x", "a", IMAGE),
        (Reshape(), "a", "y", IMAGE),
        (Map(RELU), "a", "b", None),
        (Reshape(), "b", "z", IMAGE),
    ]
    graph = graph_of(steps, outputs)
    rewritten(graph, lambda g: remove_dead_code(eliminate_reshapes(g)))


def test_pointwise_convolution_of_a_vector_becomes_a_matrix() -> None:
    graph = straight(Conv2d((1, 1), (2, 2), epilogue=RELU), shape=(3, CHANNELS, 1, 1))
    assert rewritten(graph, canonicalize) == [Reshape(), FullyConnected(RELU), Reshape()]


@pytest.mark.parametrize(
    ("op", "plane"),
    [
        (POINTWISE, (2, 1)),
        (Conv2d((1, 1), groups=2), (1, 1)),
        (Conv2d((1, 1), pads=(1, 0, 0, 0)), (1, 1)),
        (CONV, (1, 1)),
    ],
)
def test_other_convolutions_stay(op: Conv2d, plane: tuple[int, int]) -> None:
    assert rewritten(straight(op, shape=(1, CHANNELS, *plane)), canonicalize) == [op]


def test_dead_code_goes_with_its_tensors_and_constants() -> None:
    steps: list[Step] = [(CONV, "x", "y", None), (CONV, "y", "dead", None), (NORM, "dead", "deader", None)]
    graph = remove_dead_code(graph_of(steps))
    assert [node.name for node in graph.nodes] == ["Y"]
    assert set(graph.types) == {"x", "y"}
    assert set(graph.constants) == set(graph.nodes[0].weights)


# --- the pipeline -----------------------------------------------------------------------------------------


def test_head_of_a_network() -> None:
    """Mean, classifier as a convolution with normalisation, flattening, clamp: two layers and a Reshape are left."""
    plane = (2, CHANNELS, 1, 1)
    graph = straight(
        IMAGE,
        CONV,
        NORM,
        Map(RELU6),
        Pool2d("average", (5, 5)),
        POINTWISE,
        plane,
        NORM,
        (2, CHANNELS),
        Map(RELU),
    )
    fused = optimize(graph)
    same_results(graph, fused)
    assert [node.op for node in fused.nodes] == [
        Conv2d((3, 3), pads=(1, 1, 1, 1), epilogue=RELU6),
        Pool2d("average", (5, 5)),
        Reshape(),
        FullyConnected(RELU),
    ]
    assert fused.inputs == ("x",) and fused.outputs == ("y",)


def test_classifier_behind_flatten_folds_its_normalisation() -> None:
    graph = straight(POINTWISE, (2, CHANNELS), NORM, shape=(2, CHANNELS, 1, 1))
    fused = optimize(graph)
    same_results(graph, fused)
    assert [node.op for node in fused.nodes] == [Reshape(), FullyConnected()]


def test_dead_reader_does_not_block_folding() -> None:
    steps: list[Step] = [
        (CONV, "x", "a", None),
        (Reshape(), "a", "b", (2, 100)),
        (Reshape(), "b", "c", IMAGE),
        (NORM, "c", "y", None),
        (Softmax(1), "a", "dead", None),
    ]
    assert [node.op for node in optimize(graph_of(steps)).nodes] == [CONV]


OPERATORS = st.sampled_from(
    [
        CONV,
        DEPTHWISE,
        POINTWISE,
        NORM,
        Map(RELU),
        Map(RELU6),
        Map(clamp(RESULT, None, 0.5)),
        Softmax(1),
        IMAGE,
    ]
)


@given(ops=st.lists(OPERATORS, min_size=1, max_size=8))
def test_any_chain_computes_the_same(ops: list[Operator | tuple[int, ...]]) -> None:
    graph = straight(*ops)
    fused = optimize(graph)
    value = np.random.default_rng(3).standard_normal(IMAGE)
    wanted, found = evaluate(graph, {"x": value})["y"], evaluate(fused, {"x": value})["y"]
    np.testing.assert_allclose(found, wanted, atol=1e-4 * max(1.0, np.abs(wanted).max()))
    assert RESULT not in [node.op.expression for node in fused.nodes if isinstance(node.op, Map)]


def test_a_pass_that_breaks_the_spec_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget_types(graph: Graph) -> Graph:
        return Graph(graph.name, graph.inputs, graph.outputs, graph.nodes, {}, graph.constants)

    monkeypatch.setattr(pipeline, "PIPELINE", (*PIPELINE, Pass(forget_types, "fused")))
    with pytest.raises(GraphSpecError, match="after pass forget_types"):
        optimize(straight(CONV))
