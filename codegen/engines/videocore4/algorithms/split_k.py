"""Pointwise convolutions whose last tiles are split along the input channels (split-K).

Tiles of all input channels are dealt out as long as all QPUs have as many; of the others, which would leave QPUs
without work, each is cut into ranges of input channels, one QPU's sum each. A second phase reads these sums from the
scratch and adds them.

Weights are made up for what whole sums lose to rounding (`cut_sums`): those of ranges, which lose less, come out too
large by less than a whole sum loses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, reduce
from itertools import pairwise
from typing import ClassVar

import numpy as np

from codegen.algorithm import Algorithm
from codegen.engines.videocore4.algorithms.channel_lanes import (
    IN_STEP,
    INSTRUCTIONS_OF_TILE,
    LinePlaces,
    PixelTiles,
    QpuPointwiseChannels,
    QpuTiles,
    TileWords,
    kernel_of,
    packed_lines,
    pixels_to_choose,
)
from codegen.engines.videocore4.algorithms.convolution import Convolution
from codegen.engines.videocore4.algorithms.gemm import group_of, in_turn
from codegen.engines.videocore4.algorithms.geometry import (
    UNBOUNDED,
    Geometry,
    bounds,
    busiest_share,
    dealt,
    starts,
    tile_count,
)
from codegen.engines.videocore4.algorithms.im2col import QpuIm2colChannels
from codegen.engines.videocore4.algorithms.images import images_of
from codegen.engines.videocore4.algorithms.lines import QpuMap, Tile
from codegen.engines.videocore4.algorithms.phased import Buffer, both, in_scratch
from codegen.engines.videocore4.kernels.channel_lanes import (
    CHANNELS,
    PIECES,
    VECTORS,
    words_before,
    words_behind,
)
from codegen.engines.videocore4.kernels.pace import Token
from codegen.engines.videocore4.kernels.results import coded
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES, Pixel16, block_lines
from codegen.engines.videocore4.parts import parts_of
from codegen.errors import ScheduleError
from codegen.expression import Expression, Operand, as_clamp, clamp
from codegen.graph import LayerSpec
from codegen.operators.elementwise import Map
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, Candidate, Choice, Phase, Point, Space, Work
from codegen.stored_weights import WEIGHTS, weight_type
from codegen.target import Target
from codegen.tensor import FloatArray, TensorType

PARTS = (2, 3, 4)
_HEAD_WORDS = 2
_LEAST_GAIN = 0.06  # of the busiest QPU's work: less, and the second phase takes it back
_LEAST_CHANNELS = 16  # of a range
_MOST_ROUNDS = 2  # that are split
_CHANNELS_OF_TILE = 6  # whose sums take as long as a tile's start and store
_ROWS = 8  # lines that a QPU adds up before it stores them


@dataclass(frozen=True)
class Cut:
    """The first `whole` tiles of output channels are computed in one piece, those of the others in `parts`."""

    pixel_tiles: int
    channel_tiles: int
    depth: int
    parts: int
    whole: int
    qpus: int

    @staticmethod
    @cache
    def best(pixel_tiles: int, channel_tiles: int, depth: int, parts: int, qpus: int) -> Cut | None:
        """The one that leaves the busiest QPU least to do; None where that is hardly less than without a cut."""
        if depth // parts < _LEAST_CHANNELS:
            return None
        most = min(channel_tiles, tile_count(_MOST_ROUNDS * qpus, pixel_tiles))
        cuts = [
            Cut(pixel_tiles, channel_tiles, depth, parts, channel_tiles - split, qpus)
            for split in range(1, most + 1)
        ]
        found = min(cuts, key=lambda cut: max(cut.loads))
        uncut = (depth + _CHANNELS_OF_TILE) * tile_count(pixel_tiles * channel_tiles, qpus)
        return found if max(found.loads) <= (1 - _LEAST_GAIN) * uncut else None

    @cached_property
    def ranges(self) -> tuple[range, ...]:
        """Of input channels: pairs of them, as equal as can be."""
        pairs = self.depth // 2
        ends = [2 * (pairs * part // self.parts) for part in range(self.parts + 1)]
        return tuple(range(a, b) for a, b in pairwise(ends))

    @cached_property
    def sums(self) -> tuple[tuple[tuple[int, int, int], ...], ...]:
        """Each QPU's sums of a range: (tile of pixels, of channels, range), each given to who has least to do."""
        loads = [
            (self.depth + _CHANNELS_OF_TILE) * own for own in dealt(self.pixel_tiles * self.whole, self.qpus)
        ]
        found: list[list[tuple[int, int, int]]] = [[] for _ in loads]
        for part, channels in enumerate(self.ranges):
            for column in range(self.whole, self.channel_tiles):
                for row in range(self.pixel_tiles):
                    least = loads.index(min(loads))
                    found[least].append((row, column, part))
                    loads[least] += len(channels) + _CHANNELS_OF_TILE
        return tuple(map(tuple, found))

    @cached_property
    def loads(self) -> tuple[int, ...]:
        """Of each QPU, in input channels."""
        tiles = dealt(self.pixel_tiles * self.whole, self.qpus)
        each = [len(channels) + _CHANNELS_OF_TILE for channels in self.ranges]
        return tuple(
            (self.depth + _CHANNELS_OF_TILE) * own + sum(each[part] for *_, part in sums)
            for own, sums in zip(tiles, self.sums, strict=True)
        )

    @property
    def more_tiles(self) -> int:
        """Sums of ranges that there would not be without the cut."""
        return (self.parts - 1) * (self.channel_tiles - self.whole) * self.pixel_tiles


