"""Layers and chains of layers as tests make them: convolutions with what is fused to them, pruned and quantised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from codegen.expression import RESULT, Expression, clamp
from codegen.graph import LayerSpec
from codegen.operators.chain import Chain
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.pool2d import Pool2d
from codegen.operators.quantized_conv2d import QuantizedConv2d
from codegen.operators.rearrange import Rearrange, selection
from codegen.sparsity import sparsity_of
from codegen.tensor import TensorType
from tests.codegen.layers import inferred_layer, sum_of_two

RELU6 = clamp(RESULT, 0.0, 6.0)
SAME = (1, 1, 1, 1)


def chain(*members: LayerSpec) -> LayerSpec:
    weights = tuple(tensor for member in members for tensor in member.weights)
    sources = ((0,), *((-1,) for _ in members[1:]))
    return LayerSpec(Chain(members, sources), members[0].inputs, members[-1].outputs, weights)


def with_residual(layer: LayerSpec, epilogue: Expression) -> LayerSpec:
    """A convolution whose epilogue has a second operand, of the result's shape."""
    op = replace(layer.op, epilogue=epilogue)  # type: ignore[type-var]
    return replace(layer, op=op, inputs=(*layer.inputs, *layer.outputs))


def quantized(op: QuantizedConv2d, source: TensorType, outputs: int, *further: TensorType) -> LayerSpec:
    """A convolution of integers of 8 bits to so many channels."""
    kernel = TensorType((outputs, source.shape[1] // op.groups, *op.kernel), "int8")
    return inferred_layer(
        op, source, *further, weights=(kernel, TensorType((outputs,), "int32"), TensorType((outputs,)))
    )


def and_sum(layer: LayerSpec, sources: tuple[int, int], epilogue: Expression = RESULT) -> LayerSpec:
    """A convolution and the sum of its result and another input, or its own, as a chain."""
    chained = Chain((layer, inferred_layer(sum_of_two(epilogue), *layer.outputs * 2)), ((0,), sources))
    inputs = (*layer.inputs, *(layer.outputs if 1 in sources else ()))
    return LayerSpec(chained, inputs, layer.outputs, layer.weights)


def separable(
    channels: int, outputs: int, shape: tuple[int, int, int], window: Conv2d, last: Conv2d
) -> LayerSpec:
    """A depthwise convolution of so many images, rows and columns, and the pointwise one that reads it."""
    images, *size = shape
    depthwise = inferred_layer(
        replace(window, groups=channels),
        (images, channels, *size),
        weights=((channels, 1, 3, 3), (channels,)),
    )
    pointwise = inferred_layer(last, *depthwise.outputs, weights=((outputs, channels, 1, 1), (outputs,)))
    return chain(depthwise, pointwise)


def expanded(
    channels: int,
    outputs: int,
    shape: tuple[int, int, int],
    window: Conv2d,
    epilogue: Expression = RELU6,
) -> LayerSpec:
    """A pointwise convolution of so many images, rows and columns, and the depthwise one that reads it."""
    images, *size = shape
    first = inferred_layer(
        Conv2d((1, 1), epilogue=epilogue),
        (images, channels, *size),
        weights=((outputs, channels, 1, 1), (outputs,)),
    )
    op = replace(window, groups=outputs)
    return chain(first, inferred_layer(op, *first.outputs, weights=((outputs, 1, *op.kernel), (outputs,))))


def stem_depthwise(
    shape: tuple[int, int, int, int],
    outputs: int,
    pads: tuple[int, int, int, int],
    first: Expression = RELU6,
    second: Expression = RELU6,
) -> LayerSpec:
    """A 3x3 convolution with stride 2 to so many channels and the 3x3 depthwise one that reads it."""
    window = inferred_layer(
        Conv2d((3, 3), (2, 2), pads, epilogue=first),
        shape,
        weights=((outputs, shape[1], 3, 3), (outputs,)),
    )
    op = Conv2d((3, 3), (1, 1), SAME, groups=outputs, epilogue=second)
    return chain(window, inferred_layer(op, *window.outputs, weights=((outputs, 1, 3, 3), (outputs,))))


def scaled_concat(
    batch: int, channels: tuple[int, ...], epilogue: Expression, *, twice: bool = False
) -> LayerSpec:
    """Tensors of so many channels put behind each other, the first of them again where it comes `twice`, and a factor
    and a bias for each channel.
    """
    tensors = [TensorType((batch, count, 5, 9)) for count in channels]
    order = (*range(len(tensors)), *((0,) if twice else ()))
    joined = inferred_layer(Concat(1), *(tensors[index] for index in order))
    count = joined.output.shape[1]
    op = Conv2d((1, 1), groups=count, epilogue=epilogue)
    scaled = inferred_layer(op, *joined.outputs, weights=((count, 1, 1, 1), (count,)))
    return LayerSpec(Chain((joined, scaled), (order, (-1,))), tuple(tensors), scaled.outputs, scaled.weights)


def stem(shape: tuple[int, int, int, int], outputs: int, first: Conv2d, pool: Pool2d) -> LayerSpec:
    """A convolution to so many channels and the pool that reads it."""
    window = inferred_layer(first, shape, weights=((outputs, shape[1], *first.kernel), (outputs,)))
    return chain(window, inferred_layer(pool, *window.outputs))


def and_its_sum(layer: LayerSpec, source: int) -> LayerSpec:
    """The chain with a sum behind it, of its result and its own input (0) or another one (1)."""
    chain = layer.op
    assert isinstance(chain, Chain)
    members = (*chain.members, inferred_layer(sum_of_two(), *layer.outputs * 2))
    op = Chain(members, (*chain.sources, (-1, source)))
    inputs = (*layer.inputs, *layer.outputs * source)
    return replace(layer, op=op, inputs=inputs)


def rows_of(shape: tuple[int, ...], rows: list[int]) -> Rearrange:
    """These elements of the first axis; of a row -1, sevens."""
    others = [np.arange(size) for size in shape[1:]]
    return selection(shape, [np.array(rows), *others], 7.0)


def pruned(layer: LayerSpec, nonzero: float, block: int = 1) -> LayerSpec:
    """The layer with that share of weights, or of blocks of so many outputs, that are not zero."""
    outputs, *others = layer.weights[0].shape
    kept = np.random.default_rng(outputs).random((-(-outputs // block), *others)) < nonzero
    return replace(layer, sparsity=sparsity_of(kept.repeat(block, axis=0)[:outputs].astype(np.float32)))
