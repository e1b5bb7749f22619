"""Layers that work line by line: element-wise sums, and channels put behind each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from codegen.engines.videocore4.algorithms.geometry import (
    LINE_BYTES,
    UNBOUNDED,
    bounds,
    busiest_share,
    starts,
)
from codegen.engines.videocore4.kernels.lines import COPY, LINES, SUMS, lines_kernel, tile_words
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.errors import ScheduleError
from codegen.expression import RESULT, Expression, Operand, as_clamp, clamp
from codegen.graph import LayerSpec
from codegen.layout import LANES, block_lines, plane
from codegen.operators.concat import Concat
from codegen.operators.elementwise import Map
from codegen.schedule import Axis, Choice, Processor, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray

ROWS = (4, 8, 16, 32)
Tile = tuple[tuple[Address, ...], int, Address]  # operands, groups, output
_HEAD_WORDS = 2


def _on_one_image(spec: LayerSpec) -> bool:
    return all(len(t.shape) == 4 and t.shape[0] == 1 for t in (*spec.inputs, spec.output))


def _blocks(spec: LayerSpec) -> int:
    return -(-plane(spec.output)[2] // LANES)


def _dealt(tiles: list[Tile], target: Target) -> list[list[Tile]]:
    return [tiles[q :: target.qpus] for q in range(target.qpus)]


def _runs(channels: int, rows: int) -> list[tuple[int, int]]:
    """First channel and groups of the tiles of one block: whole groups, and one more for what is left over, which
    overlaps their last.
    """
    return [(0, channels // rows)] + ([(channels - rows, 1)] if channels % rows else [])


class _QpuLines:
    """What sums and copies share; a subclass deals out tiles."""

    name: str
    processor: Processor = "qpu"
    operands: int
    expression: Expression

    def _tiles(self, spec: LayerSpec, rows: int, choice: Choice, output_lines: int | None) -> list[Tile]:
        raise NotImplementedError

    def _clamp(self, spec: LayerSpec) -> tuple[float, float]:
        return -UNBOUNDED, UNBOUNDED

    def _choice(self, spec: LayerSpec, point: Mapping[str, int], split: Mapping[str, int]) -> Choice:
        lines_kernel(self.expression, [LINES] * self.operands, point["rows"])  # refuses what has no registers
        return Choice(
            processor="qpu",
            algorithm=self.name,
            split=values(split),
            tile=values({"rows": point["rows"]}),
            input_layouts=("pixel16",) * len(spec.inputs),
            output_layout="pixel16",
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        rows = choice.tiles["rows"]
        dealt = _dealt(self._tiles(spec, rows, choice, None), target)
        groups = [sum(count for _, count, _ in tiles) for tiles in dealt]
        lines, tiles = sum(groups) * rows, sum(map(len, dealt))
        read = float(lines * self.operands * LINE_BYTES)
        return Work(
            macs=float(spec.output.elements * (self.operands - 1)),
            alu_instructions=lines * (2.0 * self.operands + 4) + tiles * 40.0,
            load_instructions=float(lines * self.operands),
            uniform_words=float(tiles * tile_words(self.operands, True)),
            store_instructions=float(lines),
            dma_stores=float(sum(groups)),
            unique_bytes_read=read,
            streamed_bytes_read=read,
            bytes_written=float(lines * LINE_BYTES),
            balance=busiest_share(groups),
            working_set_bytes=float(rows * self.operands * LINE_BYTES * target.qpus),
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
        clamp = self._clamp(spec)

        def block(tiles: Sequence[Tile]) -> tuple[Uniform, ...] | None:
            if not tiles:
                return None
            words: list[Uniform] = [Address("block", 4 * _HEAD_WORDS), len(tiles)]
            for operands, groups, output in tiles:
                words += [*operands, groups, output, *clamp]
            return tuple(words)

        rows = choice.tiles["rows"]
        if output_lines is not None:  # a group keeps to one block's channels
            rows = min(rows, spec.output.shape[1])
        dealt = _dealt(self._tiles(spec, rows, choice, output_lines), target)
        blocks = tuple(block(tiles) for tiles in dealt)
        return QpuLayer(
            lines_kernel(self.expression, [LINES] * self.operands, rows), np.zeros(0, np.uint32), blocks
        )


class QpuMap(_QpuLines):
    """The sum of two tensors: equal layouts add line by line, padding included; a part of a whole, block by block."""

    name = "qpu_map"
    operands = 2
    expression = SUMS[0]

    def applies(self, spec: LayerSpec, target: Target) -> bool:
        return (
            isinstance(spec.op, Map)
            and as_clamp(spec.op.expression).value == Operand(0) + Operand(1)
            and spec.inputs == (spec.output,) * 2
            and target.has_qpus
            and _on_one_image(spec)
            and self._lines(spec) >= min(ROWS)
        )

    @staticmethod
    def _lines(spec: LayerSpec) -> int:
        return _blocks(spec) * block_lines(spec.output.shape[1])

    def space(self, spec: LayerSpec, target: Target) -> Space:
        rows = tuple(r for r in ROWS if r <= self._lines(spec))
        return Space((Axis("groups", (1, 2, 4, 8), "split"), Axis("rows", rows)))

    def choice(self, spec: LayerSpec, target: Target, point: Mapping[str, int]) -> Choice:
        if point["rows"] * point["groups"] > self._lines(spec):
            raise ScheduleError(
                f"{self.name}: {point['groups']} groups of {point['rows']} lines exceed the layer"
            )
        return self._choice(spec, point, {"groups": point["groups"]})

    def _tiles(self, spec: LayerSpec, rows: int, choice: Choice, output_lines: int | None) -> list[Tile]:
        if output_lines is None:
            groups = choice.splits["groups"]
            return [_sum(line, line, groups) for line in starts(self._lines(spec), groups * rows)]
        channels = spec.output.shape[1]
        return [
            _sum(block * block_lines(channels) + channel, block * output_lines + channel, groups)
            for block in range(_blocks(spec))
            for channel, groups in _runs(channels, rows)
        ]

    def _clamp(self, spec: LayerSpec) -> tuple[float, float]:
        if not isinstance(spec.op, Map):
            raise ScheduleError(f"{self.name} does not compute {spec.op}")
        _, low, high = as_clamp(spec.op.expression)
        return bounds(clamp(RESULT, low, high))


def _sum(source_line: int, output_line: int, groups: int) -> Tile:
    source = LINE_BYTES * source_line
    return (
        (Address("input", source, 0), Address("input", source, 1)),
        groups,
        Address("output", LINE_BYTES * output_line),
    )


class QpuConcat(_QpuLines):
    """Channels of several tensors behind each other: every block's lines are copied to their place."""

    name = "qpu_concat"
    operands = 1
    expression = COPY

    def applies(self, spec: LayerSpec, target: Target) -> bool:
        return (
            isinstance(spec.op, Concat)
            and spec.op.axis == 1
            and target.has_qpus
            and _on_one_image(spec)
            and self._fewest_channels(spec) >= min(ROWS)
        )

    @staticmethod
    def _fewest_channels(spec: LayerSpec) -> int:
        return min(tensor.shape[1] for tensor in spec.inputs)

    def space(self, spec: LayerSpec, target: Target) -> Space:
        return Space((Axis("rows", tuple(r for r in ROWS if r <= self._fewest_channels(spec))),))

    def choice(self, spec: LayerSpec, target: Target, point: Mapping[str, int]) -> Choice:
        if point["rows"] > self._fewest_channels(spec):
            raise ScheduleError(f"{self.name}: {point['rows']} lines exceed the smallest input's channels")
        return self._choice(spec, point, {})

    def _tiles(self, spec: LayerSpec, rows: int, choice: Choice, output_lines: int | None) -> list[Tile]:
        lines = output_lines or block_lines(spec.output.shape[1])
        tiles: list[Tile] = []
        for block in range(_blocks(spec)):
            first = 0
            for index, tensor in enumerate(spec.inputs):
                channels = tensor.shape[1]
                for channel, groups in _runs(channels, rows):
                    source = LINE_BYTES * (block * block_lines(channels) + channel)
                    target = LINE_BYTES * (block * lines + first + channel)
                    tiles.append(((Address("input", source, index),), groups, Address("output", target)))
                first += channels
        return tiles
