"""One layer of each shape that networks for small boards are made of, to look at kernels with."""

from __future__ import annotations

from collections.abc import Mapping

from codegen.expression import RELU
from codegen.graph import LayerSpec
from codegen.operator import Operator
from codegen.operators.conv2d import Conv2d
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.pool2d import Pool2d
from codegen.tensor import TensorType


def _convolution(
    channels: int, out: int, size: int, kernel: int, stride: int = 1, groups: int = 1
) -> LayerSpec:
    pad = kernel // 2
    op = Conv2d((kernel, kernel), (stride, stride), (pad,) * 4, groups=groups, epilogue=RELU)
    source = (1, channels, size, size)
    weights = ((out, channels // groups, kernel, kernel), (out,))
    return _spec(op, source, weights)


def _transposed(
    channels: int, out: int, size: int, kernel: int, stride: int = 2, groups: int = 1
) -> LayerSpec:
    pad = (kernel - stride) // 2
    op = ConvTranspose2d((kernel, kernel), (stride, stride), (pad,) * 4, groups=groups, epilogue=RELU)
    return _spec(op, (1, channels, size, size), ((out, channels // groups, kernel, kernel), (out,)))


def _pool(kind: str, channels: int, size: int, kernel: int, stride: int, pad: int = 0) -> LayerSpec:
    op = Pool2d(kind, (kernel, kernel), (stride, stride), (pad,) * 4)
    return _spec(op, (1, channels, size, size), ())


def _spec(op: Operator, source: tuple[int, ...], weights: tuple[tuple[int, ...], ...]) -> LayerSpec:
    inputs, constants = (TensorType(source),), tuple(map(TensorType, weights))
    return LayerSpec(op, inputs, op.infer(inputs, constants, ()), constants)


REPRESENTATIVE_LAYERS: Mapping[str, LayerSpec] = {
    "first layer 3x3 s2": _convolution(3, 32, 224, 3, stride=2),
    "conv 3x3 s1": _convolution(64, 64, 56, 3),
    "conv 3x3 s2": _convolution(64, 128, 56, 3, stride=2),
    "conv 5x5 s1": _convolution(32, 64, 28, 5),
    "conv 7x7 s2": _convolution(3, 64, 224, 7, stride=2),
    "conv 1x1": _convolution(128, 128, 28, 1),
    "conv 1x1 s2": _convolution(64, 128, 56, 1, stride=2),
    "grouped 3x3": _convolution(64, 64, 28, 3, groups=4),
    "depthwise 3x3 s1": _convolution(128, 128, 28, 3, groups=128),
    "depthwise 3x3 s2": _convolution(128, 128, 28, 3, stride=2, groups=128),
    "depthwise 5x5 s1": _convolution(128, 128, 28, 5, groups=128),
    "fully connected": _spec(FullyConnected(), (1, 1024), ((1000, 1024), (1000,))),
}

LAYERS_OF_OTHER_KINDS: Mapping[str, LayerSpec] = {
    "depthwise 3x3 s1, two outputs each": _convolution(64, 128, 28, 3, groups=64),
    "transposed 4x4 s2": _transposed(64, 32, 28, 4),
    "transposed 4x4 s2, four groups": _transposed(64, 64, 28, 4, groups=4),
    "largest of 3x3 s2": _pool("max", 64, 112, 3, 2, pad=1),
    "largest of 2x2 s2": _pool("max", 64, 56, 2, 2),
    "average of 3x3 s1": _pool("average", 64, 28, 3, 1, pad=1),
    "average of all": _pool("average", 1024, 7, 7, 1),
}
