"""Passes on branches, padding and transposes: what they rewrite, what they leave, and that results stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.expression import RELU, RESULT, Operand, apply, clamp
from codegen.operator import Operator
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map
from codegen.operators.pad2d import Pad2d
from codegen.operators.pool2d import Pool2d
from codegen.operators.reshape import Reshape
from codegen.operators.softmax import Softmax
from codegen.operators.transpose import Transpose
from codegen.passes import optimize
from codegen.passes.dead_code import remove_dead_code
from codegen.passes.epilogue_fusion import fuse_epilogues
from codegen.passes.gates import unite_gates
from codegen.passes.padding import fold_padding
from codegen.passes.reshape_elimination import eliminate_reshapes
from codegen.passes.transposition import cancel_transposes
from codegen.reference import evaluate
from tests.codegen.chains import (
    CHANNELS,
    CONV,
    IMAGE,
    NORM,
    POINTWISE,
    RELU6,
    Step,
    graph_of,
    rewritten,
    same_results,
    straight,
)
from tests.codegen.layers import sum_of_two

PAD = Pad2d((0, 1, 2, 3))
STAND_ALONE = Conv2d((1, 1), pads=PAD.pads, groups=CHANNELS)
LAST, FIRST = Transpose((0, 2, 3, 1)), Transpose((0, 3, 1, 2))

# --- branches ---------------------------------------------------------------------------------------------


def test_clamp_fuses_into_a_sum() -> None:
    steps: list[Step] = [
        (CONV, "x", "a", None),
        (sum_of_two(), ("x", "a"), "s", None),
        (Map(RELU), "s", "y", None),
    ]
    assert rewritten(graph_of(steps), fuse_epilogues) == [CONV, sum_of_two(RELU)]


def test_clamp_does_not_fuse_over_a_join() -> None:
    """The sum of clamped and unclamped, and one result joined to another."""
    for join in (sum_of_two(), Concat(1)):
        steps: list[Step] = [
            (CONV, "x", "a", None),
            (Map(RELU), "a", "b", None),
            (join, ("a", "b"), "y", None),
        ]
        assert rewritten(graph_of(steps), fuse_epilogues) == [CONV, Map(RELU), join]


def test_gate_becomes_one_expression_and_the_epilogue_before_it() -> None:
    gate, product = clamp(RESULT * 0.25 + 0.5, 0.0, 1.0), Operand(1) * Operand(0)
    steps: list[Step] = [
        (CONV, "x", "a", None),
        (Map(gate), "a", "g", None),
        (Map(product), ("g", "a"), "y", None),
    ]
    graph = graph_of(steps)
    assert rewritten(graph, unite_gates) == [CONV, Map(RESULT * gate)]
    same_results(graph, optimize(graph))
    assert len(optimize(graph).nodes) == 1


def test_a_gate_of_what_is_read_twice_reads_it_once() -> None:
    gate = Map(apply("neg", RESULT))
    outer = Map(Operand(0) + Operand(1) + Operand(2))
    graph = graph_of([(CONV, "x", "a", None), (gate, "a", "g", None), (outer, ("a", "g", "a"), "y", None)])
    assert rewritten(graph, unite_gates) == [CONV, Map(RESULT + apply("neg", RESULT) + RESULT)]
    same_results(graph, unite_gates(graph))


def test_what_is_no_gate_stays() -> None:
    """The function's result is read twice, is of another tensor, or is an output."""
    gate = Map(apply("exp", RESULT))
    twice, product = Map(Operand(0) * Operand(1) + Operand(1)), Map(Operand(0) * Operand(1))
    doubled: list[Step] = [(CONV, "x", "a", None), (gate, "a", "g", None), (twice, ("a", "g"), "y", None)]
    assert rewritten(graph_of(doubled), unite_gates) == [CONV, gate, twice]
    foreign: list[Step] = [(CONV, "x", "a", None), (gate, "a", "g", None), (product, ("x", "g"), "y", None)]
    assert rewritten(graph_of(foreign), unite_gates) == [CONV, gate, product]
    plain: list[Step] = [(CONV, "x", "a", None), (gate, "a", "g", None), (product, ("a", "g"), "y", None)]
    assert rewritten(graph_of(plain, ("g", "y")), unite_gates) == [CONV, gate, product]