class QpuPointwiseSplitK(QpuPointwiseChannels):
    """1x1 convolution as `qpu_pointwise_channels` computes it, of which those output channels that would leave QPUs
    without work are summed up in ranges of the input channels, which a second phase adds.

    Axes:
        pixel_tiles: tiles of pixels that QPUs compute at the same time; they share the channels among them
        neighbours: what the QPU of the next number computes at the same time: other channels of the same pixels, or
            other pixels of the same channels
        channels: output channels of a tile
        pixels: pixels of a tile
        parts: ranges of input channels that the last output channels are summed up in
        pace: where an image has many channels, whether QPUs go through their tiles each at its own pace (free), or
            keep near each other (in_step), so that lines that several need are read once
        weights: type of the weights as they are stored, where it is not float32
    """

    name = "qpu_pointwise_split_k"
    tile_axes: ClassVar[tuple[str, ...]] = ("channels", "pixels", "parts", "pace", WEIGHTS)

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        if not super().computes(spec, target) or images_of(spec) > 1:
            return False
        op, geometry = group_of(spec)
        single = op.groups == 1 and geometry.input_channels % 2 == 0 and coded(op.epilogue) is None
        return single and bool(_parts(geometry, target))

    def space(self, spec: LayerSpec, target: Target) -> Space:
        return Space((*super().space(spec, target).axes, Axis("parts", _parts(group_of(spec)[1], target))))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        _cut(group_of(spec)[1], target, point)
        choice = super().choice_at(spec, target, point)
        _require_one_launch(self, Candidate(spec, choice), target)
        return choice

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        sums, added = (phase.work for phase in self.phases(spec, target, choice))
        return both(sums, added)

    def phases(self, spec: LayerSpec, target: Target, choice: Choice) -> tuple[Phase, ...]:
        """The sums, and the addition of those of ranges."""
        geometry = group_of(spec)[1]
        cut = _cut(geometry, target, choice.tiles)
        work = super().work(spec, target, choice)
        pixels, more = choice.tiles["pixels"], float(cut.more_tiles)
        results = VECTORS * pixels
        residual = Convolution.require(spec).residual is not None
        words = words_before(choice.tiles.get("pace") == IN_STEP) + words_behind(pixels, True, residual)
        sums = replace(
            work,
            alu_instructions=work.alu_instructions + more * (2 * results + INSTRUCTIONS_OF_TILE),
            load_instructions=work.load_instructions + more * (VECTORS + 1 + residual * results),
            uniform_words=work.uniform_words + more * words,
            store_instructions=work.store_instructions + more * results,
            dma_stores=work.dma_stores + more * PIECES,
            bytes_written=work.bytes_written * (1 + cut.more_tiles / (cut.pixel_tiles * cut.channel_tiles)),
            balance=busiest_share(cut.loads),
        )
        addition = _Addition.of(spec, cut)
        return (
            Phase(Candidate(spec, choice), sums),
            Phase(
                Candidate(addition.spec, addition.choice(target)),
                _ADDED.work(addition.spec, target, addition.choice(target)),
            ),
        )

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
        cut = _cut(whole, target, choice.tiles)
        words = TileWords(
            whole.within(output_lines),
            PixelTiles(whole, choice.tiles["pixels"], choice.splits["pixel_tiles"], in_step),
            starts(whole.output_channels, CHANNELS),
            bounds(op.epilogue),
            None if residual is None else (residual, whole),
            LinePlaces(whole.input_channels, weight_type(choice) == "float16"),
        )
        addition = _Addition.of(spec, cut)
        table = words.pixels.table()
        lines = packed_lines(weights[0], weights[1], words.channel_starts, words.places)
        blank = np.zeros(
            (LANES, LANES), np.uint32
        )  # biases of all ranges but the first, residuals of 16 channels
        ranges = _Ranges(words, addition, cut, table.nbytes, table.nbytes + lines.nbytes, in_step)
        order = in_turn(target.qpus, choice, cut.pixel_tiles, cut.whole)
        together = min(map(len, order)) if in_step else 0
        blocks = tuple(
            ranges.block(QpuTiles(tiles, q == 0, together), sums)
            for q, (tiles, sums) in enumerate(zip(order, cut.sums, strict=True))
        )
        packed = np.concatenate([table.reshape(-1), lines.reshape(-1), blank.reshape(-1)])
        first = QpuLayer(kernel_of(op, whole, target, choice).words, packed, blocks)
        end = addition.size_bytes * cut.parts
        return replace(
            first,
            then=replace(addition.lower(target, words.geometry.output_lines), scratch_bytes=end),
            scratch_bytes=end,
        )


