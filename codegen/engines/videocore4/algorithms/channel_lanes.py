"""Pointwise convolution whose lanes are output channels: a tile may have any number of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.convolution import Convolution
from codegen.engines.videocore4.algorithms.gemm import (
    MINIMUM_CHANNELS,
    NEIGHBOURS,
    at_a_time,
    group_of,
    in_turn,
    is_pointwise,
)
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
from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.channel_lanes import (
    CHANNELS,
    DMA_WORDS,
    GATHERED,
    PAIRED,
    PAUSE,
    PIECES,
    VECTORS,
    alone,
    channel_lanes_kernel,
    piece_set_up,
    words_before,
    words_behind,
)
from codegen.engines.videocore4.kernels.pace import MOST_QPUS, Token
from codegen.engines.videocore4.kernels.results import adds_residual, coded, epilogue_instructions
from codegen.engines.videocore4.kernels.rotated import (
    STREAMED,
    THROUGH_A,
    first_offset,
    first_request,
    hiding_instructions,
)
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANE_BYTES, LANES, LINE_BYTES, block_lines
from codegen.engines.videocore4.parts import parts_of
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, AxisNames, Candidate, Choice, Point, Space, Work, values
from codegen.stored_weights import WEIGHTS, halves, weight_type, weights_axis
from codegen.target import WEIGHT_TYPES, Target, WeightType
from codegen.tensor import FloatArray

PIXELS = 20, 22, 24, 25, 26
FREE, IN_STEP = PACES = "free", "in_step"
_LEAST_IN_STEP = 96  # input channels: fewer are soon gone through
_APART = (
    576  # of QPUs in step, from the weights to the input: so their lines crowd the same sets of the L2 least
)
_HEAD_WORDS = 2
INSTRUCTIONS_OF_TILE = 150  # its start, and its store beside the results


@dataclass(frozen=True)
class PixelTiles:
    """The pixels of each tile: those of a block, and `gathered` of those behind the last such block. Blocks of tiles
    that are computed at the same time, `together` of them, lie apart: neighbouring ones crowd the same sets of caches.

    `by_tile`: the input has the gathered pixels of a tile in one block, where its blocks have room for that: then their
    lines are read for one tile alone.
    """

    geometry: Geometry
    pixels: int
    together: int
    in_step: bool
    by_tile: bool = False

    @property
    def gathered(self) -> int:
        return self.pixels - STREAMED

    @property
    def tiles(self) -> int:
        return tile_count(self.geometry.output_pixels, self.pixels)

    @cached_property
    def blocks(self) -> NDArray[np.intp]:
        """The block of each tile."""
        by_place = np.argsort(np.arange(self.tiles) % self.together, kind="stable")
        return np.argsort(by_place)

    @cached_property
    def places(self) -> NDArray[np.intp]:
        """Where the input has each pixel."""
        pixels = np.arange(self.geometry.output_pixels)
        tile, inside = np.divmod(pixels - STREAMED * self.tiles, self.gathered)
        block, number = np.divmod(tile, LANES // self.gathered)
        apart = LANES * (self.tiles + block) + self.gathered * number + inside
        found = np.where(tile < 0, pixels, apart)
        return found if self.by_tile and found.max() < LANES * self.geometry.output_blocks else pixels

    def of(self, tile: int) -> list[int]:
        """The last pixel of all stands for those that there are not."""
        first = STREAMED * self.tiles + self.gathered * tile
        last = self.geometry.output_pixels - 1
        own = [STREAMED * int(self.blocks[tile]) + i for i in range(STREAMED)]
        return [min(pixel, last) for pixel in (*own, *range(first, first + self.gathered))]

    def pieces(self, tile: int) -> list[range]:
        """The gathered pixels by the block that they lie in."""
        first = STREAMED * self.tiles + self.gathered * tile
        end = min(first + self.gathered, self.geometry.output_pixels)
        if first >= end:
            return []
        boundary = -(-(first + 1) // LANES) * LANES
        return [piece for piece in (range(first, min(boundary, end)), range(boundary, end)) if piece]

    def table(self) -> NDArray[np.uint32]:
        """For each tile a line of bytes from the input's first line to the gathered pixels, by lanes. In step, others
        are of the block's own line, which is wanted as uniforms soon.
        """
        geometry = self.geometry
        together = alone(self.gathered, geometry.input_channels % 2 == 1)
        width = LANES if together else PAIRED
        table = np.zeros((self.tiles, LANES), np.uint32)
        for tile in range(self.tiles):
            own, *_, last = pixels = self.of(tile)
            others = [own if self.in_step else last] * (width - self.gathered)
            lanes = self.places[pixels[STREAMED:] + others]
            offsets = lanes // LANES * geometry.input_block_bytes + lanes % LANES * LANE_BYTES
            table[tile] = offsets if together else [*offsets, *(offsets + LINE_BYTES)]
        return table


class QpuPointwiseChannels(AlgorithmBase):
    """1x1 convolution, 32 output channels a tile on the lanes: pixels are the scalars, 16 of a block by uniforms and
    others gathered, so that a tile may have any number of them. Groups of channels are rounds of one kernel.

    Axes:
        pixel_tiles: tiles of pixels that QPUs compute at the same time; they share the channels among them
        neighbours: what the QPU of the next number computes at the same time: other channels of the same pixels, or
            other pixels of the same channels
        channels: output channels of a tile
        pixels: pixels of a tile
        pace: where an image has many channels, whether QPUs go through their tiles each at its own pace (free), or
            keep near each other (in_step), so that lines that several need are read once
        weights: type of the weights as they are stored, where it is not float32
    """

    name = "qpu_pointwise_channels"
    engine: str = "videocore4"
    takes_residuals = True
    axis_names: ClassVar[AxisNames] = {"neighbours": NEIGHBOURS, "pace": PACES, WEIGHTS: WEIGHT_TYPES}
    in_step = True  # where it is a whole layer, whose launches are counted
    by_tile = False  # where the input is a phase's, which has its pixels where the products want them
    narrow: tuple[WeightType, ...] = ("float16",)  # what weights may be stored as, of pairs of channels
    tile_axes: ClassVar[tuple[str, ...]] = ("channels", "pixels", "pace", WEIGHTS)

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        found = Convolution.of(spec)
        if found is None or not target.has_qpus or not is_pointwise(found.geometry):
            return False
        geometry = found.geometry.of_group(found.op.groups)
        return (
            geometry.input_channels >= MINIMUM_CHANNELS
            and geometry.output_channels >= CHANNELS
            and geometry.output_pixels > STREAMED
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        op, geometry = group_of(spec)
        axes = [
            Axis("pixel_tiles", divisors(target.qpus), "split"),
            Axis("channels", (CHANNELS,)),
            Axis("neighbours", NEIGHBOURS, "split"),
            Axis("pixels", pixels_to_choose(geometry.output_pixels)),
        ]
        deep = geometry.input_channels >= _LEAST_IN_STEP
        if self.in_step and deep and images_of(spec) == op.groups == 1 and 1 < target.qpus <= MOST_QPUS:
            axes.append(Axis("pace", PACES))
        narrow = self.narrow if geometry.input_channels % 2 == 0 else ()
        return Space((*axes, *weights_axis(target, narrow)))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        op, geometry = group_of(spec)
        choice = Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({axis: point[axis] for axis in ("pixel_tiles", "neighbours")}),
            tile=values({axis: point[axis] for axis in self.tile_axes if axis in point}),
            input_layouts=("pixel16",) * len(spec.inputs),
            output_layouts=("pixel16",),
        )
        kernel_of(op, geometry, target, choice)  # refuses what has no registers
        if point.get("pace") == IN_STEP and parts_of(self, Candidate(spec, choice), target) > 1:
            raise ScheduleError(
                f"{self.name}: QPUs in step do all tiles in one launch, which would take too long"
            )
        return choice

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        op, geometry = group_of(spec)
        pixels = choice.tiles["pixels"]
        depth = geometry.input_channels
        rows = tile_count(geometry.output_pixels, pixels)
        columns = tile_count(geometry.output_channels, CHANNELS)
        tiles = rows * columns * op.groups
        gathered = pixels - STREAMED
        by_itself = alone(gathered, depth % 2 == 1)
        vectors = 1.0 if by_itself else 0.5
        in_step = choice.tiles.get("pace") == IN_STEP
        halves = weight_type(choice) == "float16"
        hiding = hiding_instructions(pixels, alone=by_itself, by_pair=halves)
        inner = VECTORS * THROUGH_A + hiding
        results = VECTORS * pixels
        residual_lines = 0.0 if Convolution.require(spec).residual is None else float(tiles * results)
        together, beside = at_a_time(target.qpus, choice, rows, columns)
        round_pixels = WORD_BYTES * together * depth * pixels
        round_weights = LINE_BYTES * beside * depth * VECTORS // (1 + halves)
        weight_bytes = sum(tensor.size_bytes for tensor in spec.weights) // (1 + halves)
        input_bytes = sum(tensor.size_bytes for tensor in spec.inputs) // images_of(spec)
        words = words_before(in_step) + words_behind(pixels, bool(bounds(op.epilogue)), bool(residual_lines))
        work = Work(
            macs=float(spec.macs // images_of(spec)),
            alu_instructions=tiles
            * (depth * inner + results * (2 + epilogue_instructions(op.epilogue)) + INSTRUCTIONS_OF_TILE),
            load_instructions=tiles * (depth * (VECTORS + vectors) + VECTORS + 1) + residual_lines,
            uniform_words=float(tiles * (depth * STREAMED + words)),
            hiding_instructions=hiding,
            store_instructions=float(tiles * results),
            dma_stores=float(tiles * PIECES),
            unique_bytes_read=float(weight_bytes + input_bytes),
            streamed_bytes_read=tiles / (together * beside) * (round_pixels + round_weights)
            + residual_lines * LINE_BYTES,
            bytes_written=float(
                WORD_BYTES * columns * op.groups * CHANNELS * max(STREAMED * rows, geometry.output_pixels)
            ),
            balance=busiest_share(dealt(tiles, target.qpus)),
            working_set_bytes=float(round_pixels + round_weights),
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
        residual = Convolution.require(spec).residual
        in_step = choice.tiles.get("pace") == IN_STEP
        part = TileWords(
            whole.within(output_lines),
            self.pixel_tiles(spec, choice),
            starts(whole.output_channels, CHANNELS),
            bounds(op.epilogue),
            None if residual is None else (residual, whole),
            LinePlaces(whole.input_channels, weight_type(choice) == "float16"),
        )
        table = part.pixels.table()
        banks = zip(*(np.split(w, op.groups) for w in weights[:2]), strict=True)
        lines = [packed_lines(kernel, bias, part.channel_starts, part.places) for kernel, bias in banks]
        order = in_turn(target.qpus, choice, part.pixels.tiles, len(part.channel_starts))
        together = min(map(len, order)) if in_step else 0
        rounds = []
        for group in range(op.groups):
            first = table.nbytes + group * lines[0].nbytes
            qpus = [QpuTiles(tiles, q == 0, together) for q, tiles in enumerate(order)]
            rounds.append([part.block(qpu, group, first, in_step) for qpu in qpus])
        packed = np.concatenate([table.reshape(-1), *(x.reshape(-1) for x in lines)])
        code = kernel_of(op, whole, target, choice).words
        layer = for_each_image(layer_in_rounds(code, packed, rounds), spec, choice, output_lines)
        return replace(layer, apart=_APART) if in_step else layer

    def pixel_tiles(self, spec: LayerSpec, choice: Choice) -> PixelTiles:
        """The pixels of each tile of a choice."""
        in_step = choice.tiles.get("pace") == IN_STEP
        geometry = group_of(spec)[1]
        return PixelTiles(
            geometry, choice.tiles["pixels"], choice.splits["pixel_tiles"], in_step, self.by_tile
        )

    def order_of_sums(self, spec: LayerSpec, choice: Choice) -> NDArray[np.intp]:
        """Channel by channel."""
        channels = group_of(spec)[1].input_channels
        return np.arange(channels).reshape(channels, 1, 1)


class ChannelProducts(QpuPointwiseChannels):
    """The same as a phase of another algorithm."""

    in_step = False


class TransformedProducts(ChannelProducts):
    """The same with weights that were transformed, which makes what rounding takes from them larger, and inputs whose
    places are `PixelTiles.places`.
    """

    narrow = ()
    by_tile = True


@dataclass(frozen=True)
class QpuTiles:
    """A QPU's tiles, as (tile of pixels, of channels), the first `together` of which all begin in step."""

    tiles: Sequence[tuple[int, int]]
    gathers: bool
    together: int

    def takes(self, number: int) -> Token:
        """The token that a tile begins with."""
        taken = not self.gathers and 0 < number < self.together
        return Token.of_tile(number) if taken else Token.NONE

    def channels_left(self, number: int, input_channels: int) -> int:
        """Input channels that are left of a tile when others may begin the next, or 0."""
        return PAUSE if number + 1 < self.together and input_channels > PAUSE + 3 else 0

    def rest(self, number: int, input_channels: int) -> int:
        """Their lines' bytes."""
        return LINE_BYTES * self.channels_left(number, input_channels)

    def gives(self, number: int) -> Token:
        return Token.of_tile(number + 1) if self.gathers else Token.NONE


