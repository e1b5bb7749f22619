"""Depthwise convolution and pooling over windows of any size: one row of the window's taps at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.geometry import Geometry, bounds, busiest_share, dealt, starts
from codegen.engines.videocore4.algorithms.images import for_each_image, work_of_images
from codegen.engines.videocore4.algorithms.window import (
    depthwise_window,
    inverse_divisors,
    pool_window,
    window_epilogue,
)
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.kernels.results import coded, epilogue_instructions
from codegen.engines.videocore4.kernels.window import LOWEST, Window
from codegen.engines.videocore4.kernels.window_rows import (
    ABSENT,
    HEAD_WORDS,
    tile_words,
    turns,
    window_rows_kernel,
)
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray

MOST_COLUMNS = 12  # of a part: their columns and addresses leave registers for the results of four channels
CHANNELS = (1, 2, 4, 8, 16)


def parts_of(columns: int) -> tuple[range, ...]:
    """A window's row in parts of equal width; the last may end beyond the window."""
    count = -(-columns // MOST_COLUMNS)
    width = -(-columns // count)
    return tuple(range(first, first + width) for first in range(0, columns, width))


class QpuWindowRows(AlgorithmBase):
    """What depthwise convolution and pooling share.

    Axes:
        channels: channels of a block of 16 pixels that are computed at a time
    """

    name: str
    engine: str = "videocore4"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return target.has_qpus and Geometry.of(spec) is not None and self._window(spec) is not None

    def _window(self, spec: LayerSpec) -> Window | None:
        """The kind of window, None where this algorithm does not compute the layer."""
        raise NotImplementedError

    def space(self, spec: LayerSpec, target: Target) -> Space:
        geometry, _ = self._checked(spec)
        fitting = [c for c in CHANNELS if c <= geometry.output_channels]
        return Space((Axis("channels", tuple(fitting[-3:])),))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        geometry, window = self._checked(spec)
        columns = len(parts_of(geometry.kernel[1])[0])
        # Refuses what has no registers.
        window_rows_kernel(window, columns, point["channels"], coded(window_epilogue(spec)))
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({}),
            tile=values({"channels": point["channels"]}),
            input_layouts=("pixel16",),
            output_layouts=("pixel16",),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        geometry, window = self._checked(spec)
        channels = choice.tiles["channels"]
        epilogue = window_epilogue(spec)
        parts = parts_of(geometry.kernel[1])
        columns, rows = len(parts) * len(parts[0]), geometry.kernel[0]
        taps = columns * rows
        count = geometry.output_blocks * len(starts(geometry.output_channels, channels))
        outputs = count * channels
        input_bytes = WORD_BYTES * geometry.input_channels * geometry.input_rows * geometry.input_columns
        per_tile = 60.0 + 6 * columns + 7 * taps + 12 * rows * len(parts)
        per_output = 2.1 * taps + 3 + epilogue_instructions(epilogue)
        fixed_words = tile_words(window, bool(bounds(epilogue))) + columns + 2
        work = Work(
            macs=float(geometry.output_pixels * geometry.output_channels * geometry.taps),
            alu_instructions=count * per_tile + outputs * per_output,
            load_instructions=float(outputs * taps),
            uniform_words=float(outputs * (taps + 1) * (window == "depthwise") + count * fixed_words),
            store_instructions=float(outputs),
            dma_stores=float(count),
            unique_bytes_read=float(input_bytes + sum(tensor.size_bytes for tensor in spec.weights)),
            streamed_bytes_read=float(input_bytes),
            bytes_written=float(outputs * LINE_BYTES),
            balance=busiest_share(dealt(count, target.qpus)),
            working_set_bytes=float(rows * channels * 2 * LINE_BYTES * target.qpus),
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
        channels = choice.tiles["channels"]
        epilogue = window_epilogue(spec)
        parts = parts_of(geometry.kernel[1])
        code = window_rows_kernel(window, len(parts[0]), channels, coded(epilogue)).words
        outside = np.full(channels * LANES, LOWEST if window == "max" else 0.0, np.float32).view(np.uint32)
        divisors = inverse_divisors(spec, geometry) if window == "average" else np.zeros(0, np.float32)
        firsts = starts(geometry.output_channels, channels)
        groups = firsts if window == "depthwise" else firsts[:1]
        streams = [_stream(geometry, parts, range(c, c + channels), weights) for c in groups]
        divisors_start = WORD_BYTES * len(outside)
        streams_start = divisors_start + WORD_BYTES * len(divisors)
        stream_bytes = WORD_BYTES * len(streams[0])
        clamp = bounds(epilogue)

        def words_of(block: int, number: int) -> list[Uniform]:
            channel = firsts[number]
            words: list[Uniform] = [block * LANES, *geometry.origin_words(), channel * LINE_BYTES]
            words += [Address("output", geometry.output_line_bytes(block, channel)), *clamp]
            if window == "average":
                words.append(Address("weights", divisors_start + LINE_BYTES * block))
            own = number if window == "depthwise" else 0
            words.append(Address("weights", streams_start + stream_bytes * own))
            return words

        tiles = [(block, n) for n in range(len(firsts)) for block in range(geometry.output_blocks)]
        per_tile = tile_words(window, bool(clamp))
        blocks = []
        for q in range(target.qpus):
            own = tiles[q :: target.qpus]
            words = [word for tile in own for word in words_of(*tile)]
            if len(words) != per_tile * len(own):
                raise ScheduleError(f"{self.name}: a tile's words do not match what the kernel reads")
            blocks.append((*self._head(geometry, len(own)), *words) if own else None)
        packed = np.concatenate([outside, divisors.view(np.uint32), *streams])
        return for_each_image(QpuLayer(code, packed, tuple(blocks)), spec, choice, output_lines)

    @staticmethod
    def _head(geometry: Geometry, tiles: int) -> tuple[Uniform, ...]:
        return (
            Address("block", WORD_BYTES * HEAD_WORDS),
            tiles,
            Address("input"),
            Address("weights"),
            geometry.input_columns,
            geometry.input_rows,
            geometry.input_block_bytes - LINE_BYTES,
            geometry.dilations[0],
        )

    def _checked(self, spec: LayerSpec) -> tuple[Geometry, Window]:
        geometry, window = Geometry.of(spec), self._window(spec)
        if geometry is None or window is None:
            raise ScheduleError(f"{self.name} does not compute {spec.op}")
        return geometry, window


class QpuDepthwiseRows(QpuWindowRows):
    """Depthwise convolution with windows of any size."""

    name = "qpu_depthwise_rows"

    def _window(self, spec: LayerSpec) -> Window | None:
        return depthwise_window(spec)


class QpuPoolRows(QpuWindowRows):
    """Maximum and average pooling over windows of any size."""

    name = "qpu_pool_rows"

    def _window(self, spec: LayerSpec) -> Window | None:
        return pool_window(spec)


def _stream(
    geometry: Geometry, parts: Sequence[range], channels: range, weights: Sequence[FloatArray]
) -> NDArray[np.uint32]:
    """What the kernel reads from its stream for some channels; without weights, what all channels share."""
    columns = geometry.kernel[1]
    order = turns(len(channels), len(parts[0]))
    words: list[NDArray[np.uint32]] = []
    if weights:
        words.append(float_words(weights[1][channels.start : channels.stop]))
    words.append(np.array([len(parts)], np.uint32))
    for part in parts:
        offsets = [tap * geometry.dilations[1] if tap < columns else ABSENT for tap in part]
        words.append(np.array([*offsets, geometry.kernel[0]], np.uint32))
        if weights:
            padded = np.zeros((len(channels), geometry.kernel[0], len(part)), np.float32)
            present = weights[0][channels.start : channels.stop, 0, :, part.start : part.stop]
            padded[..., : present.shape[-1]] = present
            of_channel, of_tap = np.array(order).T
            words.append(float_words(padded[of_channel, :, of_tap].T))
    return np.concatenate(words)
