"""Layers of quantised tensors as convolutions of integers: what QLinearConv, ConvInteger and their kin become, and
convolutions and products of floats that are integers with a scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from codegen.expression import RESULT, Expression
from codegen.onnx_import.windows import read_window
from codegen.operators.quantized_conv2d import BYTES, QuantizedConv2d
from codegen.operators.reshape import Reshape
from codegen.tensor import Array, FloatArray

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

EQUAL_SCALES = 1e-5  # of a bias and of the sums that it is added to, relative


@dataclass(frozen=True)
class IntegerLayer:
    """An input of integers of 8 bits, by name, with the one that stands for 0; int8 weights, outputs first; and of each
    output an int32 bias and a float32 factor. `epilogue` and `dtype` as those of QuantizedConv2d.
    """

    tensor: str
    zero: int
    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    factor: FloatArray
    epilogue: Expression = RESULT
    dtype: str = "float32"

    @property
    def constants(self) -> dict[str, Array]:
        """The operator's weights by role."""
        return {"weight": self.weights, "bias": self.bias, "factor": self.factor}


def centred(weights: Array, zero: Array) -> NDArray[np.int8] | None:
    """Integer weights, outputs first, less their zero points, one or one for each output; None: beyond int8, or no
    matrix.
    """
    if weights.ndim == 0:
        return None
    points = np.asarray(zero, dtype=np.int32).reshape(-1, *(1,) * (weights.ndim - 1))
    if points.size not in (1, weights.shape[0]):
        return None
    whole = weights.astype(np.int32) - points
    limits = np.iinfo(np.int8)
    if whole.min(initial=0) < limits.min or whole.max(initial=0) > limits.max:
        return None
    return whole.astype(np.int8)


def of_outputs(value: Array, outputs: int, dtype: str) -> Array | None:
    """One number, or one for each output, as an array of all; None: they are of something else."""
    if value.size not in (1, outputs):
        return None
    return np.array(np.broadcast_to(value.reshape(-1), (outputs,)), dtype=dtype)


def real_layer(node: OnnxNode, builder: GraphBuilder, *, outputs_last: bool = False) -> IntegerLayer | None:
    """A node of floats whose input, weights (outputs first, or last of two) and bias are integers of scales; None: they
    are not.
    """
    first, second = (builder.dequantized.get(node.input(index)) for index in (0, 1))
    if first is None or second is None or not first.of_all or builder.is_constant(first.tensor):
        return None
    if not builder.is_constant(second.tensor) or builder.type_by_name(first.tensor).dtype not in BYTES:
        return None
    matrix = builder.value(second.tensor)
    if matrix.dtype.name not in BYTES or (not second.of_all and second.axis != int(outputs_last)):
        return None
    if outputs_last:
        if matrix.ndim != 2:
            return None
        matrix = matrix.T
    weights, outputs = centred(matrix, second.zero), matrix.shape[0]
    factor = of_outputs((first.scale * second.scale).astype(np.float32), outputs, "float32")
    if weights is None or factor is None:
        return None
    bias = np.zeros(outputs, dtype=np.int32)
    if node.has_input(2):
        third = builder.dequantized.get(node.input(2))
        if third is None or not builder.is_constant(third.tensor) or third.zero.any():
            return None
        whole, scale = builder.value(third.tensor), of_outputs(third.scale, outputs, "float32")
        if whole.dtype != np.int32 or whole.shape != (outputs,) or scale is None:
            return None
        if not np.allclose(scale, factor, rtol=EQUAL_SCALES, atol=0.0):
            return None
        bias = whole.astype(np.int32)
    return IntegerLayer(first.tensor, int(first.zero[0]), weights, bias, factor.astype(np.float32))


def emit_conv(node: OnnxNode, builder: GraphBuilder, layer: IntegerLayer) -> bool:
    """Emits a convolution over (N, C, H, W); False: it is another one, or its groups are no kernel's."""
    weights = layer.weights
    shape = builder.shape_of(layer.tensor)
    groups = node.integer("group", 1)
    if len(shape) != 4 or weights.ndim != 4 or min(node.integers("pads") or (0,)) < 0:
        return False
    kernel = (weights.shape[2], weights.shape[3])
    if node.pair("kernel_shape", kernel) != kernel:
        return False
    window = read_window(node, (shape[2], shape[3]), kernel)
    if groups != 1 and not (groups == shape[1] == weights.shape[0] and window.dilations == (1, 1)):
        return False
    op = QuantizedConv2d(
        kernel,
        window.strides,
        window.pads,
        window.dilations,
        groups,
        layer.zero,
        layer.epilogue,
        layer.dtype,
    )
    builder.emit(node, op, layer.tensor, layer.constants)
    return True


def emit_product(node: OnnxNode, builder: GraphBuilder, layer: IntegerLayer) -> None:
    """Emits the product of rows (..., in) and a matrix (out, in): a convolution of one pixel for each row."""
    *leading, inputs = builder.shape_of(layer.tensor)
    rows = math.prod(leading)
    pixels = builder.emit(node, Reshape(), layer.tensor, step="pixels", shape=(rows, inputs, 1, 1))
    op = QuantizedConv2d((1, 1), zero=layer.zero, epilogue=layer.epilogue, dtype=layer.dtype)
    constants = {**layer.constants, "weight": layer.weights[:, :, None, None]}
    product = builder.emit(node, op, pixels, constants, step="product")
    builder.emit(node, Reshape(), product, shape=(*leading, layer.weights.shape[0]))


def is_known(builder: GraphBuilder, names: Sequence[str]) -> bool:
    """Whether all of these are constants."""
    return all(map(builder.is_constant, names))
