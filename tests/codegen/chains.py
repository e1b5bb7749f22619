"""Small graphs written as steps, and the comparison of a graph before and after a pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from codegen.expression import RESULT, clamp
from codegen.graph import Graph, Node
from codegen.operator import Operator
from codegen.operators.batch_normalization import BatchNormalization
from codegen.operators.conv2d import Conv2d
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.reshape import Reshape
from codegen.reference import evaluate
from codegen.spec_check import check
from codegen.tensor import FloatArray, TensorType
from tests.codegen.layers import inferred_shape

# Operator, input or inputs, output, shape of a Reshape.
Step = tuple[Operator, str | tuple[str, ...], str, tuple[int, ...] | None]
RELU6 = clamp(RESULT, 0.0, 6.0)
CHANNELS = 4
IMAGE = (2, CHANNELS, 5, 5)
CONV = Conv2d((3, 3), pads=(1, 1, 1, 1))
DEPTHWISE = Conv2d((3, 3), pads=(1, 1, 1, 1), groups=CHANNELS)
TRANSPOSED = ConvTranspose2d((3, 2), (2, 1), (1, 0, 0, 1), (1, 0), groups=2)
POINTWISE = Conv2d((1, 1))
NORM = BatchNormalization(1e-3)


def weights_for(op: Operator, shape: tuple[int, ...], random: np.random.Generator) -> list[np.ndarray]:
    """Random weights that leave the number of channels as it is."""
    if isinstance(op, (Conv2d, ConvTranspose2d)):
        return [
            random.standard_normal((CHANNELS, CHANNELS // op.groups, *op.kernel)),
            random.standard_normal(CHANNELS),
        ]
    if isinstance(op, FullyConnected):
        return [random.standard_normal((shape[1], shape[1])), random.standard_normal(shape[1])]
    if isinstance(op, BatchNormalization):
        return [*random.standard_normal((3, shape[1])), random.random(shape[1]) + 0.1]
    return []


def graph_of(steps: Sequence[Step], outputs: Sequence[str] = ("y",), shape: tuple[int, ...] = IMAGE) -> Graph:
    """A graph over input `x`; node names are `output` in capitals."""
    random = np.random.default_rng(1)
    types = {"x": TensorType(shape)}
    constants: dict[str, FloatArray] = {}
    nodes: list[Node] = []
    for op, source, target, reshaped in steps:
        sources = (source,) if isinstance(source, str) else source
        shapes = [types[tensor].shape for tensor in sources]
        arrays = [value.astype(np.float32) for value in weights_for(op, shapes[0], random)]
        names = tuple(f"{target}.{index}" for index in range(len(arrays)))
        constants.update(zip(names, arrays, strict=True))
        inferred = inferred_shape(op, shapes, [array.shape for array in arrays], reshaped or ())
        types[target] = TensorType(inferred)
        nodes.append(Node(target.upper(), op, sources, (target,), names))
    graph = Graph("test", ("x",), tuple(outputs), tuple(nodes), types, constants)
    check(graph, "imported")
    return graph


def straight(*ops: Operator | tuple[int, ...], shape: tuple[int, ...] = IMAGE) -> Graph:
    """A chain of operators; a tuple is a Reshape to that shape."""
    tensors = ["x", *(f"t{index}" for index in range(len(ops) - 1)), "y"]
    return graph_of(
        [
            (Reshape(), tensors[i], tensors[i + 1], op)
            if isinstance(op, tuple)
            else (op, tensors[i], tensors[i + 1], None)
            for i, op in enumerate(ops)
        ],
        shape=shape,
    )


def same_results(before: Graph, after: Graph) -> None:
    value = np.random.default_rng(2).standard_normal(before.types["x"].shape)
    wanted, found = evaluate(before, {"x": value}), evaluate(after, {"x": value})
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5)


def rewritten(graph: Graph, rewrite: Callable[[Graph], Graph]) -> list[Operator]:
    after = rewrite(graph)
    check(after, "imported")
    same_results(graph, after)
    return [node.op for node in after.nodes]
