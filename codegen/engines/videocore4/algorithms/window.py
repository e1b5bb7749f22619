"""Depthwise convolution and pooling, computed directly: a lane gathers the taps of its own window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.geometry import Geometry, bounds, busiest_share, dealt, starts
from codegen.engines.videocore4.algorithms.images import for_each_image, work_of_images
from codegen.engines.videocore4.kernels.results import coded, epilogue_instructions
from codegen.engines.videocore4.kernels.window import LOWEST, MAXIMUM_TAPS, Window, tile_words, window_kernel
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.expression import RESULT, Expression
from codegen.graph import LayerSpec
from codegen.operator import Epilogued
from codegen.operators.conv2d import Conv2d
from codegen.operators.pool2d import Pool2d
from codegen.operators.pool_nd import PoolNd
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray

_BLOCK_HEAD_WORDS = 4


class QpuWindow(AlgorithmBase):
    """What depthwise convolution and pooling share.

    Axes:
        channel_chunk: channels of a block of pixels that one QPU computes
        rows: channels of 16 pixels each that are stored at a time
    """

    name: str
    engine: str = "videocore4"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        geometry = Geometry.of(spec)
        return (
            geometry is not None
            and target.has_qpus
            and self._window(spec) is not None
            and 2 <= geometry.taps <= MAXIMUM_TAPS
            and geometry.output_channels >= 4
        )

    def _window(self, spec: LayerSpec) -> Window | None:
        """The kind of window, None where this algorithm does not compute the layer."""
        raise NotImplementedError

    def space(self, spec: LayerSpec, target: Target) -> Space:
        geometry, _ = self._checked(spec)
        channels = geometry.output_channels
        chunks = {min(c, channels // 4 * 4) for c in (4, 8, 16, 32, 64, 128, 256, 512)}
        return Space(
            (
                Axis("channel_chunk", tuple(sorted(chunks)), "split"),
                Axis("rows", tuple(rows for rows in (4, 8, 16) if rows <= channels)),
            )
        )

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        geometry, window = self._checked(spec)
        rows, chunk = point["rows"], point["channel_chunk"]
        if chunk % rows:
            raise ScheduleError(f"{self.name}: {rows} rows do not divide a chunk of {chunk} channels")
        window_kernel(
            window, geometry.kernel, rows, coded(window_epilogue(spec))
        )  # refuses what has no registers
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({"channel_chunk": chunk}),
            tile=values({"rows": rows}),
            input_layouts=("pixel16",),
            output_layouts=("pixel16",),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        geometry, window = self._checked(spec)
        chunk, rows = choice.splits["channel_chunk"], choice.tiles["rows"]
        epilogue = window_epilogue(spec)
        per_output = 2.1 * geometry.taps + 4 + epilogue_instructions(epilogue)
        count = geometry.output_blocks * len(starts(geometry.output_channels, chunk))
        outputs = count * chunk
        input_bytes = WORD_BYTES * geometry.input_channels * geometry.input_rows * geometry.input_columns
        lines_bytes = LINE_BYTES * geometry.input_channels * geometry.input_blocks
        work = Work(
            macs=float(geometry.output_pixels * geometry.output_channels * geometry.taps),
            alu_instructions=outputs * per_output + count * (20.0 * geometry.taps + 30),
            load_instructions=float(outputs * geometry.taps),
            uniform_words=float(
                outputs * (geometry.taps + 1) * (window == "depthwise")
                + count * tile_words(window, geometry.taps, bool(bounds(epilogue)))
            ),
            store_instructions=float(outputs),
            dma_stores=outputs / rows,
            unique_bytes_read=float(input_bytes + sum(tensor.size_bytes for tensor in spec.weights)),
            streamed_bytes_read=lines_bytes * _times_read(geometry, chunk, target),
            bytes_written=float(outputs * LINE_BYTES),
            balance=busiest_share(dealt(count, target.qpus)),
            working_set_bytes=float(geometry.taps * 2 * LINE_BYTES * target.qpus),
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
        geometry, window = self._checked(spec)
        geometry = geometry.within(output_lines)
        chunk, rows = choice.splits["channel_chunk"], choice.tiles["rows"]
        epilogue = window_epilogue(spec)
        code = window_kernel(window, geometry.kernel, rows, coded(epilogue)).words
        packed = self._pack(spec, geometry, window, weights)
        blocks = tuple(
            self._block(geometry, window, tiles, chunk, rows, bounds(epilogue))
            for tiles in self._tiles(geometry, target, chunk)
        )
        return for_each_image(QpuLayer(code, packed, blocks), spec, choice, output_lines)

    def _checked(self, spec: LayerSpec) -> tuple[Geometry, Window]:
        geometry, window = Geometry.of(spec), self._window(spec)
        if geometry is None or window is None:
            raise ScheduleError(f"{self.name} does not compute {spec.op}")
        return geometry, window

    @staticmethod
    def _tiles(geometry: Geometry, target: Target, chunk: int) -> list[list[tuple[int, int]]]:
        """[qpu][n] = (block, first channel), dealt round: neighbours in time share input lines in L2."""
        tiles = [
            (block, channel)
            for channel in starts(geometry.output_channels, chunk)
            for block in range(geometry.output_blocks)
        ]
        return [tiles[q :: target.qpus] for q in range(target.qpus)]

    @staticmethod
    def _pack(
        spec: LayerSpec, geometry: Geometry, window: Window, weights: Sequence[FloatArray]
    ) -> NDArray[np.uint32]:
        """The line that outside lanes read, then the divisors' lines, or each channel's bias and taps."""
        outside = np.full(LANES, LOWEST if window == "max" else 0.0, np.float32)
        rest = np.zeros(0, np.float32)
        if window == "average":
            rest = inverse_divisors(spec, geometry)
        elif window == "depthwise":
            taps = weights[0].reshape(geometry.output_channels, geometry.taps)
            rest = np.concatenate([weights[1][:, None], taps], axis=1).astype(np.float32).reshape(-1)
        return np.concatenate([outside, rest]).view(np.uint32)

    @staticmethod
    def _block(
        geometry: Geometry,
        window: Window,
        tiles: Sequence[tuple[int, int]],
        chunk: int,
        rows: int,
        clamp: tuple[float, ...],
    ) -> tuple[Uniform, ...] | None:
        if not tiles:
            return None
        words: list[Uniform] = [
            Address("block", WORD_BYTES * _BLOCK_HEAD_WORDS),
            len(tiles),
            Address("input"),
            Address("weights"),
        ]
        block_bytes = geometry.input_block_bytes
        taps = [w for t in range(geometry.taps) for w in geometry.tap_words(t, block_bytes, LINE_BYTES)]
        for block, channel in tiles:
            words += [block * LANES, *geometry.origin_words(), channel * LINE_BYTES, *taps, chunk // rows]
            words.append(Address("output", geometry.output_line_bytes(block, channel)))
            words += clamp
            if window == "average":
                words.append(Address("weights", LINE_BYTES * (1 + block)))
            elif window == "depthwise":
                words.append(Address("weights", LINE_BYTES + WORD_BYTES * channel * (geometry.taps + 1)))
        if len(words) != _BLOCK_HEAD_WORDS + len(tiles) * tile_words(window, geometry.taps, bool(clamp)):
            raise ScheduleError("the block's words do not match what the window kernel reads")
        return tuple(words)


def _times_read(geometry: Geometry, chunk: int, target: Target) -> float:
    """How often input lines come from memory. The QPUs' blocks lie beside each other: the rows of input that they share
    with those that come next are read again, unless a chunk of all of them stays in L2 until then.
    """
    rows = min(target.qpus * LANES / geometry.output_columns, geometry.output_rows)
    shared = max(0, (geometry.kernel[0] - 1) * geometry.dilations[0] + 1 - geometry.strides[0])
    if rows == geometry.output_rows or not shared:
        return 1.0
    input_rows = rows * geometry.strides[0]
    lines = (input_rows + shared) * geometry.input_columns / LANES
    return 1.0 + shared / input_rows * (chunk * lines * LINE_BYTES > target.l2_bytes)


class QpuDepthwise(QpuWindow):
    """Depthwise convolution with one output channel for each input channel."""

    name = "qpu_depthwise"

    def _window(self, spec: LayerSpec) -> Window | None:
        return depthwise_window(spec)


class QpuPool(QpuWindow):
    """Maximum and average pooling over windows of 2 to 16 elements."""

    name = "qpu_pool"

    def _window(self, spec: LayerSpec) -> Window | None:
        return pool_window(spec)


def depthwise_window(spec: LayerSpec) -> Window | None:
    """The kind of window of a depthwise convolution; None where the layer is none."""
    op = spec.op
    if not isinstance(op, Conv2d) or len(spec.inputs[0].shape) != 4:
        return None
    channels = spec.inputs[0].shape[1]
    return "depthwise" if op.groups == channels == spec.output.shape[1] else None


def pool_window(spec: LayerSpec) -> Window | None:
    """The kind of window of a pool; None where the layer is none, or has windows that hold no element."""
    op, geometry = spec.op, Geometry.of(spec)
    if not isinstance(op, (Pool2d, PoolNd)) or geometry is None:
        return None
    if isinstance(op, PoolNd) and (op.places or min(map(np.min, _elements(geometry))) < 1):
        return None
    kinds: dict[str, Window] = {"max": "max", "average": "average"}
    return kinds.get(op.kind)


def window_epilogue(spec: LayerSpec) -> Expression:
    """What a windowed layer's results go through."""
    return spec.op.epilogue if isinstance(spec.op, Epilogued) else RESULT


