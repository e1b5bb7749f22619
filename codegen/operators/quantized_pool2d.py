"""Two-dimensional sums over windows of integers of 8 bits, exact in int32: averages of quantised tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from codegen.errors import GraphSpecError
from codegen.expression import RESULT, Expression
from codegen.interval import ANYTHING, Interval
from codegen.operator import Arrays, Epilogued, Types
from codegen.operators.quantized_conv2d import BYTES, check_bytes
from codegen.tensor import Doubles, TensorType
from codegen.windows import NO_PADS, Pads, Pair, plane_of_windows, require_planes, taps, window_text


@dataclass(frozen=True)
class QuantizedPool2d(Epilogued):
    """Sums of distances from a zero point over windows that see no border; the epilogue gets them as float32.

    Fields:
        kernel: rows and columns of the window
        strides: elements from one window to the next, by rows and by columns
        zero: the integer that stands for 0 in the input
        epilogue: what is done to each sum, which is operand 0. One that gives integers of 8 bits rounds, moves and
            saturates last
        dtype: name of the output's element type
    """

    kernel: Pair
    strides: Pair = (1, 1)
    zero: int = 0
    epilogue: Expression = RESULT
    dtype: str = "float32"

    @property
    def pads(self) -> Pads:
        """None: what a window reads is there."""
        return NO_PADS

    @property
    def dilations(self) -> Pair:
        """The elements of a window are neighbours."""
        return (1, 1)

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = self.sole(inputs, weights, 0)
        require_planes(self, source.shape)
        if source.dtype not in BYTES or self.dtype not in ("float32", *BYTES) or self.epilogue.arity > 1:
            raise GraphSpecError(f"QuantizedPool2d of {source.dtype} to {self.dtype}")
        check_bytes(self, self.epilogue, self.dtype)
        plane = plane_of_windows(self, source.shape)
        return (replace(source, shape=(*source.shape[:2], *plane), dtype=self.dtype),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        height, width = outputs[0].shape[2:]
        total = np.zeros(outputs[0].shape)
        for _, _, tap in taps(inputs[0] - self.zero, self, (height, width)):
            total += tap
        result = self.epilogue.typed_value([total.astype(np.float32)])
        return (np.broadcast_to(result.astype(np.float64), outputs[0].shape),)

    def describe(self) -> str:
        return f"QuantizedPool2d {window_text(self)} to {self.dtype}"

    def range(self, inputs: Sequence[Interval]) -> Interval:
        return self.epilogue.interval((ANYTHING,))
