"""Where the pixels and blocks of a convolution's tensors lie, and how a row of outputs is cut into tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from codegen.graph import Conv2d, LayerSpec, Pool2d


@dataclass(frozen=True)
class Image:
    """One picture in memory, in elements: `pixel` to the next pixel of a row, `row` to the next row, `channel` to
    the next channel of a block of `lanes` of them, `block` to the next block.
    """

    lanes: int
    pixel: int
    channel: int
    row: int
    block: int

    @staticmethod
    def blocked(lanes: int, rows: int, width: int) -> Image:
        """Channel-blocked: `rows` of `width` pixels per block."""
        return Image(lanes, lanes, 1, width * lanes, rows * width * lanes)

    @staticmethod
    def row_major(channels: int, height: int, width: int) -> Image:
        """As ONNX has it: one block of all channels."""
        return Image(channels, 1, height * width, width, channels * height * width)


@dataclass(frozen=True)
class Window:
    """A sliding window along one axis: `taps` elements, `dilation` apart, from `stride * output - pad` on."""

    inputs: int
    outputs: int
    taps: int
    stride: int
    pad: int
    dilation: int

    def clipped(self, output: int) -> tuple[int, int]:
        """The taps [first, end) of an output that lie inside the input."""
        start = output * self.stride - self.pad
        inside = [tap for tap in range(self.taps) if 0 <= start + tap * self.dilation < self.inputs]
        return (inside[0], inside[-1] + 1) if inside else (0, 0)

    @property
    def is_clipped(self) -> bool:
        """Whether some output lacks taps; only the first and last outputs can."""
        whole = (0, self.taps)
        return any(self.clipped(output) != whole for output in range(self.outputs))

    def needs(self, first: int, end: int) -> tuple[int, int]:
        """The inputs [first, end) that outputs [first, end) read, none outside the input."""
        low = first * self.stride - self.pad
        high = (end - 1) * self.stride - self.pad + (self.taps - 1) * self.dilation + 1
        return max(0, min(low, self.inputs)), max(0, min(high, self.inputs))


@dataclass(frozen=True)
class Windows:
    """The windows of a layer down the columns and along the rows."""

    rows: Window
    columns: Window

    @staticmethod
    def of(spec: LayerSpec) -> Windows:
        """Those of a convolution or pooling layer."""
        op = spec.op
        if not isinstance(op, (Conv2d, Pool2d)):
            raise TypeError(f"{type(op).__name__} has no window")
        axes = (
            Window(
                spec.inputs[0].shape[2 + axis],
                spec.output.shape[2 + axis],
                op.kernel[axis],
                op.strides[axis],
                op.pads[axis],
                op.dilations[axis],
            )
            for axis in (0, 1)
        )
        return Windows(*axes)

    @property
    def is_pointwise(self) -> bool:
        """Whether every output reads the one input at its own place."""
        return all(
            w.taps == 1 and w.stride == 1 and w.pad == 0 and w.inputs == w.outputs
            for w in (self.rows, self.columns)
        )

    @property
    def flattened(self) -> Windows:
        """Of a pointwise layer: the whole plane as one row."""
        pixels = self.rows.outputs * self.columns.outputs
        return Windows(
            replace(self.rows, inputs=1, outputs=1), replace(self.columns, inputs=pixels, outputs=pixels)
        )


@dataclass(frozen=True)
class Tile:
    """`pixels` neighbouring outputs of a row from `first` on; of each the taps [first, end) that lie inside."""

    first: int
    taps: tuple[tuple[int, int], ...]

    @staticmethod
    def of(columns: Window, first: int, end: int) -> Tile:
        """The outputs [first, end) of a row."""
        return Tile(first, tuple(columns.clipped(output) for output in range(first, end)))

    @property
    def pixels(self) -> int:
        return len(self.taps)


def row_tiles(columns: Window, most: int) -> tuple[Tile, ...]:
    """A row cut into as few tiles of at most `most` pixels as there can be, as even as there can be."""
    count = -(-columns.outputs // most)
    edges = [columns.outputs * i // count for i in range(count + 1)]
    return tuple(Tile.of(columns, first, end) for first, end in pairwise(edges))
