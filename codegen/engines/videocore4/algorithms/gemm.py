"""Convolutions as GEMM: pointwise with weights kept or streamed, and implicit GEMM for every other window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.convolution import Convolution
from codegen.engines.videocore4.algorithms.geometry import (
    Geometry,
    bounds,
    busiest_share,
    dealt,
    divisors,
    starts,
    tile_count,
)
from codegen.engines.videocore4.algorithms.images import (
    for_each_image,
    images_of,
    layer_in_rounds,
    work_of_images,
)
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.gemm import gemm_kernel
from codegen.engines.videocore4.kernels.pieces import TAP_WORDS
from codegen.engines.videocore4.kernels.relayed import BLOCKS, relayed_kernel
from codegen.engines.videocore4.kernels.results import adds_residual, coded, epilogue_instructions
from codegen.engines.videocore4.kernels.tile import words_after_weights, words_before_weights
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.expression import Expression
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, AxisNames, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray

INPUT_LAYOUTS = "pixel16", "nchw"
# What neighbouring QPUs, which share caches, differ in.
OTHER_CHANNELS, OTHER_PIXELS = NEIGHBOURS = "channels", "pixels"
MINIMUM_CHANNELS = 2  # the kernel's last two channels stand outside its loop
LAYERS = 512  # of which is kept what all points of a space ask for


@dataclass(frozen=True)
class Tiling:
    """A choice's tiles: which QPU computes which blocks and channels, in which order."""

    blocks: int
    channels: int
    block_starts: tuple[int, ...]
    channel_starts: tuple[int, ...]
    assignment: tuple[tuple[tuple[int, int], ...], ...]  # [qpu][n] = (index of block start, of channel start)
    depth: int  # input channels that are gone through before the window's next tap


@dataclass(frozen=True, eq=False)
class Packed:
    """Weights behind a line of zeros. `places`: by group and tile of channels, the words that say where they lie."""

    words: NDArray[np.uint32]
    places: Sequence[Sequence[Sequence[Address]]]

    @staticmethod
    def of_streams(groups: Sequence[Sequence[NDArray[np.uint32]]]) -> Packed:
        """Each tile's weights are one stream."""
        outside = np.zeros(LANES, np.uint32)
        streams = [stream for group in groups for stream in group]
        offsets = np.cumsum([len(outside), *(len(s) for s in streams)])[:-1] * WORD_BYTES
        by_group = offsets.reshape(len(groups), -1).tolist()
        places = [[(Address("weights", offset),) for offset in group] for group in by_group]
        return Packed(np.concatenate([outside, *streams]), places)


@dataclass(frozen=True)
class _Residual:
    """The input that is added to the result, which has blocks as the result has them when it is no part of a whole."""

    index: int
    geometry: Geometry

    def line(self, block: int, channel: int) -> Address:
        return Address("input", self.geometry.output_line_bytes(block, channel), self.index)