def test_normalised_sum_is_a_depthwise_convolution() -> None:
    steps: list[Step] = [
        (CONV, "x", "a", None),
        (sum_of_two(), ("a", "a"), "s", None),
        (NORM, "s", "n", None),
        (Map(RELU6), "n", "y", None),
    ]
    graph = graph_of(steps)
    fused = optimize(graph)
    same_results(graph, fused)
    depthwise = Conv2d((1, 1), groups=CHANNELS, epilogue=RELU6)
    assert [node.op for node in fused.nodes] == [CONV, sum_of_two(), depthwise]


def test_both_branches_fold_their_normalisations() -> None:
    steps: list[Step] = [
        (CONV, "x", "a", None),
        (NORM, "a", "b", None),
        (POINTWISE, "x", "c", None),
        (NORM, "c", "d", None),
        (sum_of_two(), ("b", "d"), "s", None),
        (Map(RELU), "s", "y", None),
        (Concat(1), ("y", "b"), "z", None),
    ]
    graph = graph_of(steps, ("y", "z"))
    fused = optimize(graph)
    same_results(graph, fused)
    assert [node.op for node in fused.nodes] == [CONV, POINTWISE, sum_of_two(RELU), Concat(1)]


# --- padding ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "wider"),
    [
        (Conv2d((3, 3), (2, 2)), Conv2d((3, 3), (2, 2), PAD.pads)),
        (Conv2d((3, 3), pads=(1, 1, 1, 1)), Conv2d((3, 3), pads=(1, 2, 3, 4))),
        (Pool2d("average", (4, 4)), Pool2d("average", (4, 4), pads=PAD.pads, include_padding=True)),
        (
            Pool2d("average", (5, 5), pads=(1, 1, 1, 1), include_padding=True),
            Pool2d("average", (5, 5), pads=(1, 2, 3, 4), include_padding=True),
        ),
    ],
)
def test_padding_folds_into_its_reader(op: Operator, wider: Operator) -> None:
    assert rewritten(straight(PAD, op), fold_padding) == [wider]


@pytest.mark.parametrize(
    "op",
    [
        Pool2d("average", (4, 4), pads=(1, 0, 0, 0)),  # its own padding does not count
        Pool2d("average", (2, 2)),  # windows of nothing but padding
        Pool2d("max", (4, 4)),  # of numbers that may all be negative
        Map(RELU),
        Softmax(1),
    ],
)
def test_padding_that_is_not_exact_elsewhere_stays_a_layer(op: Operator) -> None:
    assert rewritten(straight(PAD, op), fold_padding) == [STAND_ALONE, op]


@pytest.mark.parametrize(
    "before",
    [
        [Map(RELU)],
        [Conv2d((1, 1), epilogue=RELU6)],
        [Map(RELU), Pool2d("average", (2, 2)), Map(clamp(RESULT, None, 3.0))],
        [Softmax(1)],
    ],
)
def test_padding_folds_into_a_maximum_of_what_is_not_negative(before: list[Operator]) -> None:
    pool = Pool2d("max", (4, 4), (2, 2))
    ops = rewritten(straight(*before, PAD, pool), fold_padding)
    assert ops == [*before, Pool2d("max", (4, 4), (2, 2), PAD.pads)]


@pytest.mark.parametrize(
    "before", [Map(clamp(RESULT, -1.0, None)), Map(clamp(RESULT, 0.0, -1.0)), Transpose((0, 1, 3, 2))]
)
def test_padding_does_not_fold_into_another_maximum(before: Operator) -> None:
    ops = rewritten(straight(before, PAD, Pool2d("max", (4, 4))), fold_padding)
    assert ops == [before, STAND_ALONE, Pool2d("max", (4, 4))]