class _Products(QpuPointwiseSplitK):
    """The same as a phase of another algorithm."""

    in_step = False


class QpuIm2colSplitK(QpuIm2colChannels):
    """Any ungrouped convolution but pointwise ones, of which the im2col matrix is written and then multiplied as
    `qpu_pointwise_split_k` does.

    Axes:
        pixel_tiles: tiles of pixels that QPUs multiply at the same time; they share the channels among them
        channels: output channels of a tile
        neighbours: what the QPU of the next number multiplies at the same time: other channels of the same pixels, or
            other pixels of the same channels
        pixels: pixels of a tile
        parts: ranges of the matrix's channels that the last output channels are summed up in
        weights: type of the weights as they are stored, where it is not float32
        input_layout: the layout of the inputs
    """

    name = "qpu_im2col_split_k"
    _products = _Products()

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        choice = super().choice_at(spec, target, point)
        _require_one_launch(self, Candidate(spec, choice), target)
        return choice


def _require_one_launch(algorithm: Algorithm, candidate: Candidate, target: Target) -> None:
    """Raises ScheduleError where tiles would be dealt out to several launches: as to more QPUs, for which they are cut
    in other ways or not at all.
    """
    try:
        several = parts_of(algorithm, candidate, target) > 1
    except ScheduleError:
        several = True
    if several:
        raise ScheduleError(f"{algorithm.name}: all sums are done in one launch, which would take too long")


def _parts(geometry: Geometry, target: Target) -> tuple[int, ...]:
    """Numbers of ranges that help with tiles of some number of pixels."""
    columns = len(starts(geometry.output_channels, CHANNELS))
    rows = {tile_count(geometry.output_pixels, pixels) for pixels in pixels_to_choose(geometry.output_pixels)}
    depth = geometry.input_channels
    return tuple(p for p in PARTS if any(Cut.best(row, columns, depth, p, target.qpus) for row in rows))


def _cut(geometry: Geometry, target: Target, point: Point) -> Cut:
    """Raises ScheduleError where it does not help."""
    rows = tile_count(geometry.output_pixels, point["pixels"])
    columns = len(starts(geometry.output_channels, CHANNELS))
    found = Cut.best(rows, columns, geometry.input_channels, point["parts"], target.qpus)
    if found is None:
        raise ScheduleError(
            f"{rows} tiles of pixels by {columns} of channels leave {target.qpus} QPUs no less to do when their sums "
            f"are of {point['parts']} ranges"
        )
    return found


