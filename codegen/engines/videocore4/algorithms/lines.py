"""Layers that work line by line: elementwise expressions, and channels put behind each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.geometry import bounds, busiest_share, starts
from codegen.engines.videocore4.algorithms.images import first_image, for_each_image, work_of_images
from codegen.engines.videocore4.algorithms.operands import (
    Place,
    Read,
    has_numbers_of_channels,
    is_image,
    packed,
    reads,
)
from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.expressions.placement import instructions
from codegen.engines.videocore4.kernels.lines import COPY, is_clamped, lines_kernel, tile_words
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES, block_lines
from codegen.errors import ScheduleError
from codegen.expression import RESULT, Expression, as_clamp, clamp
from codegen.graph import LayerSpec
from codegen.layout import plane
from codegen.operators.concat import Concat
from codegen.operators.elementwise import Map
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, AxisNames, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray

ROWS = (4, 8, 16, 32)
NUMBERS = IN_BLOCKS, PLANAR = "pixel16", "nchw"
FEW_ROWS = (1, 2)  # of what has fewer lines
Tile = tuple[tuple[Address, ...], int, Address]  # operands, groups, output
_HEAD_WORDS = 2


def _on_one_image(spec: LayerSpec) -> bool:
    return all(is_image(tensor) for tensor in (*spec.inputs, spec.output))


def _blocks(spec: LayerSpec) -> int:
    return -(-plane(spec.output)[2] // LANES)


def _dealt(tiles: list[Tile], target: Target) -> list[list[Tile]]:
    return [tiles[q :: target.qpus] for q in range(target.qpus)]


def _rows(most: int) -> tuple[int, ...]:
    """How many lines may be stored at a time."""
    return tuple(rows for rows in ROWS if rows <= most) or tuple(rows for rows in FEW_ROWS if rows <= most)


def _runs(channels: int, rows: int) -> list[tuple[int, int]]:
    """First channel and groups of the tiles of one block: whole groups, and one more for what is left over, which
    overlaps their last.
    """
    return [(0, channels // rows)] + ([(channels - rows, 1)] if channels % rows else [])


class _QpuLines(AlgorithmBase):
    """What expressions and copies share; a subclass deals out tiles."""

    name: str
    engine: str = "videocore4"

    def _tiles(self, spec: LayerSpec, rows: int, choice: Choice, output_lines: int | None) -> list[Tile]:
        raise NotImplementedError

    def _expression(self, spec: LayerSpec) -> Expression:
        return COPY

    def _reads(self, spec: LayerSpec, choice: Choice | None = None) -> tuple[Read, ...]:
        return (Read.of_lines(Address("input")),)

    def _kernel(self, spec: LayerSpec, rows: int, choice: Choice | None = None) -> Assembler:
        accesses = [read.access for read in self._reads(spec, choice)]
        return lines_kernel(self._expression(spec), accesses, rows)

    def _packed(self, spec: LayerSpec, weights: Sequence[FloatArray]) -> NDArray[np.uint32]:
        return packed(spec, weights)

    def _clamp(self, spec: LayerSpec) -> tuple[float, ...]:
        """The uniforms of the clamp, where that is all there is besides a copy or a sum."""
        expression, accesses = self._expression(spec), [read.access for read in self._reads(spec)]
        if not is_clamped(expression, accesses):
            return ()
        _, low, high = as_clamp(expression)
        return bounds(clamp(RESULT, low, high))

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return target.has_qpus and len(spec.outputs) == 1 and self._takes(first_image(spec))

    def _macs(self, spec: LayerSpec) -> float:
        return float(spec.output.elements * (len(self._reads(spec)) - 1))

    def _takes(self, spec: LayerSpec) -> bool:
        """Whether it computes the layer of one image, or of tensors that are none."""
        raise NotImplementedError

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        one = first_image(spec)
        work = self._work(one, target, choice)
        return work if one is spec else work_of_images(work, spec)

    def _work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        rows = choice.tiles["rows"]
        dealt = _dealt(self._tiles(spec, rows, choice, None), target)
        groups = [sum(count for _, count, _ in tiles) for tiles in dealt]
        lines, tiles = sum(groups) * rows, sum(map(len, dealt))
        all_reads, clamped = self._reads(spec, choice), bool(self._clamp(spec))
        asked = sum(read.access.step_bytes > 0 for read in all_reads)
        computing = 4.0 if clamped else 2.0 + instructions(self._expression(spec))
        # Numbers of channels fill lines that are in the caches after the first of them.
        read = float(
            lines
            * sum(LINE_BYTES if r.access.by_lane else WORD_BYTES for r in all_reads if r.access.step_bytes)
        )
        return Work(
            macs=self._macs(spec),
            alu_instructions=lines * (2.0 * asked + computing) + tiles * 40.0,
            load_instructions=float(lines * asked),
            uniform_words=float(tiles * tile_words(len(all_reads), clamped)),
            store_instructions=float(lines),
            dma_stores=float(sum(groups)),
            unique_bytes_read=float(sum(t.size_bytes for t in (*spec.inputs, *spec.weights))),
            streamed_bytes_read=read,
            bytes_written=float(lines * LINE_BYTES),
            balance=busiest_share(groups),
            working_set_bytes=float(rows * asked * LINE_BYTES * target.qpus),
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
        whole, spec = spec, first_image(spec)
        clamp = self._clamp(spec)

        def block(tiles: Sequence[Tile]) -> tuple[Uniform, ...] | None:
            if not tiles:
                return None
            words: list[Uniform] = [Address("block", WORD_BYTES * _HEAD_WORDS), len(tiles)]
            for operands, groups, output in tiles:
                words += [*operands, groups, output, *clamp]
            return tuple(words)

        rows = choice.tiles["rows"]
        if output_lines is not None:  # a group keeps to one block's channels
            rows = min(rows, spec.output.shape[1])
        dealt = _dealt(self._tiles(spec, rows, choice, output_lines), target)
        blocks = tuple(block(tiles) for tiles in dealt)
        layer = QpuLayer(self._kernel(spec, rows, choice).words, self._packed(spec, weights), blocks)
        return layer if whole is spec else for_each_image(layer, whole, choice, output_lines)


class QpuMap(_QpuLines):
    """An expression of tensors: those of the output's layout line by line, padding included, unless one operand has
    only a plane or a number for each channel, or the output is a part of a whole: then block by block. Tensors that
    are no single image are runs of words. `numbers` is the layout of inputs that have one for each channel.

    Axes:
        groups: tiles of `rows` lines that a QPU computes one behind the other
        rows: lines of 16 elements that a QPU computes before it stores them
        numbers: the layout of inputs that have one number for each channel
    """

    name = "qpu_map"
    axis_names: ClassVar[AxisNames] = {"numbers": NUMBERS}

    def _takes(self, spec: LayerSpec) -> bool:
        if not isinstance(spec.op, Map):
            return False
        found = reads(spec, planar=False)
        return found is not None and self._most_rows(spec, found) >= min(FEW_ROWS)

    @staticmethod
    def _lines(spec: LayerSpec) -> int:
        """Lines of the whole output, or whole lines of words."""
        if not is_image(spec.output):
            return spec.output.elements // LANES
        return _blocks(spec) * block_lines(spec.output.shape[1])

    def _most_rows(self, spec: LayerSpec, found: Sequence[Read]) -> int:
        return spec.output.shape[1] if self._by_block(found) else self._lines(spec)

    @staticmethod
    def _by_block(found: Sequence[Read]) -> bool:
        return any(read.by_block for read in found)

    def _expression(self, spec: LayerSpec) -> Expression:
        if not isinstance(spec.op, Map):
            raise ScheduleError(f"{self.name} does not compute {spec.op}")
        return spec.op.expression

    def _reads(self, spec: LayerSpec, choice: Choice | None = None) -> tuple[Read, ...]:
        found = reads(spec, planar=choice is not None and choice.splits.get("numbers") == PLANAR)
        if found is None:
            raise ScheduleError(f"{self.name} does not broadcast the operands of {spec.describe()}")
        return found

    def space(self, spec: LayerSpec, target: Target) -> Space:
        spec = first_image(spec)
        found = self._reads(spec)
        rows = _rows(self._most_rows(spec, found))
        axes = [Axis("groups", (1,) if self._by_block(found) else (1, 2, 4, 8), "split"), Axis("rows", rows)]
        if has_numbers_of_channels(spec):
            axes.append(Axis("numbers", NUMBERS, "split"))
        return Space(tuple(axes))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        spec = first_image(spec)
        rows, groups, numbers = point["rows"], point["groups"], point.get("numbers")
        found = reads(spec, planar=numbers == PLANAR)
        if found is None or rows * groups > self._most_rows(spec, found):
            raise ScheduleError(f"{self.name}: {groups} groups of {rows} lines exceed the layer")
        split = {"groups": groups} | ({} if numbers is None else {"numbers": numbers})
        choice = Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values(split),
            tile=values({"rows": rows}),
            input_layouts=tuple(read.layout for read in found[: len(spec.inputs)]),
            output_layouts=("pixel16" if is_image(spec.output) else "nchw",),
        )
        self._kernel(spec, rows, choice)  # refuses what has no registers
        return choice

    def _tiles(self, spec: LayerSpec, rows: int, choice: Choice, output_lines: int | None) -> list[Tile]:
        found = self._reads(spec, choice)
        return [
            (tuple(read.address(place) for read in found), groups, Address("output", place.output_bytes))
            for place, groups in self._places(spec, rows, choice, output_lines, found)
        ]

    def _places(
        self, spec: LayerSpec, rows: int, choice: Choice, output_lines: int | None, found: Sequence[Read]
    ) -> list[tuple[Place, int]]:
        """Where tiles begin, and their groups."""
        groups = choice.splits["groups"]
        if not is_image(spec.output):
            if output_lines is not None:
                raise ScheduleError(
                    f"{self.name} writes nchw here, which has no blocks of {output_lines} lines"
                )
            return [
                (Place(WORD_BYTES * word, 0, 0, WORD_BYTES * word), groups)
                for word in starts(spec.output.elements, LANES * groups * rows)
            ]
        channels = spec.output.shape[1]
        lines = block_lines(channels)
        if output_lines is None and not self._by_block(found):
            return [
                (Place(LINE_BYTES * line, 0, 0, LINE_BYTES * line), groups)
                for line in starts(self._lines(spec), groups * rows)
            ]
        target_lines = output_lines or lines
        return [
            (
                Place(
                    LINE_BYTES * (block * lines + channel),
                    block,
                    channel,
                    LINE_BYTES * (block * target_lines + channel),
                ),
                run,
            )
            for block in range(_blocks(spec))
            for channel, run in _runs(channels, rows)
        ]


class QpuConcat(_QpuLines):
    """Channels of several tensors behind each other: every block's lines are copied to their place.

    Axes:
        rows: lines of 16 elements that a QPU computes before it stores them
    """

    name = "qpu_concat"

    def _takes(self, spec: LayerSpec) -> bool:
        return isinstance(spec.op, Concat) and self._lines_suffice(spec)

    def _lines_suffice(self, spec: LayerSpec) -> bool:
        return _on_one_image(spec) and self._fewest_channels(spec) >= min(ROWS)

    def _operands(self, spec: LayerSpec, source: Address, channel: int) -> tuple[Address, ...]:
        """Of a tile that begins at this channel of the output."""
        return (source,)

    def _order(self, spec: LayerSpec) -> Sequence[int]:
        """The inputs in the order in which they are put behind each other."""
        return range(len(spec.inputs))

    @staticmethod
    def _fewest_channels(spec: LayerSpec) -> int:
        return min(tensor.shape[1] for tensor in spec.inputs)

    def space(self, spec: LayerSpec, target: Target) -> Space:
        return Space((Axis("rows", tuple(r for r in ROWS if r <= self._fewest_channels(spec))),))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        rows = point["rows"]
        self._kernel(spec, rows)  # refuses what has no registers
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({}),
            tile=values({"rows": rows}),
            input_layouts=("pixel16",) * len(spec.inputs),
            output_layouts=("pixel16",),
        )

    def _tiles(self, spec: LayerSpec, rows: int, choice: Choice, output_lines: int | None) -> list[Tile]:
        lines = output_lines or block_lines(spec.output.shape[1])
        tiles: list[Tile] = []
        for block in range(_blocks(spec)):
            first = 0
            for index in self._order(spec):
                channels = spec.inputs[index].shape[1]
                for channel, groups in _runs(channels, rows):
                    source = Address("input", LINE_BYTES * (block * block_lines(channels) + channel), index)
                    target = Address("output", LINE_BYTES * (block * lines + first + channel))
                    tiles.append((self._operands(spec, source, first + channel), groups, target))
                first += channels
        return tiles
