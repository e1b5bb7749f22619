"""Two-dimensional convolution of integers of 8 bits with exact sums in int32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from codegen.errors import GraphSpecError
from codegen.expression import RESULT, Expression
from codegen.interval import ANYTHING, Interval
from codegen.operator import Arrays, Epilogued, Operator, Types
from codegen.requantization import is_within, with_exact_products
from codegen.tensor import Doubles, TensorType
from codegen.windows import (
    NO_PADS,
    Pads,
    Pair,
    padded,
    plane_of_windows,
    require_planes,
    taps,
    window_text,
)

BYTES = ("uint8", "int8")
RESULTS = ("float32", "int32", *BYTES)
WEIGHTS = ("int8", "int32", "float32")


@dataclass(frozen=True)
class QuantizedConv2d(Epilogued):
    """Cross-correlation of distances from a zero point: int8 weights (out, in / groups, kh, kw), int32 bias (out) and
    float32 factor (out). Sums are exact in int32; those of each output channel times its factor are what the epilogue
    gets, computed in float32, but where it rounds this product to integers first of all the product is exact: there is
    one rounding. To int32 the sums themselves are written.

    Groups are 1, or as many as there are input and output channels.

    Fields:
        kernel: rows and columns of the window
        strides: elements from one window to the next, by rows and by columns
        pads: elements beside the plane: top, left, bottom, right; they are at the zero point
        dilations: elements from one tap of the window to the next, by rows and by columns
        groups: groups of channels; inputs of one reach the outputs of the same alone
        zero: the integer that stands for 0 in the input
        epilogue: what is done to each sum times its factor, which is operand 0; operand 1 is a further input. One that
            gives integers of 8 bits rounds, moves and saturates last
        dtype: name of the output's element type
    """

    kernel: Pair
    strides: Pair = (1, 1)
    pads: Pads = NO_PADS
    dilations: Pair = (1, 1)
    groups: int = 1
    zero: int = 0
    epilogue: Expression = RESULT
    dtype: str = "float32"

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = self.sole(inputs, weights, 3)
        shape, kernel = source.shape, weights[0].shape
        require_planes(self, shape)
        types = tuple(tensor.dtype for tensor in weights)
        if source.dtype not in BYTES or types != WEIGHTS:
            raise GraphSpecError(f"QuantizedConv2d of {source.dtype} by {types}, not of 8 bits by {WEIGHTS}")
        if len(kernel) != 4 or kernel[2:] != self.kernel or kernel[1] * self.groups != shape[1]:
            raise GraphSpecError(f"QuantizedConv2d of {shape} in {self.groups} groups with weights {kernel}")
        if self.groups != 1 and not self.groups == shape[1] == kernel[0]:
            raise GraphSpecError(
                f"QuantizedConv2d from {shape[1]} channels to {kernel[0]} in {self.groups} groups"
            )
        if any(tensor.shape != kernel[:1] for tensor in weights[1:]):
            raise GraphSpecError(
                f"QuantizedConv2d with bias {weights[1].shape} and factor {weights[2].shape}"
            )
        self._check_result()
        plane = plane_of_windows(self, shape)
        return self.result(inputs, replace(source, shape=(shape[0], kernel[0], *plane), dtype=self.dtype))

    def _check_result(self) -> None:
        if self.dtype not in RESULTS or (self.dtype == "int32" and self.epilogue != RESULT):
            raise GraphSpecError(
                f"QuantizedConv2d to {self.dtype} behind an epilogue; it gives {', '.join(RESULTS)}"
            )
        check_bytes(self, self.epilogue, self.dtype)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        kernel, bias, factor = weights
        batch, channels, height, width = outputs[0].shape
        depth = kernel.shape[1]
        grouped_kernel = kernel.reshape(self.groups, channels // self.groups, depth, *self.kernel)
        total = np.zeros((batch, self.groups, channels // self.groups, height * width))
        for row, column, tap in taps(padded(inputs[0] - self.zero, self.pads, 0.0), self, (height, width)):
            pixels = tap.reshape(batch, self.groups, depth, height * width)
            matrix = grouped_kernel[..., row, column]
            total += matrix * pixels if depth == 1 else matrix @ pixels
        total = total.reshape(outputs[0].shape) + bias[:, None, None]
        if self.dtype == "int32":
            return (total,)
        product = total * factor.astype(np.float32)[:, None, None].astype(np.float64)
        others = (other.astype(np.float32) for other in inputs[1:])
        value = total.astype(np.float32) * factor.astype(np.float32)[:, None, None]
        result = with_exact_products(self.epilogue, product, [value, *others])
        return (np.broadcast_to(result.astype(np.float64), outputs[0].shape),)

    def describe(self) -> str:
        groups = f"g{self.groups}" if self.groups != 1 else ""
        return " ".join(
            part for part in ("QuantizedConv2d", window_text(self), groups, f"to {self.dtype}") if part
        )

    def macs(self, inputs: Types, weights: Types, outputs: Types) -> int:
        return outputs[0].elements * (weights[0].elements // weights[0].shape[0])

    def range(self, inputs: Sequence[Interval]) -> Interval:
        return self.epilogue.interval((ANYTHING, *inputs[1:]))


def check_bytes(op: Operator, epilogue: Expression, dtype: str) -> None:
    """Raises GraphSpecError where an epilogue to integers of 8 bits may give others."""
    if dtype in BYTES and not is_within(epilogue, dtype):
        raise GraphSpecError(f"{type(op).__name__} to {dtype} does not saturate to that last")
