"""Layers that work line by line: element-wise sums, and channels put behind each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from codegen.errors import ScheduleError
from codegen.graph import Add, Concat, FloatArray, LayerSpec
from codegen.layout import LANES, block_lines, plane
from codegen.qpu.algorithms.geometry import LINE_BYTES, UNBOUNDED, bounds, busiest_share, starts
from codegen.qpu.kernels.lines import lines_kernel, tile_words
from codegen.qpu.layer import Address, QpuLayer, Uniform
from codegen.schedule import Axis, Choice, Processor, Space, Work, values
from codegen.target import Target

ROWS = (4, 8, 16, 32)
Tile = tuple[tuple[Address, ...], int, Address]  # operands, groups, output
_HEAD_WORDS = 2


def _on_one_image(spec: LayerSpec) -> bool:
    return all(len(t.shape) == 4 and t.shape[0] == 1 for t in (*spec.inputs, spec.output))


def _blocks(spec: LayerSpec) -> int:
    return -(-plane(spec.output)[2] // LANES)


class _QpuLines:
    """What sums and copies share; a subclass deals out tiles."""

    name: str
    processor: Processor = "qpu"
    operands: int

    def _tiles(self, spec: LayerSpec, choice: Choice) -> list[Tile]:
        raise NotImplementedError

    def _clamp(self, spec: LayerSpec) -> tuple[float, float]:
        return -UNBOUNDED, UNBOUNDED

    def _choice(self, spec: LayerSpec, point: Mapping[str, int], split: Mapping[str, int]) -> Choice:
        lines_kernel(self.operands, point["rows"])  # refuses what has no registers
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
        dealt = self._dealt(spec, target, choice)
        groups = [sum(count for _, count, _ in tiles) for tiles in dealt]
        lines, tiles = sum(groups) * rows, sum(map(len, dealt))
        read = float(lines * self.operands * LINE_BYTES)
        return Work(
            macs=float(spec.output.elements * (self.operands - 1)),
            alu_instructions=lines * (2.0 * self.operands + 4) + tiles * 40.0,
            load_instructions=float(lines * self.operands),
            uniform_words=float(tiles * tile_words(self.operands)),
            store_instructions=float(lines),
            dma_stores=float(sum(groups)),
            unique_bytes_read=read,
            streamed_bytes_read=read,
            bytes_written=float(lines * LINE_BYTES),
            balance=busiest_share(groups),
            working_set_bytes=float(rows * self.operands * LINE_BYTES * target.qpus),
        )

    def lower(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray]
    ) -> QpuLayer:
        clamp = self._clamp(spec)

        def block(tiles: Sequence[Tile]) -> tuple[Uniform, ...] | None:
            if not tiles:
                return None
            words: list[Uniform] = [Address("block", 4 * _HEAD_WORDS), len(tiles)]
            for operands, groups, output in tiles:
                words += [*operands, groups, output, *clamp]
            return tuple(words)

        code = lines_kernel(self.operands, choice.tiles["rows"])
        blocks = tuple(block(tiles) for tiles in self._dealt(spec, target, choice))
        return QpuLayer(code, np.zeros(0, np.uint32), blocks)

    def _dealt(self, spec: LayerSpec, target: Target, choice: Choice) -> list[list[Tile]]:
        tiles = self._tiles(spec, choice)
        return [tiles[q :: target.qpus] for q in range(target.qpus)]


class QpuAdd(_QpuLines):
    """The sum of two tensors: equal layouts add line by line, padding included."""

    name = "qpu_add"
    operands = 2

    def applies(self, spec: LayerSpec, target: Target) -> bool:
        return (
            isinstance(spec.op, Add)
            and target.has_qpus
            and _on_one_image(spec)
            and len(spec.inputs) == 2
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

    def _tiles(self, spec: LayerSpec, choice: Choice) -> list[Tile]:
        groups = choice.splits["groups"]
        offsets = [LINE_BYTES * line for line in starts(self._lines(spec), groups * choice.tiles["rows"])]
        return [
            ((Address("input", o, 0), Address("input", o, 1)), groups, Address("output", o)) for o in offsets
        ]

    def _clamp(self, spec: LayerSpec) -> tuple[float, float]:
        if not isinstance(spec.op, Add):
            raise ScheduleError(f"{self.name} does not compute {spec.op}")
        return bounds(spec.op.activation)


class QpuConcat(_QpuLines):
    """Channels of several tensors behind each other: every block's lines are copied to their place."""

    name = "qpu_concat"
    operands = 1

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

    def _tiles(self, spec: LayerSpec, choice: Choice) -> list[Tile]:
        rows = choice.tiles["rows"]
        output_lines = block_lines(spec.output.shape[1])
        tiles: list[Tile] = []
        for block in range(_blocks(spec)):
            first = 0
            for index, tensor in enumerate(spec.inputs):
                channels = tensor.shape[1]
                # Whole groups in one tile; what is left over overlaps their last.
                runs = [(0, channels // rows)] + ([(channels - rows, 1)] if channels % rows else [])
                for channel, groups in runs:
                    source = LINE_BYTES * (block * block_lines(channels) + channel)
                    target = LINE_BYTES * (block * output_lines + first + channel)
                    tiles.append(((Address("input", source, index),), groups, Address("output", target)))
                first += channels
        return tiles
