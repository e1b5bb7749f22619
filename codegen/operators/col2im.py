"""Columns of blocks added up to an image: Col2Im."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps
from codegen.onnx_import.windows_nd import list_attribute

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@handles("Col2Im", "constant shapes of image and blocks")
def col2im(node: OnnxNode, builder: GraphBuilder) -> None:
    """A transposed convolution whose kernels put each row of a column at its own place of the block."""
    steps, type_ = Steps(node, builder), builder.type(node)
    image, block = builder.integers(node, 1), builder.integers(node, 2)
    rank, taps = len(image), math.prod(block)
    if len(type_.shape) != 3 or len(block) != rank or min(block, default=0) < 1 or type_.shape[1] % taps:
        raise node.malformed(f"columns of shape {type_.shape} do not fit blocks {block} of an image {image}")
    strides, dilations = (list_attribute(node, name, rank, 1, 1) for name in ("strides", "dilations"))
    pads = list_attribute(node, "pads", 2 * rank, 0, 0)
    extents = [(size - 1) * dilation + 1 for size, dilation in zip(block, dilations, strict=True)]
    rooms = [image[axis] + pads[axis] + pads[axis + rank] - extents[axis] for axis in range(rank)]
    counts = [room // stride + 1 for room, stride in zip(rooms, strides, strict=True)]
    if math.prod(counts) != type_.shape[2] or min(counts) < 1:
        raise node.malformed(f"an image of shape {image} has {counts} blocks, not {type_.shape[2]}")
    batch, rows, _ = type_.shape
    kernels = np.tile(np.eye(taps).reshape(taps, 1, *block), (rows // taps, *(1,) * (rank + 1)))
    steps(
        "ConvTranspose",
        steps("Reshape", node.input(0), steps.integers(batch, rows, *counts)),
        steps.constant(kernels, type_.dtype),
        to=node.output,
        group=rows // taps,
        strides=list(strides),
        dilations=list(dilations),
        pads=list(pads),
        output_padding=[room % stride for room, stride in zip(rooms, strides, strict=True)],
    )