class _Sums(QpuMap):
    """Sums of tensors that are a part of a whole, `rows` lines of a block at a time."""

    def _tiles(self, spec: LayerSpec, rows: int, choice: Choice, output_lines: int | None) -> list[Tile]:
        channels = spec.output.shape[1]
        lines = block_lines(channels)
        return [
            (
                tuple(
                    Address("input", LINE_BYTES * (block * lines + channel), index)
                    for index in range(len(spec.inputs))
                ),
                1,
                Address("output", LINE_BYTES * (block * (output_lines or lines) + channel)),
            )
            for block in range(-(-spec.output.elements // channels // LANES))
            for channel in starts(channels, rows)
        ]


_ADDED = _Sums()


@dataclass(frozen=True)
class _Addition:
    """The second phase: `spec` adds the ranges' sums to output channels from number `first` on."""

    spec: LayerSpec
    first: int

    @staticmethod
    def of(spec: LayerSpec, cut: Cut) -> _Addition:
        _, low, high = as_clamp(group_of(spec)[0].epilogue)
        first = starts(spec.output.shape[1], CHANNELS)[cut.whole]
        images, outputs, *plane = spec.output.shape
        tensor = TensorType((images, outputs - first, *plane))
        terms: list[Expression] = [Operand(part) for part in range(cut.parts)]
        added = Map(clamp(reduce(lambda a, b: a + b, terms), low, high))
        return _Addition(LayerSpec(added, (tensor,) * cut.parts, (tensor,), ()), first)

    @property
    def size_bytes(self) -> int:
        """Of a range's sums."""
        return Pixel16().size_bytes(self.spec.output)

    def choice(self, target: Target) -> Choice:
        return _ADDED.choice_at(self.spec, target, {"groups": 1, "rows": _ROWS})

    def lower(self, target: Target, output_lines: int) -> QpuLayer:
        layer = _ADDED.lower(self.spec, target, self.choice(target), (), output_lines=output_lines)
        places: dict[Buffer, Address] = {
            ("input", part): Address("scratch", self.size_bytes * part)
            for part in range(len(self.spec.inputs))
        }
        places["output", 0] = Address("output", LINE_BYTES * self.first)
        return in_scratch(layer, places)


@dataclass(frozen=True)
class _Ranges:
    """What QPUs compute in the first phase. `weights`, `blank`: bytes from the packed words on at which the lines of
    weights and those of zeros begin.
    """

    words: TileWords
    addition: _Addition
    cut: Cut
    weights: int
    blank: int
    in_step: bool

    def block(self, qpu: QpuTiles, sums: Sequence[tuple[int, int, int]]) -> tuple[Uniform, ...] | None:
        count = len(qpu.tiles) + len(sums)
        if not count:
            return None
        words: list[Uniform] = [Address("block", WORD_BYTES * _HEAD_WORDS), count]
        for number in range(len(qpu.tiles)):
            words += self.words.of_tile(qpu, number, 0, self.weights, self.in_step)
        for row, column, part in sums:
            words += self._sum(row, column, part)
        return tuple(words)

    def _sum(self, row: int, column: int, part: int) -> list[Uniform]:
        """A range's sum: the first one's with bias and residual."""
        own, zeros = self.words, Address("weights", self.blank)
        before = own.before(row, column, 0, self.weights, 0, self.cut.ranges[part])
        if self.in_step:
            before += [Token.NONE, 0, Token.NONE]
        channel = own.channel_starts[column]
        added = own.added(row, channel)
        if part:
            before[1 : 1 + VECTORS] = [zeros] * VECTORS
            added = [zeros] * len(added)
        lines = block_lines(self.addition.spec.output.shape[1])
        to_scratch = replace(own, geometry=own.geometry.within(lines), clamp=(-UNBOUNDED, UNBOUNDED)).stored(
            row, channel - self.addition.first
        )
        place = Address("scratch", self.addition.size_bytes * part)
        return [*before, *added, *_placed(to_scratch, place)]


def _placed(words: Sequence[Uniform], place: Address) -> list[Uniform]:
    """Outputs from another address on."""
    return [
        replace(place, offset_bytes=place.offset_bytes + word.offset_bytes)
        if isinstance(word, Address) and word.base == "output"
        else word
        for word in words
    ]
