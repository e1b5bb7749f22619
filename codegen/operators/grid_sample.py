"""A tensor read at places that another one gives, between its elements too: GridSample."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from codegen.errors import GraphSpecError
from codegen.onnx_import.registry import handles
from codegen.operator import Arrays, Operator, Types
from codegen.tensor import Doubles, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

MODES = {"nearest": "nearest", "linear": "linear", "bilinear": "linear", "cubic": "cubic", "bicubic": "cubic"}
"""ONNX's names, the older ones among them."""
PADDINGS = ("zeros", "border", "reflection")
SHARPNESS = -0.75
"""Of the cubic kernel (Keys 1981, https://ieeexplore.ieee.org/document/1163711), as ONNX has it."""
FARTHEST = 1e9
"""Places farther away, and those that are no number, count as this far away."""


@dataclass(frozen=True)
class GridSample(Operator):
    """For each point of the grid (N, ..., R) the input (N, C, R axes) there: (N, C, ...).

    A point has a coordinate for each axis, the last one first, -1 to 1 from edge to edge of the axis: `aligned` from
    the middle of its first element to that of the last. `mode`: the nearest element (of two the even one), linear or
    cubic interpolation. `padding`: what lies outside is 0, the nearest element, or a mirror image.

    Fields:
        mode: nearest, linear or cubic
        padding: zeros, border or reflection
        aligned: whether -1 and 1 are the middles of the first and the last element, in place of their edges
    """

    mode: str
    padding: str
    aligned: bool

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        if len(inputs) != 2 or weights or self.mode not in MODES.values() or self.padding not in PADDINGS:
            raise GraphSpecError(f"{self.describe()} of {len(inputs)} inputs and {len(weights)} weights")
        source, grid = inputs
        rank = len(source.shape) - 2
        if (
            rank < 1
            or len(grid.shape) != rank + 2
            or grid.shape[-1] != rank
            or grid.shape[0] != source.shape[0]
        ):
            raise GraphSpecError(f"{self.describe()} of a tensor of shape {source.shape} at {grid.shape}")
        if not grid.element_type.is_floating:
            raise GraphSpecError(f"{self.describe()} at places that are {grid.dtype}")
        if self.mode != "nearest" and not source.element_type.is_floating:
            raise GraphSpecError(f"{self.describe()} of {source.dtype}")
        return (TensorType((*source.shape[:2], *grid.shape[1:-1]), source.dtype),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        source, grid = inputs
        batch, channels, *sizes = source.shape
        points = grid.reshape(batch, -1, len(sizes))[..., ::-1]
        taps = [self._taps(points[..., axis], size) for axis, size in enumerate(sizes)]
        total = np.zeros((batch, channels, points.shape[1]))
        image = np.arange(batch)[:, None]
        for chosen in product(*taps):
            weight = np.prod([weight for _, weight in chosen], axis=0)
            is_inside = np.all([place >= 0 for place, _ in chosen], axis=0)
            places = tuple(np.maximum(place, 0) for place, _ in chosen)
            read = np.moveaxis(source, 1, -1)[(image, *places)]
            total += np.moveaxis(read * np.where(is_inside, weight, 0.0)[..., None], -1, 1)
        return (total.reshape(outputs[0].shape),)

    def _taps(self, point: Doubles, size: int) -> list[tuple[NDArray[np.int64], Doubles]]:
        """Indices along an axis, -1 for what is 0, and their weights."""
        x = (point + 1) / 2 * (size - 1) if self.aligned else ((point + 1) * size - 1) / 2
        x = np.where(x > -FARTHEST, np.minimum(x, FARTHEST), -FARTHEST)
        if self.mode == "nearest":
            x = np.rint(x)
        low, high = (0.0, size - 1.0) if self.aligned else (-0.5, size - 0.5)
        is_outside = (x < low) | (x > high)
        if self.padding == "border" and self.mode != "cubic":  # of which taps alone stay within, as in torch
            x = np.where(is_outside, np.clip(x, 0, size - 1), x)
        elif self.padding == "reflection":
            x = np.where(is_outside, _mirrored(x, low, high), x)
        base = np.floor(x) if self.mode != "nearest" else np.trunc(x)
        return [
            (self._index(base + step, size, low, high), weight)
            for step, weight in _weights(self.mode, x - base)
        ]

    def _index(self, place: Doubles, size: int, low: float, high: float) -> NDArray[np.int64]:
        if self.padding == "reflection":
            place = np.trunc(_mirrored(place, low, high))
        if self.padding == "zeros":
            return np.where((place >= 0) & (place < size), place, -1).astype(np.int64)
        return np.clip(place, 0, size - 1).astype(np.int64)

    def describe(self) -> str:
        return f"GridSample {self.mode} {self.padding}{' aligned' if self.aligned else ''}"


def _mirrored(x: Doubles, low: float, high: float) -> Doubles:
    """Between the borders, by as many mirror images as it takes."""
    if high <= low:
        return np.full_like(x, low)
    distance = np.where(x < low, low - x, x - high)
    turns = np.floor(distance / (high - low))
    rest = distance - turns * (high - low)
    from_low = (x < low) == (turns % 2 == 0)
    return np.where((x >= low) & (x <= high), x, np.where(from_low, low + rest, high - rest))


def _weights(mode: str, t: Doubles) -> list[tuple[int, Doubles]]:
    """Steps from the element before a place, and how much each counts."""
    if mode == "nearest":
        return [(0, np.ones_like(t))]
    if mode == "linear":
        return [(0, 1 - t), (1, t)]
    return [(step, _keys(np.abs(t - step))) for step in (-1, 0, 1, 2)]


def _keys(d: Doubles) -> Doubles:
    a = SHARPNESS
    return np.where(d <= 1, ((a + 2) * d - (a + 3)) * d * d + 1, ((a * d - 5 * a) * d + 8 * a) * d - 4 * a)


@handles("GridSample", "all; of other types than floating ones the nearest elements")
def grid_sample(node: OnnxNode, builder: GraphBuilder) -> None:
    """GridSample over any number of axes."""
    mode, padding = node.text("mode", "linear"), node.text("padding_mode", "zeros")
    if mode not in MODES or padding not in PADDINGS:
        raise node.malformed(f"its mode is {mode!r} and its padding_mode {padding!r}")
    tensors = [builder.tensor(node, index) for index in range(2)]
    builder.emit(node, GridSample(MODES[mode], padding, node.flag("align_corners")), tensors)