def test_padding_in_a_row_adds_up() -> None:
    assert rewritten(straight(PAD, PAD, CONV), fold_padding) == [Conv2d((3, 3), pads=(1, 3, 5, 7))]


def test_padding_folds_into_one_reader_and_stays_for_the_other() -> None:
    steps: list[Step] = [(PAD, "x", "p", None), (CONV, "p", "y", None), (Softmax(1), "p", "z", None)]
    graph = graph_of(steps, ("y", "z"))
    assert rewritten(graph, fold_padding) == [STAND_ALONE, Conv2d((3, 3), pads=(1, 2, 3, 4)), Softmax(1)]


def test_padding_that_is_an_output_stays() -> None:
    steps: list[Step] = [(PAD, "x", "p", None), (CONV, "p", "y", None)]
    assert STAND_ALONE in rewritten(graph_of(steps, ("p", "y")), fold_padding)


# --- transposes -------------------------------------------------------------------------------------------


def cleaned(graph_ops: list[Operator | tuple[int, ...]]) -> list[Operator]:
    graph = straight(*graph_ops)
    return rewritten(graph, lambda g: remove_dead_code(eliminate_reshapes(cancel_transposes(g))))


def test_transposes_there_and_back_vanish() -> None:
    assert cleaned([CONV, LAST, FIRST, Map(RELU)]) == [CONV, Map(RELU)]


def test_transposes_in_a_row_become_one() -> None:
    assert cleaned([CONV, LAST, LAST, Map(RELU)]) == [CONV, FIRST, Map(RELU)]
    assert cleaned([CONV, LAST, LAST, LAST, Map(RELU)]) == [CONV, Map(RELU)]


def test_transpose_of_axes_of_one_element_is_a_reshape() -> None:
    ops = cleaned([Pool2d("average", (5, 5)), LAST, Softmax(3)])
    assert ops == [Pool2d("average", (5, 5)), Reshape(), Softmax(3)]


def test_transpose_that_others_read_stays_for_them() -> None:
    steps: list[Step] = [(LAST, "x", "l", None), (FIRST, "l", "y", None), (Softmax(3), "l", "z", None)]
    graph = graph_of(steps, ("y", "z"))
    fused = optimize(graph)
    same_results(graph, fused)
    assert [node.op for node in fused.nodes] == [LAST, Reshape(), Softmax(3)]


# --- all of them together ---------------------------------------------------------------------------------

UNARY: st.SearchStrategy[Operator | str] = st.sampled_from(
    [CONV, NORM, Map(RELU), Map(clamp(RESULT, -0.5, 0.5)), Softmax(1), Pad2d((0, 0, 1, 1)), "turn"]
)


@given(data=st.data())
def test_any_branches_compute_the_same(data: st.DataObject) -> None:
    """Two branches that may pad, turn and crop; both ends read the start, and their join goes on."""
    steps: list[Step] = []

    def chain(source: str, prefix: str) -> str:
        for index, op in enumerate(data.draw(st.lists(UNARY, max_size=4))):
            target = f"{prefix}{index}"
            if isinstance(op, str):
                steps.append((LAST, source, f"{target}l", None))
                steps.append((FIRST, f"{target}l", target, None))
            else:
                steps.append((op, source, target, None))
                if isinstance(op, Pad2d):
                    kind = data.draw(st.sampled_from(["max", "average"]))
                    steps.append((Pool2d(kind, (2, 2)), target, f"{target}p", None))
                    target = f"{target}p"
            source = target
        return source

    first, second = chain("x", "a"), chain("x", "b")
    steps.append((sum_of_two(), (first, second), "s", None))
    end = chain("s", "c")
    steps.append((Concat(1), (end, first), "j", None))
    steps.append((Map(RELU), "j", "y", None))
    graph = graph_of(steps)
    fused = optimize(graph)
    value = np.random.default_rng(3).standard_normal(IMAGE)
    wanted, found = evaluate(graph, {"x": value})["y"], evaluate(fused, {"x": value})["y"]
    np.testing.assert_allclose(found, wanted, atol=1e-4 * max(1.0, np.abs(wanted).max()))
