"""Sliding windows: how many fit an axis, which taps lie inside the input, what a stretch of outputs reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from codegen.errors import EmptyTensorError, GraphSpecError
from codegen.tensor import Doubles, Shape

if TYPE_CHECKING:
    from codegen.graph import LayerSpec

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]  # top, left, bottom, right
NO_PADS: Pads = (0, 0, 0, 0)
LAYERS = 64  # kept: all points of one layer's spaces ask for its windows


def window_extent(kernel: int, dilation: int) -> int:
    """Elements from the first to the last tap of a dilated kernel, both included."""
    return (kernel - 1) * dilation + 1


def window_outputs(size: int, extent: int, stride: int, begin: int, end: int) -> int:
    """How many windows of `extent` elements fit a padded axis; zero or less where none does."""
    return (size + begin + end - extent) // stride + 1


@dataclass(frozen=True)
class Window:
    """A sliding window along one axis: `taps` elements, `dilation` apart, from `stride * output - pad` on."""

    inputs: int
    outputs: int
    taps: int
    stride: int
    pad: int
    dilation: int

    def clipped(self, output: int) -> tuple[int, int]:
        """The taps [first, end) of an output that lie inside the input."""
        start = output * self.stride - self.pad
        inside = [tap for tap in range(self.taps) if 0 <= start + tap * self.dilation < self.inputs]
        return (inside[0], inside[-1] + 1) if inside else (0, 0)

    @cached_property
    def is_clipped(self) -> bool:
        """Whether some output lacks taps; only the first and last outputs can."""
        whole = (0, self.taps)
        return any(self.clipped(output) != whole for output in range(self.outputs))

    @cached_property
    def interior(self) -> tuple[int, int]:
        """[first, end) of the outputs whose taps all lie inside the input."""
        first = min(self.outputs, -(-self.pad // self.stride))
        room = self.inputs - window_extent(self.taps, self.dilation) + self.pad
        end = min(self.outputs, room // self.stride + 1) if room >= 0 else 0
        return first, max(first, end)

    def needs(self, first: int, end: int) -> tuple[int, int]:
        """The inputs [first, end) that outputs [first, end) read, none outside the input."""
        low = first * self.stride - self.pad
        high = (end - 1) * self.stride - self.pad + window_extent(self.taps, self.dilation)
        return max(0, min(low, self.inputs)), max(0, min(high, self.inputs))


@runtime_checkable
class Windowed(Protocol):
    """An operator with a window over planes; dataclasses that have these fields are."""

    @property
    def kernel(self) -> Pair: ...

    @property
    def strides(self) -> Pair: ...

    @property
    def pads(self) -> Pads: ...

    @property
    def dilations(self) -> Pair: ...


@dataclass(frozen=True)
class Windows:
    """The windows of a layer down the columns and along the rows."""

    rows: Window
    columns: Window

    @staticmethod
    @lru_cache(maxsize=LAYERS)
    def of(spec: LayerSpec) -> Windows:
        """Those of a layer whose operator has a window; raises TypeError for others."""
        op, source, result = windowed(spec), spec.inputs[0].shape, spec.output.shape
        axes = (
            Window(
                source[2 + axis],
                result[2 + axis],
                op.kernel[axis],
                op.strides[axis],
                op.pads[axis],
                op.dilations[axis],
            )
            for axis in (0, 1)
        )
        return Windows(*axes)

    @cached_property
    def is_pointwise(self) -> bool:
        """Whether every output reads the one input at its own place."""
        return all(
            w.taps == 1 and w.stride == 1 and w.pad == 0 and w.inputs == w.outputs
            for w in (self.rows, self.columns)
        )

    @cached_property
    def flattened(self) -> Windows:
        """Of a pointwise layer: the whole plane as one row."""
        pixels = self.rows.outputs * self.columns.outputs
        return Windows(
            replace(self.rows, inputs=1, outputs=1), replace(self.columns, inputs=pixels, outputs=pixels)
        )


def windowed(spec: LayerSpec) -> Windowed:
    """The operator of a layer with a window; raises TypeError for others."""
    if not isinstance(spec.op, Windowed):
        raise TypeError(f"{type(spec.op).__name__} has no window")
    return spec.op


def require_planes(op: object, shape: Shape) -> None:
    """Raises GraphSpecError unless the shape is (N, C, H, W)."""
    if len(shape) != 4:
        raise GraphSpecError(f"{type(op).__name__} takes (N, C, H, W), not {shape}")


def require_parameters(op: Windowed) -> None:
    """Raises GraphSpecError where a size is below 1 or a pad below 0."""
    if min(*op.kernel, *op.strides, *op.dilations) < 1 or min(op.pads) < 0:
        raise GraphSpecError(f"{type(op).__name__} has a size below 1 or a negative pad: {op}")


def plane_of_windows(op: Windowed, shape: Shape) -> Pair:
    """Height and width of the outputs over planes of (N, C, H, W); raises EmptyTensorError where no window fits."""
    require_parameters(op)
    extents = [window_extent(op.kernel[axis], op.dilations[axis]) for axis in (0, 1)]
    height, width = (
        window_outputs(shape[2 + axis], extents[axis], op.strides[axis], op.pads[axis], op.pads[axis + 2])
        for axis in (0, 1)
    )
    if min(height, width) < 1:
        raise EmptyTensorError(
            f"a window of {extents[0]}x{extents[1]} does not fit a plane of {shape[2]}x{shape[3]} "
            f"padded by {op.pads}"
        )
    return height, width


def summed(first: Pads, second: Pads) -> Pads:
    """Pads around padded planes."""
    top, left, bottom, right = (a + b for a, b in zip(first, second, strict=True))
    return top, left, bottom, right


def padded(value: Doubles, pads: Pads, fill: float) -> Doubles:
    """Planes with a margin."""
    top, left, bottom, right = pads
    return np.pad(value, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)


def taps(planes: Doubles, op: Windowed, plane: Pair) -> Iterator[tuple[int, int, Doubles]]:
    """For each tap of the kernel its row, its column and the strided view of the padded planes that it meets, for
    outputs of (height, width).
    """
    for row in range(op.kernel[0]):
        for column in range(op.kernel[1]):
            top, left = row * op.dilations[0], column * op.dilations[1]
            bottom, right = (
                top + (plane[0] - 1) * op.strides[0] + 1,
                left + (plane[1] - 1) * op.strides[1] + 1,
            )
            yield row, column, planes[:, :, top : bottom : op.strides[0], left : right : op.strides[1]]


def window_text(op: Windowed) -> str:
    """A window in a few characters: `3x3 s2 p1,1,0,0 d2`."""
    parts = ["x".join(map(str, op.kernel))]
    if op.strides != (1, 1):
        parts.append("s" + short_numbers(op.strides))
    if any(op.pads):
        parts.append("p" + short_numbers(op.pads))
    if op.dilations != (1, 1):
        parts.append("d" + short_numbers(op.dilations))
    return " ".join(parts)


def short_numbers(numbers: tuple[int, ...]) -> str:
    """Equal numbers as one."""
    return str(numbers[0]) if len(set(numbers)) == 1 else ",".join(map(str, numbers))
