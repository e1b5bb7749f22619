"""ReduceMean over planes, as exporters write a global average pool."""

from __future__ import annotations

from codegen.graph import Pool2d, Reshape, Transpose
from codegen.onnx_import.builder import GraphBuilder, Shape
from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.registry import handles
from codegen.onnx_import.transposition import FROM_PLANES, TO_PLANES
from codegen.shapes import moves_nothing


@handles("ReduceMean", "over height and width of (N, C, H, W) or (N, H, W, C); axes by attribute or input")
def reduce_mean(node: OnnxNode, builder: GraphBuilder) -> None:
    """ReduceMean to an average Pool2d, and a Reshape where the dimensions are not kept."""
    tensor, shape = builder.activation(node), builder.shape(node)
    axes = _axes(node, builder, len(shape))
    reduced = {axis for axis in axes if shape[axis] > 1}  # the mean over one element is that element
    channels_last = 1 in reduced
    if reduced and (len(shape) != 4 or not reduced <= ({1, 2} if channels_last else {2, 3})):
        raise node.unsupported(
            f"it takes the mean of a tensor of shape {shape} over the axes {sorted(axes)}",
            "only the mean over height and width, one of them or both, is supported",
        )
    if channels_last:
        tensor = builder.emit(node, Transpose(TO_PLANES), tensor, step="planes")
        reduced = {TO_PLANES.index(axis) for axis in reduced}
    if reduced:
        plane = builder.shape_of(tensor)
        kernel = (plane[2] if 2 in reduced else 1, plane[3] if 3 in reduced else 1)
        tensor = builder.emit(node, Pool2d("average", kernel), tensor, step="mean")
    if channels_last and not moves_nothing(FROM_PLANES, builder.shape_of(tensor)):
        tensor = builder.emit(node, Transpose(FROM_PLANES), tensor, step="channels_last")
    builder.emit(node, Reshape(), tensor, shape=_result(node, shape, axes))


def _axes(node: OnnxNode, builder: GraphBuilder, rank: int) -> frozenset[int]:
    """Since operator set 18 an input, before it an attribute; without axes all of them, or none if asked for."""
    given = builder.integers(node, 1) if node.opset >= 18 and node.has_input(1) else node.integers("axes")
    if not given:
        return frozenset() if node.flag("noop_with_empty_axes") else frozenset(range(rank))
    axes = frozenset(axis + rank if axis < 0 else axis for axis in given)
    if len(axes) != len(given) or not all(0 <= axis < rank for axis in axes):
        raise node.malformed(f"axes {list(given)} do not fit a tensor of {rank} dimensions")
    return axes


def _result(node: OnnxNode, shape: Shape, axes: frozenset[int]) -> Shape:
    if node.integer("keepdims", 1):
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)