@dataclass(frozen=True)
class TileWords:
    """What QPUs compute of a group. `residual`: number and geometry of the input that is added."""

    geometry: Geometry
    pixels: PixelTiles
    channel_starts: tuple[int, ...]
    clamp: tuple[float, ...]
    residual: tuple[int, Geometry] | None
    places: LinePlaces

    def block(self, qpu: QpuTiles, group: int, weights: int, in_step: bool) -> tuple[Uniform, ...] | None:
        """A QPU's uniforms; `weights`: where the group's begin."""
        tiles = qpu.tiles
        if not tiles:
            return None
        words: list[Uniform] = [Address("block", WORD_BYTES * _HEAD_WORDS), len(tiles)]
        for number in range(len(tiles)):
            words += self.of_tile(qpu, number, group, weights, in_step)
        behind = words_behind(self.pixels.pixels, bool(self.clamp), self.residual is not None)
        if len(words) != _HEAD_WORDS + len(tiles) * (words_before(in_step) + behind):
            raise ScheduleError("the block's words do not match what the kernel reads")
        return tuple(words)

    def of_tile(self, qpu: QpuTiles, number: int, group: int, weights: int, in_step: bool) -> list[Uniform]:
        """The words of a QPU's tile of all input channels."""
        row, column = qpu.tiles[number]
        rest = qpu.rest(number, self.geometry.input_channels)
        words = self.before(row, column, group, weights, rest)
        if in_step:
            words += [qpu.takes(number), rest, qpu.gives(number) if rest else Token.NONE]
        return words + self.behind(row, self.geometry.output_channels * group + self.channel_starts[column])

    def _stream(self, row: int, group: int) -> int:
        depth = self.geometry.input_channels
        return LINE_BYTES * depth * group + self.geometry.input_block_bytes * int(self.pixels.blocks[row])

    def before(
        self, row: int, column: int, group: int, weights: int, rest: int, depths: range | None = None
    ) -> list[Uniform]:
        """`depths`: the input channels that are summed up, all of them where none are given."""
        channels = self.geometry.input_channels
        first, depth = (0, channels) if depths is None else (depths.start, len(depths))
        source, ahead = LINE_BYTES * channels * group, first_request(depth) - rest + LINE_BYTES * first
        tile = weights + self.places.tile_bytes * column
        return [
            Address("weights", LINE_BYTES * row),
            *(Address("weights", tile + self.places.bias(p)) for p in range(VECTORS)),
            *(Address("weights", tile + self.places.first_line(p) + ahead) for p in range(VECTORS)),
            Address("input", source + ahead),
            first_offset(depth) + rest,
            Address("input", self._stream(row, group) + LINE_BYTES * first),
        ]

    def behind(self, row: int, channel: int) -> list[Uniform]:
        return [*self.added(row, channel), *self.stored(row, channel)]

    def added(self, row: int, channel: int) -> list[Uniform]:
        """Where the residual's pixels are."""
        if self.residual is None:
            return []
        index, whole = self.residual
        return [
            Address("input", _pixel_bytes(whole, pixel, channel + LANES * p), index)
            for p in range(VECTORS)
            for pixel in self.pixels.of(row)
        ]

    def stored(self, row: int, channel: int) -> list[Uniform]:
        """How results are clamped, and where they go."""
        block = int(self.pixels.blocks[row])
        words: list[Uniform] = [
            *self.clamp,
            Address("output", self.geometry.output_line_bytes(block, channel)),
        ]
        column = 0
        for piece in self.pixels.pieces(row):
            set_up, stride = piece_set_up(column, len(piece))
            words += [set_up, stride, Address("output", _pixel_bytes(self.geometry, piece[0], channel))]
            column += len(piece)
        absent = PIECES - len(self.pixels.pieces(row))
        return words + [0] * (DMA_WORDS * absent)


