"""The phases of a transposed convolution: outputs that meet the same taps, as windows of an ordinary one."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from codegen.graph import LayerSpec
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.windows import Window


@dataclass(frozen=True)
class AxisPhase:
    """The outputs `first`, `first + stride`, ... of an axis.

    Output number j of them meets `taps[t]` of the kernel at input `j - window.pad + t * window.dilation`.
    """

    first: int
    taps: tuple[int, ...]
    window: Window


def axis_phases(spec: LayerSpec, axis: int) -> tuple[AxisPhase, ...]:
    """The phases of rows (0) or columns (1), each with an output at least; some may have no taps.

    Output o meets tap k where (o + pad - k * dilation) / stride is a whole number, which is the input.
    """
    op = spec.op
    if not isinstance(op, ConvTranspose2d):
        raise TypeError(f"{type(op).__name__} has no phases")
    stride, dilation, pad = op.strides[axis], op.dilations[axis], op.pads[axis]
    inputs, outputs = spec.inputs[0].shape[2 + axis], spec.output.shape[2 + axis]
    phases = []
    for first in range(min(stride, outputs)):
        met = [k for k in range(op.kernel[axis]) if (first + pad - k * dilation) % stride == 0]
        taps = tuple(reversed(met))  # the last tap meets the first input
        begin = (first + pad - taps[0] * dilation) // stride if taps else 0
        count = -(-(outputs - first) // stride)
        window = Window(inputs, count, len(taps), 1, -begin, dilation // gcd(stride, dilation))
        phases.append(AxisPhase(first, taps, window))
    return tuple(phases)
