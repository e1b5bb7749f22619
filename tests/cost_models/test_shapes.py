"""Layers of one shape."""

from __future__ import annotations

from dataclasses import replace

from codegen.operators.conv2d import Conv2d
from cost_models.shapes import shape_of
from tests.codegen.layers import convolution


def test_padding_on_another_side_is_the_same_shape_and_another_stride_is_not() -> None:
    op = Conv2d((3, 3), (2, 2), (1, 1, 1, 1))
    one, other = (convolution(16, 32, (28, 28), replace(op, pads=pads)) for pads in (op.pads, (0, 0, 1, 1)))
    assert one != other and shape_of(one) == shape_of(other)
    assert shape_of(one) != shape_of(convolution(16, 32, (28, 28), replace(op, strides=(1, 1))))
