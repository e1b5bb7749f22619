"""Every QPU algorithm computes what the float64 reference computes, over its whole space on small layers."""

from __future__ import annotations

import pytest

from codegen.algorithm import algorithms
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.errors import ScheduleError
from codegen.expression import RELU, RESULT, clamp
from codegen.graph import LayerSpec
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.pool2d import Pool2d
from codegen.schedule import Choice
from codegen.tensor import TensorType
from tests.codegen.gpu_run import TARGET, relative_error
from tests.codegen.layers import layer_spec, sum_of_two

TOLERANCE = 2e-5  # truncating adds of a few hundred terms


def convolution(
    inputs: int,
    outputs: int,
    size: tuple[int, int],
    op: Conv2d,
) -> LayerSpec:
    rows, columns = (
        (size[i] + op.pads[i] + op.pads[i + 2] - op.dilations[i] * (op.kernel[i] - 1) - 1) // op.strides[i]
        + 1
        for i in (0, 1)
    )
    return layer_spec(
        op,
        (TensorType((1, inputs, *size)),),
        TensorType((1, outputs, rows, columns)),
        (TensorType((outputs, inputs // op.groups, *op.kernel)), TensorType((outputs,))),
    )


def pool(op: Pool2d, channels: int, size: tuple[int, int], out: tuple[int, int]) -> LayerSpec:
    return layer_spec(op, (TensorType((1, channels, *size)),), TensorType((1, channels, *out)))


RELU6 = clamp(RESULT, 0.0, 6.0)
LAYERS = {
    "pointwise": convolution(5, 26, (9, 7), Conv2d((1, 1), epilogue=RELU6)),
    "pointwise, two channels": convolution(2, 16, (5, 13), Conv2d((1, 1))),
    "first layer": convolution(3, 12, (15, 13), Conv2d((3, 3), (2, 2), (0, 0, 1, 1), epilogue=RELU6)),
    "same padding": convolution(4, 17, (8, 9), Conv2d((3, 3), (1, 1), (1, 1, 1, 1), epilogue=RELU)),
    "dilated, wide": convolution(2, 8, (12, 11), Conv2d((3, 5), (1, 2), (2, 4, 2, 4), (2, 2))),
    "strided pointwise": convolution(3, 8, (9, 9), Conv2d((1, 1), (2, 2))),
    "depthwise": convolution(
        20, 20, (10, 9), Conv2d((3, 3), (1, 1), (1, 1, 1, 1), groups=20, epilogue=RELU6)
    ),
    "depthwise, strided": convolution(16, 16, (11, 12), Conv2d((3, 3), (2, 2), (0, 0, 1, 1), groups=16)),
    "depthwise, 2x2": convolution(8, 8, (6, 6), Conv2d((2, 2), groups=8)),
    "maximum": pool(Pool2d("max", (3, 3), (2, 2), (1, 1, 1, 1)), 9, (13, 13), (7, 7)),
    "average": pool(Pool2d("average", (3, 3), (2, 2), (1, 1, 1, 1)), 8, (13, 13), (7, 7)),
    "average with padding": pool(
        Pool2d("average", (2, 2), (2, 2), (1, 1, 0, 0), include_padding=True), 8, (7, 7), (4, 4)
    ),
    "global average": pool(Pool2d("average", (7, 7)), 40, (7, 7), (1, 1)),
    "global average, few pixels": pool(Pool2d("average", (1, 3)), 16, (1, 3), (1, 1)),
    "fully connected": layer_spec(
        FullyConnected(RESULT),
        (TensorType((1, 24)),),
        TensorType((1, 37)),
        (TensorType((37, 24)), TensorType((37,))),
    ),
    "sum": layer_spec(sum_of_two(RELU), (TensorType((1, 21, 6, 7)),) * 2, TensorType((1, 21, 6, 7))),
    "channels of three": layer_spec(
        Concat(),
        (TensorType((1, 9, 6, 5)), TensorType((1, 16, 6, 5)), TensorType((1, 36, 6, 5))),
        TensorType((1, 61, 6, 5)),
    ),
}
POINTS_PER_ALGORITHM = 9


def candidates() -> list[tuple[str, Choice]]:
    """Choices spread evenly over the space of every algorithm that applies."""
    found = []
    for name, spec in LAYERS.items():
        for algorithm in algorithms().values():
            if not isinstance(algorithm, QpuAlgorithm) or not algorithm.applies(spec, TARGET):
                continue
            choices = []
            for point in algorithm.space(spec, TARGET).points():
                try:
                    choices.append(algorithm.choice(spec, TARGET, point))
                except ScheduleError:
                    continue
            assert choices, f"{algorithm.name} applies to {name} but offers nothing"
            step = max(1, len(choices) // POINTS_PER_ALGORITHM)
            found += [(name, choice) for choice in choices[::step]]
    return found


@pytest.mark.parametrize(
    ("name", "choice"),
    [pytest.param(n, c, id=f"{n}-{c.algorithm}-{i}") for i, (n, c) in enumerate(candidates())],
)
def test_kernel_matches_the_reference(name: str, choice: Choice) -> None:
    assert relative_error(LAYERS[name], choice) < TOLERANCE


def test_every_algorithm_is_exercised() -> None:
    used = {choice.algorithm for _, choice in candidates()}
    assert used == {name for name, a in algorithms().items() if isinstance(a, QpuAlgorithm)}
