"""Discrete Fourier transforms: DFT and STFT as products with matrices of sines and cosines, of long transforms two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from string import ascii_lowercase
from typing import TYPE_CHECKING

import numpy as np

from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps
from codegen.tensor import Doubles

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


SHORTEST_IN_TWO = {-1: 32, 1: 4}
"""By sign. Of one product the sums are exact; what ONNX's tests say of inverses has the rounding of two."""


@dataclass(frozen=True)
class Transform:
    """Bins of the transform of that length by exp(sign 2 pi i n k / length); an inverse (sign 1) is over the length.
    `halved`: the bins up to the middle alone, or back from them to a real signal.
    """

    length: int
    sign: int
    halved: bool

    @property
    def bins(self) -> int:
        return self.length // 2 + 1 if self.halved and self.sign < 0 else self.length


def _parts(wave: np.ndarray) -> Doubles:
    """Complex factors as real ones: (part of the factor's operand, ..., part of the product)."""
    return np.stack([np.stack([wave.real, wave.imag], -1), np.stack([-wave.imag, wave.real], -1)])


def _waves(samples: int, bins: int, length: int, sign: int) -> np.ndarray:
    """Complex, for every sample and bin; samples beyond the length count nothing."""
    wave = np.exp(sign * 2j * np.pi * (np.arange(samples)[:, None] * np.arange(bins) % length / length))
    wave[length:] = 0
    return np.asarray(wave)


def _real_signal(samples: int, length: int) -> Doubles:
    """From the bins up to the middle of a real signal's spectrum back to the signal."""
    twice = np.full(samples, 2.0)
    twice[0] = 1.0
    twice[length // 2 + 1 :] = 0.0
    if length % 2 == 0:
        twice[length // 2 : length // 2 + 1] = 1.0
    parts = _parts(_waves(samples, length, length, 1))[..., :1]
    return np.asarray(parts * twice[:, None, None] / length)


class _Products:
    """Emits the products for one axis of a tensor whose last axis holds real, or real and imaginary, parts."""

    def __init__(self, node: OnnxNode, builder: GraphBuilder, steps: Steps, tensor: str, axis: int) -> None:
        self._node, self._builder, self._steps, self._tensor = node, builder, steps, tensor
        self._type = steps.type(tensor)
        if self._type.shape[-1] not in (1, 2):
            raise node.malformed(f"a tensor of shape {self._type.shape} does not end with 1 or 2 parts")
        rank = len(self._type.shape) - 2
        self._axis, self._outer, self._inner = axis, ascii_lowercase[:axis], ascii_lowercase[axis:rank]

    def emit(self, transform: Transform) -> None:
        """The transform under the node's output's name: in two products where the length has factors, else in one."""
        length, samples = transform.length, self._type.shape[self._axis]
        first = max(n for n in range(1, math.isqrt(length) + 1) if length % n == 0)
        is_short = length < SHORTEST_IN_TWO[transform.sign] or first == 1
        if is_short or samples != length or transform.halved:
            self._direct(transform)
        else:
            self._in_two(transform, first)

    def _direct(self, transform: Transform) -> None:
        samples, length = self._type.shape[self._axis], transform.length
        self._builder.require_size(self._node, (4, samples, transform.bins))
        if transform.halved and transform.sign > 0:
            matrix = _real_signal(samples, length)
        else:
            matrix = _parts(_waves(samples, transform.bins, length, transform.sign))
            matrix = matrix / length if transform.sign > 0 else matrix
        self._product(self._tensor, "X", "ZXYW", "Y", matrix, to=self._node.output)

    def _in_two(self, transform: Transform, first: int) -> None:
        """Cooley and Tukey's: sample `i + second j`, bin `k + first l`."""
        steps, shape, second = self._steps, self._type.shape, transform.length // first
        outer, rest = shape[: self._axis], shape[self._axis + 1 : -1]
        view = steps("Reshape", self._tensor, steps.integers(*outer, first, second, *rest, shape[-1]))
        twiddles = _waves(second, first, transform.length, transform.sign)
        waves = _waves(first, first, first, transform.sign)[:, None] * twiddles
        view = self._product(view, "JI", "ZJIKW", "KI", _parts(waves))
        view = self._product(view, "KI", "ZILW", "LK", _parts(_waves(second, second, second, transform.sign)))
        is_forward = transform.sign < 0
        to = self._node.output if is_forward else ""
        view = steps("Reshape", view, steps.integers(*outer, transform.length, *rest, 2), to=to)
        if not is_forward:
            steps("Div", view, steps.constant(transform.length, self._type.dtype), to=self._node.output)

    def _product(
        self, tensor: str, read: str, factors: str, written: str, matrix: Doubles, *, to: str = ""
    ) -> str:
        steps, outer, inner = self._steps, self._outer, self._inner
        parts = matrix[: steps.shape(tensor)[-1]]
        equation = f"{outer}{read}{inner}Z,{factors}->{outer}{written}{inner}W"
        return steps("Einsum", tensor, steps.constant(parts, self._type.dtype), to=to, equation=equation)


@handles("DFT", "constant length and axis")
def dft(node: OnnxNode, builder: GraphBuilder) -> None:
    """DFT of real or complex tensors, onesided and inverse."""
    shape = builder.type(node).shape
    axis = node.integer("axis", 1) if node.opset < 20 else builder.whole(node, 2, -2)
    axis = node.axis(axis, len(shape))
    if axis == len(shape) - 1:
        raise node.malformed("it transforms the axis that holds real and imaginary parts")
    sign, halved = 1 if node.flag("inverse") else -1, node.flag("onesided")
    default = 2 * (shape[axis] - 1) if sign > 0 and halved else shape[axis]
    length = builder.whole(node, 1, default)
    if length < 1:
        raise node.malformed(f"its length is {length}")
    products = _Products(node, builder, Steps(node, builder), node.input(0), axis)
    products.emit(Transform(length, sign, halved))


@handles("STFT", "constant step and length of frames")
def stft(node: OnnxNode, builder: GraphBuilder) -> None:
    """STFT: frames of the signal, weighted by the window, each transformed. Exporters leave out the axis of parts of
    real signals, which onnxruntime takes too.
    """
    steps, shape = Steps(node, builder), builder.type(node).shape
    signal = node.input(0)
    if len(shape) == 2:
        shape = (*shape, 1)
        signal = steps("Reshape", signal, steps.integers(*shape))
    if len(shape) != 3:
        raise node.malformed(f"a tensor of shape {shape} is no batch of signals")
    step = builder.whole(node, 1, 0)
    window = steps.shape(node.input(2)) if node.has_input(2) else (0,)
    if len(window) != 1:
        raise node.malformed(f"a tensor of shape {window} is no window")
    (width,) = window
    length = builder.whole(node, 3, width or shape[1])
    if step < 1 or not 1 <= length <= shape[1]:
        raise node.malformed(f"frames of {length} with a step of {step} of a signal of {shape[1]}")
    width, count = width or length, 1 + (shape[1] - length) // step
    if (count - 1) * step + width > shape[1]:
        raise node.unsupported(
            f"a window of {width} at frames of {length} exceeds the signal", "give both one length"
        )
    builder.require_size(node, (shape[0], count, width, shape[2]))
    places = np.arange(count)[:, None] * step + np.arange(width)
    frames = steps("Gather", signal, steps.constant(places, "int64"), axis=1)
    if node.has_input(2):
        frames = steps("Mul", frames, steps("Reshape", node.input(2), steps.integers(width, 1)))
    halved = bool(node.integer("onesided", 1))
    _Products(node, builder, steps, frames, 2).emit(Transform(length, -1, halved))