def pixels_to_choose(of_plane: int) -> tuple[int, ...]:
    """Numbers of pixels a tile to choose from, each the least for as many tiles."""
    least = {}
    for pixels in PIXELS:
        tiles = tile_count(of_plane, pixels)
        evenly = max(-(-of_plane // tiles), STREAMED + GATHERED[0])
        least[tiles] = evenly
    return tuple(sorted(set(least.values())))


def _pixel_bytes(geometry: Geometry, pixel: int, channel: int) -> int:
    """Byte offset of a pixel of an output's channel."""
    block, inside = divmod(pixel, LANES)
    return geometry.output_line_bytes(block, channel) + LANE_BYTES * inside


@dataclass(frozen=True)
class LinePlaces:
    """Where the lines of a tile of channels lie, in bytes: of each vector its biases and a line for each input channel,
    and what spreads vectors over the caches' sets. Half floats: the biases of both, then for each two input channels a
    line of each vector, and what spreads tiles.
    """

    input_channels: int
    halves: bool

    @property
    def tile_bytes(self) -> int:
        return (
            VECTORS * self._vector
            if not self.halves
            else LINE_BYTES * block_lines(self.input_channels + VECTORS)
        )

    def bias(self, vector: int) -> int:
        return (LINE_BYTES if self.halves else self._vector) * vector

    def first_line(self, vector: int) -> int:
        return self.bias(vector) + LINE_BYTES * (VECTORS if self.halves else 1)

    @property
    def _vector(self) -> int:
        return LINE_BYTES * block_lines(self.input_channels + 1)


def packed_lines(
    kernel: FloatArray, bias: FloatArray, channel_starts: Sequence[int], places: LinePlaces
) -> NDArray[np.uint32]:
    """The lines of all tiles, 16 output channels each, as `places` says."""
    depth = kernel.shape[1]
    lines = np.zeros((len(channel_starts), places.tile_bytes // LINE_BYTES, LANES), np.uint32)
    together = 2 if places.halves else 1
    stored = halves(kernel) if places.halves else kernel
    words = np.ascontiguousarray(stored.reshape(-1, depth)).view("<u4")
    for number, start in enumerate(channel_starts):
        for vector in range(VECTORS):
            own = slice(start + LANES * vector, start + LANES * (vector + 1))
            lines[number, places.bias(vector) // LINE_BYTES] = bias[own].view("<u4")
            first = places.first_line(vector) // LINE_BYTES
            every = slice(first, first + depth, together)
            lines[number, every] = words[own].T
    return lines


def kernel_of(op: Conv2d, geometry: Geometry, target: Target, choice: Choice) -> Assembler:
    """Raises ScheduleError where registers lack."""
    return channel_lanes_kernel(
        choice.tiles["pixels"],
        geometry.input_channels % 2 == 1,
        coded(op.epilogue),
        residual=adds_residual(op.epilogue),
        in_step=target.qpus * (choice.tiles.get("pace") == IN_STEP),
        halves=weight_type(choice) == "float16",
    )