def inverse_divisors(spec: LayerSpec, geometry: Geometry) -> FloatArray:
    """1 / divisor of every output pixel, a line for each block; the last line is filled up with 1."""
    op = spec.op
    counts = np.outer(*_elements(geometry)).reshape(-1)
    if isinstance(op, Pool2d) and op.include_padding:
        counts = np.full_like(counts, geometry.taps)
    if isinstance(op, PoolNd) and op.counts_pads:
        counts = np.outer(*_elements(geometry, padded=True)).reshape(-1)
    lines = np.ones(geometry.output_blocks * LANES, np.float32)
    lines[: len(counts)] = (1.0 / np.maximum(counts, 1)).astype(np.float32)
    return lines


def _elements(geometry: Geometry, *, padded: bool = False) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many of a window's taps lie inside the input, or the padded input, by output row and by output column."""
    g = geometry
    sizes, outputs = (g.input_rows, g.input_columns), (g.output_rows, g.output_columns)

    def of_axis(axis: int) -> NDArray[np.int64]:
        first = np.arange(outputs[axis])[:, None] * g.strides[axis] - g.pads[axis]
        positions = first + np.arange(g.kernel[axis]) * g.dilations[axis]
        before, behind = (g.pads[axis], g.pads[axis + 2]) if padded else (0, 0)
        hits = (positions >= -before) & (positions < sizes[axis] + behind)
        counts: NDArray[np.int64] = np.sum(hits, axis=1, dtype=np.int64)
        return counts

    return of_axis(0), of_axis(1)
