"""The graph checker: a sound graph passes, every kind of damage is found and named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from codegen.errors import GraphSpecError
from codegen.expression import RELU
from codegen.graph import Graph, Node
from codegen.operator import Operator
from codegen.operator_registry import operators_of
from codegen.operators.batch_normalization import BatchNormalization
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.operators.elementwise import Map
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.pad2d import Pad2d
from codegen.operators.pool2d import Pool2d
from codegen.operators.relayout import Relayout
from codegen.operators.reshape import Reshape
from codegen.operators.softmax import Softmax
from codegen.operators.transpose import Transpose
from codegen.spec_check import check
from codegen.tensor import TensorType
from tests.codegen.layers import sum_of_two


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, dtype=np.float32)


SOUND = Graph(
    "sound",
    ("x",),
    ("y",),
    (
        Node("conv", Conv2d((3, 3), (2, 2), (1, 1, 0, 0)), ("x",), ("a",), ("w", "b")),
        Node("clamp", Map(RELU), ("a",), ("y",)),
    ),
    {"x": TensorType((1, 3, 8, 8)), "a": TensorType((1, 4, 4, 4)), "y": TensorType((1, 4, 4, 4))},
    {"w": zeros(4, 3, 3, 3), "b": zeros(4)},
)
CONV, CLAMP = SOUND.nodes


def damaged(
    conv: Mapping[str, Any] | None = None, clamp: Mapping[str, Any] | None = None, **fields: Any
) -> Graph:
    nodes = (replace(CONV, **(conv or {})), replace(CLAMP, **(clamp or {})))
    return replace(SOUND, **{"nodes": nodes, **fields})


def test_sound_graph_passes_both_stages() -> None:
    check(SOUND, "imported")
    check(SOUND, "fused")


DAMAGE = {
    "same name": (damaged(clamp={"name": "conv"}), "'conv'.*another node has that name"),
    "order": (damaged(nodes=(CLAMP, CONV)), "'clamp'.*reads 'a' before"),
    "unknown tensor": (damaged(conv={"inputs": ("z",)}), "'conv'.*reads 'z'"),
    "written twice": (damaged(clamp={"outputs": ("a",)}), "'clamp'.*writes 'a', which is written already"),
    "input written": (damaged(clamp={"outputs": ("x",)}), "writes 'x'"),
    "no type": (damaged(types={"x": TensorType((1, 3, 8, 8))}), "'conv'.*tensor 'a' has no type"),
    "input without type": (damaged(types={}), "input: tensor 'x' has no type"),
    "double": (damaged(types={**SOUND.types, "a": TensorType((1, 4, 4, 4), "float64")}), "typed float64"),
    "quarter": (damaged(types={**SOUND.types, "a": TensorType((1, 4, 4, 4), "float8")}), "float8"),
    "empty": (damaged(types={**SOUND.types, "x": TensorType((1, 3, 0, 8))}), "tensor 'x'"),
    "shape": (
        damaged(types={**SOUND.types, "a": TensorType((1, 4, 4, 5))}),
        r"'conv'.*\(1, 4, 4, 5\).*\(1, 4, 4, 4\)",
    ),
    "no weight": (damaged(constants={"w": zeros(4, 3, 3, 3)}), "weight 'b' is no constant"),
    "complex weight": (
        damaged(constants={**SOUND.constants, "b": np.zeros(4, complex)}),
        "weight 'b' is of complex128",
    ),
    "weight shape": (damaged(constants={**SOUND.constants, "w": zeros(4, 2, 3, 3)}), "'conv'.*channels"),
    "bias shape": (damaged(constants={**SOUND.constants, "b": zeros(3)}), "'conv'.*bias"),
    "weights missing": (damaged(conv={"weights": ("w",)}), "takes 1 input and 2 weights, not 1 and 1"),
    "two inputs": (damaged(clamp={"inputs": ("a", "x")}), "'clamp'.*2 inputs and 0 weights"),
    "output of nobody": (damaged(outputs=("q",)), "no node writes output 'q'"),
    "output is input": (damaged(outputs=("x",)), "no node writes output 'x'"),
    "no output": (damaged(outputs=()), "has no output"),
    "output twice": (damaged(outputs=("y", "y")), "output is listed twice"),
    "relayout": (damaged(clamp={"op": Relayout("nchw", "pixel16")}), "Relayout does not belong"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named(kind: str) -> None:
    graph, message = DAMAGE[kind]
    with pytest.raises(GraphSpecError, match=message):
        check(graph, "fused")


IMAGE = (1, 4, 6, 6)
UNFIT: list[tuple[Operator, tuple[int, ...], tuple[tuple[int, ...], ...], tuple[int, ...]]] = [
    (Conv2d((3, 3)), (4, 6), ((4, 4, 3, 3), (4,)), (4, 4)),
    (Conv2d((3, 3)), IMAGE, ((4, 4, 3), (4,)), IMAGE),
    (ConvTranspose2d((3, 3)), (4, 6), ((4, 4, 3, 3), (4,)), (4, 4)),
    (ConvTranspose2d((3, 3), groups=3), IMAGE, ((4, 4, 3, 3), (4,)), (1, 4, 8, 8)),
    (ConvTranspose2d((5, 3)), IMAGE, ((4, 4, 3, 3), (4,)), (1, 4, 10, 8)),
    (ConvTranspose2d((1, 1), (0, 1)), IMAGE, ((4, 4, 1, 1), (4,)), (1, 4, 1, 6)),
    (ConvTranspose2d((1, 1), output_pads=(-1, 0)), IMAGE, ((4, 4, 1, 1), (4,)), (1, 4, 5, 6)),
    (ConvTranspose2d((1, 1), pads=(3, 0, 3, 0)), IMAGE, ((4, 4, 1, 1), (4,)), (1, 4, 0, 6)),
    (ConvTranspose2d((3, 3), (2, 2)), IMAGE, ((4, 4, 3, 3), (4,)), (1, 4, 12, 12)),
    (Conv2d((3, 3), groups=3), IMAGE, ((4, 4, 3, 3), (4,)), (1, 4, 4, 4)),
    (Conv2d((3, 3), groups=0), IMAGE, ((4, 4, 3, 3), (4,)), (1, 4, 4, 4)),
    (Conv2d((5, 3)), IMAGE, ((4, 4, 3, 3), (4,)), (1, 4, 4, 4)),
    (Conv2d((7, 3)), IMAGE, ((4, 4, 7, 3), (4,)), (1, 4, 1, 4)),
    (Conv2d((1, 1), (0, 1)), IMAGE, ((4, 4, 1, 1), (4,)), IMAGE),
    (Conv2d((1, 1), pads=(-1, 0, 0, 0)), IMAGE, ((4, 4, 1, 1), (4,)), (1, 4, 5, 6)),
    (Pool2d("median", (2, 2)), IMAGE, (), (1, 4, 5, 5)),
    (Pool2d("max", (2, 2), pads=(2, 0, 0, 0)), IMAGE, (), (1, 4, 7, 5)),
    (Pool2d("max", (2, 2), pads=(0, 0, 0, 2)), IMAGE, (), (1, 4, 5, 7)),
    (Pool2d("max", (2, 2), pads=(1, 0, 1, 0), dilations=(7, 1)), IMAGE, (), (1, 4, 1, 5)),
    (FullyConnected(), IMAGE, ((5, 4), (5,)), (1, 5)),
    (FullyConnected(), (1, 4), ((4, 5), (4,)), (1, 4)),
    (FullyConnected(), (1, 4), ((5, 4), (4,)), (1, 5)),
    (BatchNormalization(0.1), IMAGE, ((4,), (4,), (4,), (5,)), IMAGE),
    (BatchNormalization(0.1), (4,), ((4,), (4,), (4,), (4,)), (4,)),
    (Softmax(4), IMAGE, (), IMAGE),
    (Softmax(-1), IMAGE, (), IMAGE),
    (Reshape(), IMAGE, (), (1, 4, 35)),
    (sum_of_two(), IMAGE, (), IMAGE),
    (Concat(0), IMAGE, (), IMAGE),
    (Concat(1), (4,), (), (4,)),
    (Concat(1), IMAGE, ((4,),), IMAGE),
    (Pad2d((0, 0, 0, 0)), (4, 6), (), (4, 6)),
    (Pad2d((0, -1, 0, 0)), IMAGE, (), (1, 4, 6, 5)),
    (Transpose((0, 1, 2)), IMAGE, (), IMAGE),
    (Transpose((0, 1, 2, 2)), IMAGE, (), IMAGE),
]


@pytest.mark.parametrize(("op", "shape", "weights", "output"), UNFIT)
def test_operator_that_does_not_fit(
    op: Operator, shape: tuple[int, ...], weights: tuple[tuple[int, ...], ...], output: tuple[int, ...]
) -> None:
    names = tuple(f"w{index}" for index in range(len(weights)))
    constants = {name: zeros(*size) for name, size in zip(names, weights, strict=True)}
    types = {"x": TensorType(shape), "y": TensorType(output)}
    graph = Graph("unfit", ("x",), ("y",), (Node("n", op, ("x",), ("y",), names),), types, constants)
    with pytest.raises(GraphSpecError, match="node 'n'"):
        check(graph, "imported")


@pytest.mark.parametrize(
    ("op", "shapes", "output", "message"),
    [
        (sum_of_two(), [IMAGE, (1, 3, 1, 1)], IMAGE, "do not broadcast"),
        (
            sum_of_two(),
            [IMAGE] * 3,
            IMAGE,
            "3 inputs and 0 weights by an expression that reads other operands",
        ),
        (Concat(1), [IMAGE, (1, 2, 6, 5)], (1, 6, 6, 6), "differ beside the channels"),
        (Concat(1), [IMAGE, (2, 4, 6, 6)], (1, 8, 6, 6), "differ beside the channels"),
        (Concat(2), [IMAGE, IMAGE], (1, 4, 12, 6), "along axis 2"),
        (Concat(1), [], IMAGE, "at least 1 input"),
        (Concat(1), [IMAGE, (1, 2, 6, 6)], IMAGE, "the operator gives"),
    ],
)
def test_joins_that_do_not_fit(
    op: Operator, shapes: list[tuple[int, ...]], output: tuple[int, ...], message: str
) -> None:
    inputs = tuple(f"x{index}" for index in range(len(shapes)))
    types = {name: TensorType(shape) for name, shape in zip(inputs, shapes, strict=True)}
    types["y"] = TensorType(output)
    graph = Graph("unfit", inputs, ("y",), (Node("n", op, inputs, ("y",)),), types, {})
    with pytest.raises(GraphSpecError, match=message):
        check(graph, "fused")


def test_padding_belongs_to_the_imported_stage_only() -> None:
    assert Pad2d in operators_of("imported") and Pad2d not in operators_of("fused")
    assert {Map, Concat, Transpose} <= set(operators_of("fused"))


def test_normalisation_belongs_to_the_imported_stage_only() -> None:
    assert BatchNormalization in operators_of("imported")
    weights = tuple("sbmv")
    node = Node("n", BatchNormalization(0.1), ("x",), ("y",), weights)
    types = {"x": TensorType(IMAGE), "y": TensorType(IMAGE)}
    graph = Graph("norm", ("x",), ("y",), (node,), types, dict.fromkeys(weights, zeros(4)))
    check(graph, "imported")
    with pytest.raises(GraphSpecError, match="BatchNormalization does not belong to this stage"):
        check(graph, "fused")
