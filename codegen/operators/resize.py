"""Resize and Upsample: interpolated planes, along each axis a matrix of weights, or a selection of elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen.element_type import FLOAT32
from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps
from codegen.operators.interpolation import Interpolation, axis_taps
from codegen.tensor import Doubles, Shape

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class Axis:
    """How one axis is resized: sizes before and after, and the scale that relates coordinates."""

    size: int
    result: int
    scale: float
    start: float = 0.0  # of the region of interest, as fractions of the size
    end: float = 1.0


def _align_corners(axis: Axis, x: Doubles) -> Doubles:
    length = axis.scale * axis.size
    return x * 0.0 if length == 1 else x * (axis.size - 1) / (length - 1)


def _half_pixel_symmetric(axis: Axis, x: Doubles) -> Doubles:
    adjustment = axis.result / (axis.scale * axis.size)
    offset = axis.size / 2 * (1 - adjustment)
    return offset + (x + 0.5) / axis.scale - 0.5


def _region(axis: Axis, x: Doubles) -> Doubles:
    if axis.result > 1:
        step = (axis.end - axis.start) * (axis.size - 1) / (axis.result - 1)
        return axis.start * (axis.size - 1) + x * step
    return 0.5 * (axis.start + axis.end) * (axis.size - 1) + x * 0.0


COORDINATES: Mapping[str, Callable[[Axis, Doubles], Doubles]] = {
    "half_pixel": lambda axis, x: (x + 0.5) / axis.scale - 0.5,
    "half_pixel_symmetric": _half_pixel_symmetric,
    "pytorch_half_pixel": lambda axis, x: (x + 0.5) / axis.scale - 0.5 if axis.result > 1 else x * 0.0,
    "align_corners": _align_corners,
    "asymmetric": lambda axis, x: x / axis.scale,
    "tf_half_pixel_for_nn": lambda axis, x: (x + 0.5) / axis.scale,
    "tf_crop_and_resize": _region,
}
NEAREST: Mapping[str, Callable[[Doubles], Doubles]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _linear(distance: Doubles) -> Doubles:
    return np.maximum(0.0, 1.0 - np.abs(distance))


def _cubic(a: float) -> Callable[[Doubles], Doubles]:
    """Keys 1981, with the parameter a."""

    def weight(distance: Doubles) -> Doubles:
        d = np.abs(distance)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return np.where(d <= 1, near, np.where(d < 2, far, 0.0))

    return weight


MOST_SUMS = 1 << 19  # results of an axis: ten seconds of sound; each has a row in a table


@dataclass(frozen=True)
class Method:
    """What a Resize asks for beside the sizes."""

    mode: str
    coordinates: str
    nearest: str
    cubic: float
    excludes_outside: bool
    extrapolates: float | None
    antialiases: bool


def matrix(axis: Axis, method: Method) -> tuple[Doubles, Doubles]:
    """Weights (result, size) of the elements, and where the result is extrapolated 1, else 0."""
    x = COORDINATES[method.coordinates](axis, np.arange(axis.result, dtype=np.float64))
    outside = np.zeros(axis.result)
    if method.coordinates == "tf_crop_and_resize":
        outside = ((x < 0) | (x > axis.size - 1)).astype(np.float64)
    if method.mode == "nearest":
        place = np.clip(NEAREST[method.nearest](x), 0, axis.size - 1).astype(np.int64)
        weights = np.zeros((axis.result, axis.size))
        weights[np.arange(axis.result), place] = 1.0
        return weights, outside
    stretch = max(1.0, 1.0 / axis.scale) if method.antialiases else 1.0
    reach = 1.0 if method.mode == "linear" else 2.0
    kernel = _linear if method.mode == "linear" else _cubic(method.cubic)
    weights = np.zeros((axis.result, axis.size))
    for row, centre in enumerate(x):
        taps = np.arange(math.floor(centre - reach * stretch), math.ceil(centre + reach * stretch) + 1)
        own = kernel((taps - centre) / stretch)
        if method.excludes_outside:
            own = np.where((taps < 0) | (taps >= axis.size), 0.0, own)
        if method.excludes_outside or method.antialiases:
            own = own / own.sum()
        np.add.at(weights[row], np.clip(taps, 0, axis.size - 1), own)
    return weights, outside


@handles("Resize", "constant scales or sizes; every mode")
def resize(node: OnnxNode, builder: GraphBuilder) -> None:
    """Resize along the axes whose sizes or coordinates change."""
    shape = builder.type(node).shape
    method = Method(
        node.text("mode", "nearest"),
        node.text("coordinate_transformation_mode", "half_pixel" if node.opset >= 11 else "asymmetric"),
        node.text("nearest_mode", "round_prefer_floor" if node.opset >= 11 else "floor"),
        node.real("cubic_coeff_a", -0.75),
        node.flag("exclude_outside"),
        node.real("extrapolation_value", 0.0),
        node.flag("antialias"),
    )
    if method.mode not in ("nearest", "linear", "cubic") or method.coordinates not in COORDINATES:
        raise node.malformed(f"its mode is {method.mode!r}, its coordinates are {method.coordinates!r}")
    if method.nearest not in NEAREST:
        raise node.malformed(f"attribute nearest_mode is {method.nearest!r}")
    axes = _axes(node, builder, shape, uses_region=method.coordinates == "tf_crop_and_resize")
    emit_resize(node, builder, axes, method)


@handles("Upsample", "constant scales")
def upsample(node: OnnxNode, builder: GraphBuilder) -> None:
    """The older form of Resize, with asymmetric coordinates."""
    shape = builder.type(node).shape
    scales = node.reals("scales") if node.opset < 9 else _reals(node, builder, 1)
    if len(scales) != len(shape):
        raise node.malformed(f"its scales {scales} do not fit a tensor of shape {shape}")
    axes = [Axis(size, math.floor(size * scale), scale) for size, scale in zip(shape, scales, strict=True)]
    mode = "linear" if node.text("mode", "nearest") in ("linear", "bilinear") else "nearest"
    emit_resize(node, builder, axes, Method(mode, "asymmetric", "floor", -0.75, False, None, False))


def emit_resize(node: OnnxNode, builder: GraphBuilder, axes: list[Axis], method: Method) -> None:
    """Planes whose elements are sums of few at once; else axis by axis: indices where each result is one element, or a
    product with a matrix. Sums of integers are rounded once, and kept to what their type holds, as ONNX's reference has
    it.
    """
    steps, dtype, tensor = Steps(node, builder), builder.type(node).dtype, node.input(0)
    if any(axis.result < 0 for axis in axes):
        raise node.malformed(f"its result has the shape {tuple(axis.result for axis in axes)}")
    builder.require_size(node, [axis.result for axis in axes])
    longest = max((axis.result for axis in axes), default=0)
    if method.mode != "nearest" and longest > MOST_SUMS:
        raise node.unsupported(
            f"{longest:,} elements of one axis would be sums of their own",
            f"give at most {MOST_SUMS:,}, or nearest ones",
        )
    planes = _interpolation(node, builder, axes, method)
    if planes is not None:
        builder.emit(node, planes, builder.tensor(node))
        return
    computed = dtype if method.mode == "nearest" else _summed_as(dtype)
    if computed != dtype:
        tensor = steps.cast(tensor, computed)
    for number, axis in enumerate(axes):
        builder.require_size(node, [axis.size, axis.result])
        weights, outside = matrix(axis, method)
        if weights.shape[0] < 1:
            raise node.unsupported(f"it leaves nothing of axis {number}", "give larger scales")
        if _is_identity(weights) and not outside.any():
            continue
        if (
            np.array_equal(np.sort(weights, axis=1)[:, -1], np.ones(axis.result))
            and weights.sum() == axis.result
        ):
            tensor = steps("Gather", tensor, steps.constant(weights.argmax(axis=1), "int64"), axis=number)
        else:
            tensor = _product(steps, tensor, weights, number, len(axes), computed)
        if outside.any():
            sizes = [axis.result if other == number else 1 for other in range(len(axes))]
            mask = steps.constant(outside.astype(bool).reshape(sizes))
            tensor = steps("Where", mask, steps.constant(method.extrapolates or 0.0, computed), tensor)
    if computed != dtype:
        tensor = _rounded(steps, tensor, computed, dtype)
    steps("Identity", tensor, to=node.output)


def _is_identity(weights: Doubles) -> bool:
    rows, columns = weights.shape  # of which one may be long where the other is short
    return rows == columns == np.count_nonzero(weights) and bool((weights.diagonal() == 1.0).all())


def _interpolation(
    node: OnnxNode, builder: GraphBuilder, axes: list[Axis], method: Method
) -> Interpolation | None:
    """The operator of planes; None where other axes change, something is extrapolated, elements are chosen and not
    summed, or a sum has many terms.
    """
    if len(axes) != 4 or builder.type(node).dtype != FLOAT32.name or method.mode == "nearest":
        return None
    if any(axis.size != axis.result or axis.scale != 1.0 for axis in axes[:2]):
        return None
    found = []
    for axis in axes[2:]:
        if axis.result < 1:
            return None
        builder.require_size(node, [axis.size, axis.result])
        weights, outside = matrix(axis, method)
        taps = axis_taps(weights)
        if taps is None or outside.any():
            return None
        found.append(taps)
    (rows, row_weights), (columns, column_weights) = found
    is_chosen = all(weight == (1.0,) for weight in (*row_weights, *column_weights))
    return None if is_chosen else Interpolation(rows, row_weights, columns, column_weights)


def _product(steps: Steps, tensor: str, weights: Doubles, axis: int, rank: int, dtype: str) -> str:
    letters = "abcdefghijklmnopqrstuvwx"[:rank]
    equation = f"z{letters[axis]},{letters}->{letters.replace(letters[axis], 'z')}"
    return steps("Einsum", steps.constant(weights, dtype), tensor, equation=equation)


def _summed_as(dtype: str) -> str:
    """The floating type that sums of elements are computed in."""
    given = np.dtype(dtype)
    return dtype if given.kind == "f" else "float32" if given.itemsize <= 2 else "float64"


def _rounded(steps: Steps, tensor: str, computed: str, dtype: str) -> str:
    """Floating numbers as integers, or truth values, that are the nearest."""
    rounded = steps("Round", tensor)
    if dtype != "bool":
        ends = np.iinfo(dtype)
        rounded = steps("Clip", rounded, *(steps.constant(end, computed) for end in (ends.min, ends.max)))
    return steps.cast(rounded, dtype)


def _reals(node: OnnxNode, builder: GraphBuilder, index: int) -> tuple[float, ...]:
    if not node.has_input(index):
        return ()
    return tuple(map(float, builder.constant(node, index).reshape(-1)))


def _axes(node: OnnxNode, builder: GraphBuilder, shape: Shape, *, uses_region: bool) -> list[Axis]:
    """Of every axis of the tensor; those that are not named stay."""
    first = 2 if node.opset >= 11 else 1
    scales = _reals(node, builder, first)
    sizes = builder.integers(node, 3) if node.has_input(3) and not scales else ()
    chosen = [node.axis(axis, len(shape)) for axis in node.integers("axes") or range(len(shape))]
    region = _reals(node, builder, 1) if uses_region else ()
    if len(scales or sizes) != len(chosen) or (uses_region and len(region) != 2 * len(chosen)):
        raise node.malformed(f"scales {scales}, sizes {sizes} and axes {chosen} do not fit each other")
    factors = list(scales) or _factors(node, [shape[axis] for axis in chosen], sizes)
    found = [Axis(size, size, 1.0) for size in shape]
    for index, axis in enumerate(chosen):
        start, end = (region[index], region[index + len(chosen)]) if uses_region else (0.0, 1.0)
        policy = node.text("keep_aspect_ratio_policy", "stretch")
        if scales:
            result = math.floor(shape[axis] * scales[index] * (end - start))
        elif policy == "stretch":
            result = sizes[index]
        else:
            result = math.floor(shape[axis] * factors[index] + 0.5)
        found[axis] = Axis(shape[axis], result, factors[index], start, end)
    return found


def _factors(node: OnnxNode, own: list[int], sizes: tuple[int, ...]) -> list[float]:
    """Scales from sizes: those that the sizes ask for, or where the aspect is kept one for all."""
    factors = [size / before for size, before in zip(sizes, own, strict=True)]
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return factors
    if policy not in ("not_larger", "not_smaller"):
        raise node.malformed(f"attribute keep_aspect_ratio_policy is {policy!r}")
    return [min(factors) if policy == "not_larger" else max(factors)] * len(factors)
