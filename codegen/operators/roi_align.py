"""Means or maxima of regions of an image, read between its pixels: RoiAlign."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import GraphSpecError
from codegen.onnx_import.registry import handles
from codegen.operator import Arrays, Operator, Types
from codegen.tensor import Doubles, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

MOST_SAMPLES = 4096
"""Along one side of a bin, where the region decides how many: more is the region of no image."""


@dataclass(frozen=True)
class RoiAlign(Operator):
    """Of an image (N, C, H, W), regions (R, 4) as (left, top, right, bottom) and the image of each (R): (R, C, bins).

    A bin is the mean ("avg") or the largest ("max") of `samples` by `samples` points of it (0: about one for each
    pixel), interpolated between four pixels. Of "max" it is the largest weighted pixel, as ONNX has it. `half_pixel`:
    coordinates are those of a pixel's middle, not of its corner.

    Fields:
        mode: avg or max
        bins: rows and columns of bins of a region
        samples: points of a bin along each axis; 0: about one for each pixel
        scale: what coordinates of regions are multiplied by
        half_pixel: whether coordinates are those of a pixel's middle, in place of its corner
    """

    mode: str
    bins: tuple[int, int]
    samples: int
    scale: float
    half_pixel: bool

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        if (
            len(inputs) != 3
            or weights
            or self.mode not in ("avg", "max")
            or min(self.bins) < 1
            or self.samples < 0
        ):
            raise GraphSpecError(f"{self.describe()} of {len(inputs)} inputs and {len(weights)} weights")
        image, regions, indices = inputs
        if len(image.shape) != 4 or regions.shape[1:] != (4,) or indices.shape != regions.shape[:1]:
            raise GraphSpecError(
                f"{self.describe()} of an image {image.shape}, regions {regions.shape} and indices {indices.shape}"
            )
        if image.dtype != regions.dtype or not image.element_type.is_floating or indices.dtype != "int64":
            raise GraphSpecError(
                f"{self.describe()} of {image.dtype}, regions of {regions.dtype} and indices of {indices.dtype}"
            )
        return (TensorType((regions.shape[0], image.shape[1], *self.bins), image.dtype),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        image, regions, indices = inputs
        result = np.zeros(outputs[0].shape)
        for number, region in enumerate(regions):
            which = int(np.clip(indices[number], 0, image.shape[0] - 1))
            result[number] = self._region(image[which], region * self.scale - 0.5 * self.half_pixel)
        return (result,)

    def _region(self, image: Doubles, region: Doubles) -> Doubles:
        taps = [
            _taps(
                region[1 - side], region[3 - side], self.bins[side], self.samples, image.shape[1 + side], self
            )
            for side in (0, 1)
        ]
        (rows, row_weights), (columns, column_weights) = taps
        result = np.zeros((image.shape[0], *self.bins))
        if not rows.shape[1] or not columns.shape[1]:
            return result
        read = image[:, rows[:, :, :, None, None, None], columns[None, None, None]]
        weighted = read * row_weights[:, :, :, None, None, None] * column_weights[None, None, None]
        if self.mode == "max":
            return np.asarray(weighted.max(axis=(2, 3, 5, 6)))
        return np.asarray(weighted.sum(axis=(2, 3, 5, 6)) / (rows.shape[1] * columns.shape[1]))

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        return (0 if source > 0 and axis == 0 else None,)

    def describe(self) -> str:
        return f"RoiAlign {self.mode} {self.bins[0]}x{self.bins[1]} samples {self.samples}"


def _taps(
    begin: float, end: float, bins: int, samples: int, size: int, op: RoiAlign
) -> tuple[np.ndarray, Doubles]:
    """Places and weights of shape (bins, samples, 2) along one side."""
    extent = end - begin if op.half_pixel else max(end - begin, 1.0)
    count = samples or int(np.clip(math.ceil(extent / bins), 0, MOST_SAMPLES))
    step = extent / bins
    x = begin + step * (np.arange(bins)[:, None] + (np.arange(count) + 0.5) / max(count, 1))
    is_inside = (x >= -1) & (x <= size)
    x = np.clip(x, 0, size - 1)
    low = np.floor(x).astype(np.int64)
    places = np.stack([low, np.minimum(low + 1, size - 1)], axis=-1)
    weights = np.stack([1 - (x - low), x - low], axis=-1) * is_inside[..., None]
    return places, weights


@handles("RoiAlign", "all")
def roi_align(node: OnnxNode, builder: GraphBuilder) -> None:
    """RoiAlign; before operator set 16 of corners of pixels."""
    tensors = [builder.tensor(node, index) for index in range(3)]
    transformation = node.text("coordinate_transformation_mode", "half_pixel") if node.opset >= 16 else ""
    op = RoiAlign(
        node.text("mode", "avg"),
        (node.integer("output_height", 1), node.integer("output_width", 1)),
        node.integer("sampling_ratio", 0),
        node.real("spatial_scale", 1.0),
        transformation == "half_pixel",
    )
    builder.emit(node, op, tensors)
