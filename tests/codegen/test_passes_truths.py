"""Truth values that are computed where they are read: what becomes one Map, and what stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from codegen.expression import Expression, Operand, apply, less, select
from codegen.graph import Graph, Node
from codegen.operator import Operator
from codegen.operators.elementwise import Map
from codegen.operators.literal import Literal
from codegen.operators.typed_map import TypedMap
from codegen.passes.dead_code import remove_dead_code
from codegen.passes.truths import unite_truths
from codegen.tensor import Array, TensorType
from tests.codegen.chains import rewritten, same_results

SHAPE = (3, 5)
X, Y, Z = Operand(0), Operand(1), Operand(2)


def truth(expression: Expression, computed: str = "float32") -> TypedMap:
    return TypedMap(expression, computed, "bool")


def chosen(expression: Expression = select(X, Y, Z)) -> TypedMap:  # noqa: B008 - a constant
    return TypedMap(expression, "float32", "float32")


def graph_of(steps: Sequence[tuple[str, Operator, tuple[str, ...]]], **constants: Array) -> Graph:
    """Layers by the names of their results; the last one is the output. Constants are Literals of their name."""
    types, nodes = {"x": TensorType(SHAPE)}, []
    for name, value in constants.items():
        types[name] = TensorType(value.shape, str(value.dtype))
        nodes.append(Node(name, Literal(), (), (name,), (f"{name}.value",)))
    for name, op, inputs in steps:
        (types[name],) = op.infer([types[one] for one in inputs], (), ())
        nodes.append(Node(name, op, inputs, (name,)))
    values = {f"{name}.value": value for name, value in constants.items()}
    return Graph("truths", ("x",), (steps[-1][0],), tuple(nodes), types, values)


def united(graph: Graph) -> list[Operator]:
    return rewritten(graph, lambda before: remove_dead_code(unite_truths(before)))


def test_a_condition_is_computed_by_the_choice() -> None:
    steps = [("c", truth(less(X, 0.0)), ("x",)), ("y", chosen(select(X, Y * 2.0, Y)), ("c", "x"))]
    (op,) = united(graph_of(steps))
    assert op == Map(select(less(X, 0.0), X * 2.0, X))


@pytest.mark.parametrize("logic", ["and", "or", "xor"])
def test_logic_is_arithmetic_of_zeros_and_ones(logic: str) -> None:
    steps = [
        ("a", truth(less(X, 0.5)), ("x",)),
        ("b", truth(less(-0.5 * X, X + 0.3)), ("x",)),
        ("c", truth(apply(logic, X, Y), "bool"), ("a", "b")),
        ("n", truth(apply("not", X), "bool"), ("c",)),
        ("y", chosen(select(X, Y, 7.0)), ("n", "x")),
    ]
    (op,) = united(graph_of(steps))
    assert isinstance(op, Map)


def test_constants_become_weights_behind_the_inputs() -> None:
    mask = np.array([[True], [False], [True]])
    other = np.array([1.5, -2.0, 0.0, 3.0, 9.0], np.float32)
    graph = graph_of([("y", chosen(), ("mask", "other", "x"))], mask=mask, other=other)
    after = remove_dead_code(unite_truths(graph))
    same_results(graph, after)
    (node,) = after.nodes
    assert node.inputs == ("x",) and [value.shape for value in after.weights_of(node)] == [(3, 1), (5,)]
    assert all(value.dtype == np.float32 for value in after.weights_of(node))


def test_a_truth_as_a_number_is_a_map_too() -> None:
    steps = [("c", truth(apply("equal", X, X)), ("x",)), ("y", TypedMap(X, "bool", "float32"), ("c",))]
    (op,) = united(graph_of(steps))
    assert op == Map(apply("equal", X, X))


def test_a_number_is_true_where_it_is_not_0() -> None:
    steps = [
        ("c", truth(apply("max", X, 0.0)), ("x",)),
        ("y", TypedMap(X, "bool", "float32"), ("c",)),
    ]
    (op,) = united(graph_of(steps))
    assert op == Map(1.0 - apply("equal", apply("max", X, 0.0), 0.0))


@pytest.mark.parametrize(
    "steps",
    [
        [("c", truth(apply("isnan", X)), ("x",)), ("y", chosen(select(X, Y, 1.0)), ("c", "x"))],
        [("i", TypedMap(X, "float32", "int32"), ("x",)), ("y", TypedMap(X, "float32", "float32"), ("i",))],
        [("y", chosen(apply("round", X)), ("x",))],
    ],
    ids=["no primitive of Maps", "integers", "rounding"],
)
def test_what_maps_cannot_say_stays(steps: list[tuple[str, Operator, tuple[str, ...]]]) -> None:
    assert united(graph_of(steps)) == [op for _, op, _ in steps]


def test_constants_alone_stay() -> None:
    graph = graph_of([("y", chosen(X + Y), ("a", "b"))], a=np.ones(3, np.float32), b=np.ones(3, np.float32))
    assert [type(node.op) for node in unite_truths(graph).nodes] == [Literal, Literal, TypedMap]
