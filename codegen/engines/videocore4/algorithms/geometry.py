"""Shapes of windowed layers as the kernels need them, and how tiles are dealt out to QPUs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from codegen.engines.videocore4.kernels.results import is_clamped
from codegen.engines.videocore4.layer import Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES, block_lines
from codegen.expression import Expression, as_clamp
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.operators.pool2d import Pool2d
from codegen.operators.pool_nd import PoolNd

UNBOUNDED = 3.0e38  # close to the largest float32: clamping to it changes no result


@dataclass(frozen=True)
class Geometry:
    """A convolution or pool on one image of a batch. Lengths in elements; a block is 16 output pixels."""

    input_channels: int
    input_rows: int
    input_columns: int
    output_channels: int
    output_rows: int
    output_columns: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    input_lines: int  # from one pixel16 block of the input to the next
    output_lines: int  # the same of the output

    @staticmethod
    @cache
    def of(spec: LayerSpec) -> Geometry | None:
        """None where the layer is no windowed layer on planes."""
        op = spec.op
        if len(spec.inputs) != 1 or len(spec.inputs[0].shape) != 4:
            return None
        if isinstance(op, (Conv2d, Pool2d)):
            kernel, strides, pads, dilations = op.kernel, op.strides, op.pads, op.dilations
        elif isinstance(op, PoolNd):
            kernel, strides, dilations = (_pair(sizes) for sizes in (op.kernel, op.strides, op.dilations))
            pads = (*_pair(op.begins), *_pair(op.ends))
        else:
            return None
        _, ci, ih, iw = spec.inputs[0].shape
        _, co, oh, ow = spec.output.shape
        return Geometry(
            ci, ih, iw, co, oh, ow, kernel, strides, pads, dilations, block_lines(ci), block_lines(co)
        )

    def within(self, output_lines: int | None) -> Geometry:
        """The same with the output's blocks so many lines apart; None: as they are."""
        return self if output_lines is None else replace(self, output_lines=output_lines)

    def of_group(self, groups: int) -> Geometry:
        """One of several groups of channels, whose lines lie among those of the others."""
        return replace(
            self,
            input_channels=self.input_channels // groups,
            output_channels=self.output_channels // groups,
        )

    @property
    def output_pixels(self) -> int:
        return self.output_rows * self.output_columns

    @property
    def output_blocks(self) -> int:
        return -(-self.output_pixels // LANES)

    @property
    def input_blocks(self) -> int:
        return -(-self.input_rows * self.input_columns // LANES)

    @property
    def input_block_bytes(self) -> int:
        """From one pixel16 block of the input to the next."""
        return self.input_lines * LINE_BYTES

    def output_line_bytes(self, block: int, channel: int) -> int:
        """Byte offset of a pixel16 output's line."""
        return (block * self.output_lines + channel) * LINE_BYTES

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    def origin_words(self) -> tuple[Uniform, ...]:
        """The uniforms of `pieces.window_origin`."""
        top, left, _, _ = self.pads
        return (1.0 / self.output_columns, self.output_columns, self.strides[0], top, self.strides[1], left)

    def tap_words(self, tap: int, block_bytes: int, channel_bytes: int) -> tuple[int, ...]:
        """The uniforms of `pieces.tap_address` for one tap, row-major in the window."""
        row, column = divmod(tap, self.kernel[1])
        return (
            row * self.dilations[0],
            self.input_rows - 1,
            column * self.dilations[1],
            self.input_columns - 1,
            self.input_columns,
            block_bytes,
            channel_bytes,
        )


def _pair(sizes: tuple[int, ...]) -> tuple[int, int]:
    height, width = sizes
    return height, width


def bounds(epilogue: Expression) -> tuple[float, ...]:
    """The uniforms of an epilogue: the ends of a clamp, open ones at the limits of float32; else none."""
    if not is_clamped(epilogue):
        return ()
    _, low, high = as_clamp(epilogue)
    return -UNBOUNDED if low is None else low, UNBOUNDED if high is None else high


def starts(total: int, step: int) -> tuple[int, ...]:
    """Where tiles of `step` start to cover `total`; the last is moved back so that none is partial."""
    if total % step == 0:
        return tuple(range(0, total, step))
    return (*range(0, total - step, step), total - step)


def tile_count(total: int, step: int) -> int:
    """How many `starts` there are."""
    return -(-total // step)


def busiest_share(counts: Sequence[int]) -> float:
    """The largest count over the mean: 1 for a perfect split, the number of QPUs when one does it all."""
    total = sum(counts)
    return max(counts) * len(counts) / total if total else 1.0


def dealt(total: int, qpus: int) -> list[int]:
    """How many of `total` tiles that are dealt out in turn each QPU gets."""
    return [len(range(first, total, qpus)) for first in range(qpus)]


def divisors(number: int) -> tuple[int, ...]:
    """All divisors, ascending."""
    return tuple(d for d in range(1, number + 1) if number % d == 0)
