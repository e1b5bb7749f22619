"""Convolutions of images of a few channels, which read the row-major input as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.convolution import Convolution
from codegen.engines.videocore4.algorithms.gemm import NEIGHBOURS, OTHER_PIXELS
from codegen.engines.videocore4.algorithms.geometry import Geometry, bounds, busiest_share, dealt
from codegen.engines.videocore4.algorithms.images import for_each_image, images_of, work_of_images
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.channel_lanes import CHANNELS, DMA_WORDS, VECTORS
from codegen.engines.videocore4.kernels.pieces import dma_store_rows, dma_store_stride
from codegen.engines.videocore4.kernels.planes import PIXELS, Row, planes_kernel, tile_words
from codegen.engines.videocore4.kernels.results import coded, epilogue_instructions
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANE_BYTES, LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, AxisNames, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray

MOST_CHANNELS = 4  # with more, their sums are worth a change of layout
_HEAD_WORDS = 2
_INSTRUCTIONS_OF_TILE = 60  # its start, and its store beside the results


@dataclass(frozen=True)
class _Tiles:
    """Tiles of 16 pixels of an output row by 32 channels, and the rows of inputs that each output row meets."""

    geometry: Geometry

    @property
    def row(self) -> Row:
        return Row(self.geometry.kernel[1], self.geometry.strides[1])

    @property
    def columns(self) -> int:
        """Tiles side by side."""
        return -(-self.geometry.output_columns // PIXELS)

    @property
    def channels(self) -> int:
        """Tiles of channels."""
        return -(-self.geometry.output_channels // CHANNELS)

    @property
    def count(self) -> int:
        return self.geometry.output_rows * self.columns * self.channels

    @property
    def pieces(self) -> int:
        """Parts of lines of the output that a tile's pixels lie in, at most."""
        return 1 if self.geometry.output_columns % LANES == 0 else 2

    @property
    def bank_bytes(self) -> int:
        """Of the weights of a row of the window."""
        return LINE_BYTES * VECTORS * self.geometry.kernel[1]

    @cached_property
    def rows(self) -> list[list[tuple[int, int]]]:
        """For each output row the (number of the window's row in all planes, bytes to the input's row) that it meets;
        where there is none, the row behind all, of weights that are 0.
        """
        g = self.geometry
        found = []
        for output in range(g.output_rows):
            first = output * g.strides[0] - g.pads[0]
            met = [
                (channel * g.kernel[0] + down, WORD_BYTES * g.input_columns * (channel * g.input_rows + y))
                for channel in range(g.input_channels)
                for down in range(g.kernel[0])
                if 0 <= (y := first + down * g.dilations[0]) < g.input_rows
            ]
            found.append(met or [(g.input_channels * g.kernel[0], 0)])
        return found

    def list_of(self, output: int) -> NDArray[np.uint32]:
        """The kernel's list of an output row."""
        rows = self.rows[output]
        words = []
        behind = 0
        for number, offset in (*rows, rows[-1]):
            words += [offset, self.bank_bytes * (number - behind)]
            behind = number + 1
        return np.array(words, np.int64).astype(np.uint32)

    def table(self) -> NDArray[np.uint32]:
        """For each tile side by side its lines of bytes from a row's start, -1 outside."""
        first = np.arange(self.columns) * PIXELS * self.row.stride - self.geometry.pads[1]
        x = first[:, None] + np.arange(self.row.lines * LANES)
        inside = (x >= 0) & (x < self.geometry.input_columns)
        return np.where(inside, WORD_BYTES * x, -1).astype(np.int32).view(np.uint32)

    def parts_of(self, y: int, column: int) -> list[range]:
        """The pixels of a tile's place by the line that they lie in."""
        g = self.geometry
        first = y * g.output_columns + column * PIXELS
        end = min(first + PIXELS, (y + 1) * g.output_columns)
        boundary = -(-(first + 1) // LANES) * LANES
        return [part for part in (range(first, min(boundary, end)), range(boundary, end)) if part]

    def stores(self, y: int, column: int, channel: int) -> list[Uniform]:
        """Set-ups and addresses of a tile's stores."""
        g = self.geometry
        parts = self.parts_of(y, column)
        words: list[Uniform] = []
        for vector in range(VECTORS):
            first = channel + LANES * vector
            rows = min(LANES, g.output_channels - first)
            own = parts if rows > 0 else []
            for part in own:
                block, lane = divmod(part[0], LANES)
                words += [
                    dma_store_rows(LANES * vector, rows, len(part), part[0] - parts[0][0]),
                    dma_store_stride(LINE_BYTES - LANE_BYTES * len(part)),
                    Address("output", g.output_line_bytes(block, first) + LANE_BYTES * lane),
                ]
            words += [0] * (DMA_WORDS * (self.pieces - len(own)))
        return words

    @cached_property
    def _parts(self) -> int:
        """Of all places."""
        g = self.geometry
        return sum(len(self.parts_of(y, x)) for y in range(g.output_rows) for x in range(self.columns))

    @property
    def stores_started(self) -> int:
        return self._parts * -(-self.geometry.output_channels // LANES)

    @property
    def vectors_stored(self) -> float:
        """Of 16 words, that take as long as the parts do: about half of a vector's time goes by its bytes."""
        g = self.geometry
        return g.output_channels * (self._parts + g.output_pixels / LANES) / 2


class QpuPlanes(AlgorithmBase):
    """Ungrouped convolution of up to 4 planes, row by row as the input has them, with 32 output channels on the lanes:
    every pixel meets all its taps from registers.

    Axes:
        neighbours: what the QPU of the next number computes at the same time: other channels of the same pixels, or
            other pixels of the same channels
    """

    name = "qpu_planes"
    engine: str = "videocore4"
    axis_names: ClassVar[AxisNames] = {"neighbours": NEIGHBOURS}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        found = Convolution.of(spec)
        if found is None or found.residual is not None or not target.has_qpus:
            return False
        op, geometry = found.op, found.geometry
        return (
            op.groups == 1
            and geometry.input_channels <= MOST_CHANNELS
            and geometry.taps > 1
            and geometry.dilations[1] == 1
            and _refusal(op, geometry) is None
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        return Space((Axis("neighbours", NEIGHBOURS, "split"),))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        found = Convolution.require(spec)
        _kernel(found.op, _Tiles(found.geometry))  # refuses what has no registers
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({"neighbours": point["neighbours"]}),
            tile=(),
            input_layouts=("nchw",),
            output_layouts=("pixel16",),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        found = Convolution.require(spec)
        geometry = found.geometry
        tiles = _Tiles(geometry)
        row, count = tiles.row, tiles.count
        rows = sum(map(len, tiles.rows)) * tiles.columns * tiles.channels
        results = count * VECTORS * PIXELS
        lines = row.lines + VECTORS * row.taps
        words = tile_words(tiles.pieces, bool(bounds(found.op.epilogue)))
        input_bytes = spec.inputs[0].size_bytes // images_of(spec)
        weight_bytes = sum(tensor.size_bytes for tensor in spec.weights)
        window_bytes = WORD_BYTES * geometry.input_columns * geometry.input_channels * geometry.kernel[0]
        work = Work(
            macs=float(spec.macs // images_of(spec)),
            alu_instructions=float(
                rows * row.instructions
                + count * _INSTRUCTIONS_OF_TILE
                + results * (3 + epilogue_instructions(found.op.epilogue))
            ),
            load_instructions=float(rows * lines + count * (lines + row.lines + VECTORS)),
            uniform_words=float(2 * (rows + count) + count * words),
            store_instructions=tiles.vectors_stored,
            dma_stores=float(tiles.stores_started),
            unique_bytes_read=float(input_bytes + weight_bytes),
            streamed_bytes_read=float(input_bytes * tiles.channels + weight_bytes),
            bytes_written=float(spec.output.size_bytes // images_of(spec)),
            balance=busiest_share(dealt(count, target.qpus)),
            working_set_bytes=float(window_bytes + weight_bytes),
        )
        return work_of_images(work, spec)

    def lower(
        self,
        spec: LayerSpec,
        target: Target,
        choice: Choice,
        weights: Sequence[FloatArray],
        *,
        output_lines: int | None = None,
    ) -> QpuLayer:
        found = Convolution.require(spec)
        op, geometry = found.op, found.geometry.within(output_lines)
        tiles, clamp = _Tiles(geometry), bounds(op.epilogue)
        lists = [tiles.list_of(output) for output in range(geometry.output_rows)]
        parts = [tiles.table().reshape(-1), _biases(weights[1], tiles), _banks(weights[0], tiles), *lists]
        starts = np.cumsum([0, *(part.nbytes for part in parts)])
        table, biases, banks, *list_starts = (int(start) for start in starts[:-1])
        bank = parts[2].nbytes // tiles.channels

        def words_of(y: int, column: int, number: int) -> list[Uniform]:
            first = biases + LINE_BYTES * VECTORS * number
            return [
                Address("weights", table + LINE_BYTES * tiles.row.lines * column),
                *(Address("weights", first + LINE_BYTES * vector) for vector in range(VECTORS)),
                Address("weights", banks + bank * number),
                Address("input"),
                Address("weights", list_starts[y]),
                len(tiles.rows[y]),
                *clamp,
                *tiles.stores(y, column, CHANNELS * number),
            ]

        places = [(y, column) for y in range(geometry.output_rows) for column in range(tiles.columns)]
        if choice.splits["neighbours"] == OTHER_PIXELS:
            order = [(*place, number) for number in range(tiles.channels) for place in places]
        else:
            order = [(*place, number) for place in places for number in range(tiles.channels)]
        blocks: list[tuple[Uniform, ...] | None] = []
        for q in range(target.qpus):
            own = order[q :: target.qpus]
            words = [word for tile in own for word in words_of(*tile)]
            if len(words) != len(own) * tile_words(tiles.pieces, bool(clamp)):
                raise ScheduleError(f"{self.name}: a tile's words do not match what the kernel reads")
            head = (Address("block", WORD_BYTES * _HEAD_WORDS), len(own))
            blocks.append((*head, *words) if own else None)
        layer = QpuLayer(_kernel(op, tiles).words, np.concatenate(parts), tuple(blocks))
        return for_each_image(layer, spec, choice, output_lines)

    def order_of_sums(self, spec: LayerSpec, choice: Choice) -> NDArray[np.intp]:
        """Channel by channel, row by row of the window."""
        geometry = Convolution.require(spec).geometry
        shape = geometry.input_channels, *geometry.kernel
        return np.arange(geometry.input_channels * geometry.taps).reshape(shape)


def _kernel(op: Conv2d, tiles: _Tiles) -> Assembler:
    """Raises ScheduleError where registers lack."""
    return planes_kernel(tiles.row.taps, tiles.row.stride, tiles.pieces, coded(op.epilogue))


def _refusal(op: Conv2d, geometry: Geometry) -> str | None:
    """Why there is no kernel; None where there is one."""
    try:
        _kernel(op, _Tiles(geometry))
    except ScheduleError as error:
        return str(error)
    return None


def _biases(bias: FloatArray, tiles: _Tiles) -> NDArray[np.uint32]:
    return float_words(np.pad(bias, (0, tiles.channels * CHANNELS - len(bias))))


def _banks(kernel: FloatArray, tiles: _Tiles) -> NDArray[np.uint32]:
    """[tile of channels][row of the window, of all planes][tap, by turns][vector][lane], and a row of zeros behind
    each.
    """
    outputs, inputs, down, right = kernel.shape
    padded = np.zeros((tiles.channels * CHANNELS, inputs * down + 1, right), np.float32)
    padded[:outputs, :-1] = kernel.reshape(outputs, -1, right)
    order = [tap for taps in tiles.row.turns for tap in taps]
    by_tile = padded[:, :, order].reshape(tiles.channels, VECTORS, LANES, -1, right)
    return float_words(by_tile.transpose(0, 3, 4, 1, 2))