class GemmConvolution(AlgorithmBase):
    """What the algorithms share; a subclass says which layers it takes and which tiles it offers.

    Groups of channels are rounds of one kernel.

    Axes:
        pixel_tiles: tiles of pixels that QPUs compute at the same time; they share the channels among them
        blocks: blocks of 16 pixels of a tile
        channels: output channels of a tile
    """

    name: str
    engine: str = "videocore4"
    takes_residuals = True
    axis_names: ClassVar[AxisNames] = {"input_layout": INPUT_LAYOUTS, "neighbours": NEIGHBOURS}
    gather: bool
    block_values: tuple[int, ...]
    channel_values: tuple[int, ...]
    neighbours: tuple[str, ...] = (OTHER_CHANNELS,)
    depths: tuple[int, ...] = ()  # besides all input channels

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        found = Convolution.of(spec)
        if found is None or not target.has_qpus:
            return False
        geometry, groups = found.geometry, found.op.groups
        return (
            geometry.input_channels >= MINIMUM_CHANNELS * groups
            and geometry.output_channels >= self._fewest_channels * groups
            and self._takes(geometry)
        )

    @property
    def _fewest_channels(self) -> int:
        """Of the output: a smaller group has a tile of its own width where this is less than every tile offered."""
        return min(self.channel_values)

    def _takes(self, geometry: Geometry) -> bool:
        raise NotImplementedError

    def _kernel(self, blocks: int, channels: int, input_channels: int, epilogue: Expression) -> Assembler:
        residual = adds_residual(epilogue)
        return gemm_kernel(blocks, channels, self.gather, coded(epilogue), residual=residual)

    def _weights(
        self,
        banks: Sequence[Sequence[FloatArray]],
        tiling: Tiling,
        taps: Sequence[tuple[int, ...]],
    ) -> Packed:
        """Of each group's kernels and biases."""
        return Packed.of_streams([streams(bank, tiling, taps, self.gather) for bank in banks])

    def _first_line(self, input_channels: int) -> int:
        """Bytes that the address which a tile has of a line lies behind the line of its first input channel."""
        return 0

    def _instructions(self, blocks: int, channels: int) -> float:
        """Of one input channel in the inner loop."""
        if blocks == 1:
            return channels + 4.0
        return channels * (blocks + 0.5) + 1.5 * blocks + 3

    def _hiding_instructions(self, channels: int) -> float:
        """Between the request for a line of uniforms and its first use, where the kernel is made for that."""
        return 0.0

    def _reads(self, blocks: int, channels: int) -> tuple[int, float]:
        """Uniforms and lines of an input channel in the inner loop."""
        return channels, float(blocks)

    def space(self, spec: LayerSpec, target: Target) -> Space:
        _, geometry = group_of(spec)
        fitting = tuple(c for c in self.channel_values if c <= geometry.output_channels)
        blocks = tuple(b for b in self.block_values if b <= geometry.output_blocks)
        axes = [
            Axis("pixel_tiles", divisors(target.qpus), "split"),
            Axis("blocks", blocks),
            Axis("channels", fitting or (geometry.output_channels,)),
        ]
        if len(self.neighbours) > 1:
            axes.append(Axis("neighbours", self.neighbours, "split"))
        if self.depths:
            every = geometry.input_channels
            parts = (d for d in self.depths if geometry.taps > 1 and d < every and every % d == 0)
            axes.append(Axis("depth", (*parts, every)))
        if self.gather:
            axes.append(Axis("input_layout", INPUT_LAYOUTS))
        return Space(tuple(axes))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        op, geometry = group_of(spec)
        residual = Convolution.require(spec).residual
        layout = point.get("input_layout", "pixel16")
        if residual == 0 and layout != "pixel16":
            raise ScheduleError(
                f"{self.name} adds its input to the result, which is pixel16, and not {layout}"
            )
        blocks, channels = point["blocks"], point["channels"]
        depth = point.get("depth", geometry.input_channels)
        refusal = _refusal(self, blocks, channels, depth, op.epilogue)
        if refusal is not None:
            raise ScheduleError(refusal)
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({axis: point[axis] for axis in ("pixel_tiles", "neighbours") if axis in point}),
            tile=values({axis: point[axis] for axis in ("blocks", "channels", "depth") if axis in point}),
            input_layouts=(layout, *("pixel16",) * (len(spec.inputs) - 1)),
            output_layouts=("pixel16",),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        op, geometry = group_of(spec)
        residual_lines = 0.0 if Convolution.require(spec).residual is None else 1.0
        p, j = choice.tiles["blocks"], choice.tiles["channels"]
        rows, all_columns = tile_count(geometry.output_blocks, p), tile_count(geometry.output_channels, j)
        tiles = rows * all_columns * op.groups
        depth = geometry.taps * geometry.input_channels
        words, lines = self._reads(p, j)
        inner = self._instructions(p, j)
        per_tap = 25 * p + 20 if self.gather else 20
        passes = depth // choice.tiles.get("depth", geometry.input_channels)
        results = p * j * (2 + epilogue_instructions(op.epilogue))
        per_tile = depth * inner + passes * per_tap + j + results + 60
        # What the QPUs' tiles of one round share is fetched once; a tap's lines mostly serve the next tap too.
        together, columns = at_a_time(target.qpus, choice, rows, all_columns)
        round_lines = together * geometry.input_channels * p * LINE_BYTES
        round_weights = WORD_BYTES * columns * depth * (words + LANES * (lines - p))
        weight_bytes = sum(tensor.size_bytes for tensor in spec.weights)
        input_bytes = sum(tensor.size_bytes for tensor in spec.inputs) // images_of(spec)
        residual_lines *= tiles * p * j
        work = Work(
            macs=float(spec.macs // images_of(spec)),
            alu_instructions=tiles * per_tile,
            load_instructions=tiles * depth * lines + residual_lines,
            uniform_words=float(tiles * (depth * words + j + passes * p * TAP_WORDS)),
            hiding_instructions=self._hiding_instructions(j),
            store_instructions=float(tiles * p * j),
            dma_stores=float(tiles * p),
            unique_bytes_read=float(weight_bytes + input_bytes),
            streamed_bytes_read=tiles / (together * columns) * (round_lines + round_weights)
            + residual_lines * LINE_BYTES,
            bytes_written=float(tiles * p * j * LINE_BYTES),
            balance=busiest_share(dealt(tiles, target.qpus)),
            working_set_bytes=float(round_lines + round_weights),
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
        op, whole = group_of(spec)
        geometry = whole.within(output_lines)
        residual = Convolution.require(spec).residual
        tiling = _tiling(geometry, target, choice)
        if self.gather:
            steps = input_steps(geometry, choice)
            taps = [geometry.tap_words(t, *steps) * tiling.blocks for t in range(geometry.taps)]
        else:
            taps = [()]
        banks = list(zip(*(np.split(w, op.groups) for w in weights[:2]), strict=True))
        packed = self._weights(banks, tiling, taps)
        channel_bytes = input_steps(geometry, choice)[1]
        clamp = bounds(op.epilogue)
        added = None if residual is None else _Residual(residual, whole)
        rounds = [
            [
                self._block(geometry, tiling, tiles, group, packed.places[group], channel_bytes, clamp, added)
                for tiles in tiling.assignment
            ]
            for group in range(op.groups)
        ]
        code = self._kernel(tiling.blocks, tiling.channels, tiling.depth, op.epilogue).words
        return for_each_image(layer_in_rounds(code, packed.words, rounds), spec, choice, output_lines)

    def order_of_sums(self, spec: LayerSpec, choice: Choice) -> NDArray[np.intp]:
        """All channels of a depth for each tap, then those of the next."""
        geometry = group_of(spec)[1]
        channels, taps = geometry.input_channels, geometry.taps
        depth = choice.tiles.get("depth", channels)
        places = np.arange(channels * taps).reshape(channels // depth, taps, depth)
        return places.swapaxes(1, 2).reshape(channels, *spec.weights[0].shape[2:])

    def _block(
        self,
        geometry: Geometry,
        tiling: Tiling,
        tiles: Sequence[tuple[int, int]],
        group: int,
        places: Sequence[Sequence[Address]],
        channel_bytes: int,
        clamp: tuple[float, ...],
        residual: _Residual | None,
    ) -> tuple[Uniform, ...] | None:
        if not tiles:
            return None
        source = geometry.input_channels * group * channel_bytes
        first_line = self._first_line(geometry.input_channels)
        head: list[Uniform] = [0, len(tiles)]
        if self.gather:
            passed = geometry.input_channels - tiling.depth
            head += [Address("input", source + passed * channel_bytes), Address("weights", 0)]
        head[0] = Address("block", WORD_BYTES * len(head))
        words: list[Uniform] = head
        for block_index, channel_index in tiles:
            first = tiling.block_starts[block_index]
            for p in range(tiling.blocks):
                if self.gather:
                    words += [(first + p) * LANES, *geometry.origin_words()]
                else:
                    line = source + (first + p) * geometry.input_block_bytes
                    words.append(Address("input", line + first_line))
            words += places[channel_index]
            channel = geometry.output_channels * group + tiling.channel_starts[channel_index]
            if residual is not None:
                words += [residual.line(first + p, channel) for p in range(tiling.blocks)]
            words += clamp
            for p in range(tiling.blocks):
                words.append(Address("output", geometry.output_line_bytes(first + p, channel)))
        after = words_after_weights(tiling.blocks, bool(clamp), residual is not None)
        per_tile = words_before_weights(tiling.blocks, self.gather) + len(places[0]) - 1 + after
        if len(words) != (4 if self.gather else 2) + per_tile * len(tiles):
            raise ScheduleError(f"{self.name}: the block's words do not match what the kernel reads")
        return tuple(words)


class QpuPointwiseBlocked(GemmConvolution):
    """1x1 convolution, several pixel blocks a tile: each weight is kept in a register and used for all of them."""

    name = "qpu_pointwise_blocked"
    gather = False
    block_values = (2, 3, 4)
    channel_values = (4, 8, 12, 16, 18, 20, 22, 24, 26)

    def _takes(self, geometry: Geometry) -> bool:
        return is_pointwise(geometry) and geometry.output_blocks >= min(self.block_values)


class QpuPointwiseStreamed(GemmConvolution):
    """1x1 convolution, one pixel block a tile: weights go from the stream straight into the multiplier."""

    name = "qpu_pointwise_streamed"
    gather = False
    block_values = (1,)
    channel_values = (8, 16, 24, 32, 40, 48, 52)

    def _takes(self, geometry: Geometry) -> bool:
        return is_pointwise(geometry)


class QpuPointwiseRelayed(GemmConvolution):
    """1x1 convolution, two pixel blocks a tile: the second use of a weight is the register port's last value."""

    name = "qpu_pointwise_relayed"
    gather = False
    block_values = (BLOCKS,)
    channel_values: tuple[int, ...] = (8, 12, 16, 20, 22, 24, 26)

    def _takes(self, geometry: Geometry) -> bool:
        return is_pointwise(geometry) and geometry.output_blocks >= BLOCKS

    def _kernel(self, blocks: int, channels: int, input_channels: int, epilogue: Expression) -> Assembler:
        residual = adds_residual(epilogue)
        return relayed_kernel(channels, self.gather, coded(epilogue), residual=residual)

    def _instructions(self, blocks: int, channels: int) -> float:
        return blocks * channels + 5.0


class QpuImplicitGemm(GemmConvolution):
    """Any convolution: the im2col matrix is never written, lanes gather their own taps.

    Axes:
        input_layout: the layout of the inputs
    """

    name = "qpu_implicit_gemm"
    gather = True
    block_values = (1, 2, 3)
    channel_values = (4, 8, 12, 16, 20, 24, 32, 40, 48)
    _fewest_channels = 1  # heads of networks have few

    def _takes(self, geometry: Geometry) -> bool:
        return True


class QpuImplicitRelayed(QpuPointwiseRelayed):
    """Any convolution as implicit GEMM on two pixel blocks with relayed weights.

    Axes:
        input_layout: the layout of the inputs
    """

    name = "qpu_implicit_relayed"
    gather = True
    channel_values = (8, 12, 16, 20, 22, 24)

    def _takes(self, geometry: Geometry) -> bool:
        return geometry.output_blocks >= BLOCKS


@lru_cache(maxsize=LAYERS)
def _refusal(
    algorithm: GemmConvolution, blocks: int, channels: int, input_channels: int, epilogue: Expression
) -> str | None:
    """Why there is no kernel, in most cases that registers lack; None where there is one."""
    try:
        algorithm._kernel(blocks, channels, input_channels, epilogue)
    except ScheduleError as error:
        return str(error)
    return None


def is_pointwise(geometry: Geometry) -> bool:
    return geometry.kernel == (1, 1) and geometry.strides == (1, 1) and geometry.pads == (0, 0, 0, 0)


@lru_cache(maxsize=LAYERS)
def group_of(spec: LayerSpec) -> tuple[Conv2d, Geometry]:
    """Operator, and geometry of one group."""
    found = Convolution.require(spec)
    return found.op, found.geometry.of_group(found.op.groups)


def input_steps(geometry: Geometry, choice: Choice) -> tuple[int, int]:
    """Bytes from one block of 16 input pixels to the next, and from channel to channel."""
    if choice.input_layouts[0] == "nchw":
        return LINE_BYTES, WORD_BYTES * geometry.input_rows * geometry.input_columns
    return geometry.input_block_bytes, LINE_BYTES


def _tiling(geometry: Geometry, target: Target, choice: Choice) -> Tiling:
    blocks, channels = choice.tiles["blocks"], choice.tiles["channels"]
    block_starts = starts(geometry.output_blocks, blocks)
    channel_starts = starts(geometry.output_channels, channels)
    assignment = in_turn(target.qpus, choice, len(block_starts), len(channel_starts))
    depth = choice.tiles.get("depth", geometry.input_channels)
    return Tiling(blocks, channels, block_starts, channel_starts, assignment, depth)


def in_turn(
    qpus: int, choice: Choice, pixel_tiles: int, channel_tiles: int
) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Each QPU's tiles, as (tile of pixels, of channels), dealt out in turn: all have the same number but for one.

    The order makes those that run at the same time share what they read: the choice's `pixel_tiles` tiles of pixels by
    as many tiles of channels as there are QPUs for.
    """
    together = choice.splits["pixel_tiles"]
    columns = -(-qpus // together)
    order: list[tuple[int, int]] = []
    for first in range(0, pixel_tiles, together):
        rows = range(first, min(first + together, pixel_tiles))
        for left in range(0, channel_tiles, columns):
            beside = range(left, min(left + columns, channel_tiles))
            if choice.splits.get("neighbours") == OTHER_PIXELS:
                order += [(row, column) for column in beside for row in rows]
            else:
                order += [(row, column) for row in rows for column in beside]
    return tuple(tuple(order[q::qpus]) for q in range(qpus))


def at_a_time(qpus: int, choice: Choice, pixel_tiles: int, channel_tiles: int) -> tuple[int, int]:
    """How many tiles of pixels and of channels the QPUs are at together in the order of `in_turn`: where there are few
    of channels, the others have further tiles of pixels.
    """
    together = min(choice.splits["pixel_tiles"], pixel_tiles)
    beside = min(-(-qpus // together), channel_tiles)
    return max(together, min(qpus // beside, pixel_tiles)), beside


def streams(
    weights: Sequence[FloatArray], tiling: Tiling, taps: Sequence[tuple[int, ...]], gather: bool
) -> list[NDArray[np.uint32]]:
    """The weights stream of each channel tile, padded to whole lines."""
    kernel, bias = weights[0], weights[1]
    out_channels, in_channels = kernel.shape[:2]
    by_tap = kernel.reshape(out_channels, in_channels, -1)
    found = []
    for start in tiling.channel_starts:
        stop = start + tiling.channels
        parts = [float_words(bias[start:stop])]
        if gather:
            parts.append(np.array([len(taps) - 1], np.uint32))
        for tap, words in enumerate(taps):
            parts.append(np.array([*words, in_channels - 2], np.uint32))
            parts.append(float_words(by_tap[start:stop, :, tap].T))
        stream = np.concatenate(parts)
        found.append(np.pad(stream, (0, -len(stream) % LANES)))
    return found
