"""Fully connected layers of 2 to 16 rows: a batch, or as many words of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.geometry import bounds, busiest_share, starts
from codegen.engines.videocore4.algorithms.vectors import DEALINGS, dealt_out, packed_outputs
from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.few_rows import few_rows_kernel, few_rows_tile_words
from codegen.engines.videocore4.kernels.pieces import MOST_STRIDE_BYTES, dma_store_stride
from codegen.engines.videocore4.kernels.results import coded, epilogue_instructions
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.fully_connected import FullyConnected
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, AxisNames, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray

MOST_ROWS = 16  # whose sums are in registers at a time
MOST_IN_ALL = 48  # rows of a layer: from 20 on there are tiles of 32 outputs
GROUPS = 8, 16, 32
_HEAD_WORDS = 2
_JUMP_INSTRUCTIONS = 5.0  # to the next row's inputs, its sum taken up and put back


class QpuFullyConnectedFewRows(AlgorithmBase):
    """A few rows times a constant matrix: lines of weights stay in registers while the inputs of `rows` rows pass.

    Axes:
        dealing: how tiles go to the QPUs: runs of neighbours, or interleaved, every so many-th
        rows: rows of a tile; the last tile begins earlier where they do not divide all
        group: inputs whose weights are in registers at a time
    """

    name = "qpu_fully_connected_few_rows"
    engine: str = "videocore4"
    axis_names: ClassVar[AxisNames] = {"dealing": DEALINGS}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        op = spec.op
        if not isinstance(op, FullyConnected) or len(spec.inputs) != 1:
            return False
        rows, inputs = spec.inputs[0].shape
        outputs = spec.output.shape[1]
        return (
            target.has_qpus
            and 2 <= rows <= MOST_IN_ALL
            and any(inputs % group == 0 for group in GROUPS)
            and outputs >= LANES
            and WORD_BYTES * (outputs - LANES) <= MOST_STRIDE_BYTES
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        rows, inputs = spec.inputs[0].shape
        fewest = -(-rows // MOST_ROWS)
        heights = sorted({-(-rows // parts) for parts in (fewest, fewest + 1, 2 * fewest)})
        groups = tuple(group for group in GROUPS if inputs % group == 0)
        return Space(
            (Axis("dealing", DEALINGS, "split"), Axis("rows", tuple(heights)), Axis("group", groups))
        )

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        choice = Choice(
            self.engine,
            self.name,
            values({"dealing": point["dealing"]}),
            values({"rows": point["rows"], "group": point["group"]}),
            ("nchw",),
            ("nchw",),
        )
        self._kernel(spec, choice)  # refuses what has no registers
        return choice

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        total, inputs = spec.inputs[0].shape
        outputs, rows, group = spec.output.shape[1], choice.tiles["rows"], choice.tiles["group"]
        epilogue = self._op(spec).epilogue
        tiles = self._tiles(spec, choice)
        count, groups = len(tiles), inputs // group
        words = rows * inputs + few_rows_tile_words(bool(bounds(epilogue)))
        each_group = 3.0 * group + rows * (group + _JUMP_INSTRUCTIONS) + 5
        return Work(
            macs=float(total * inputs * outputs),
            alu_instructions=count
            * (groups * each_group + rows * (3 + epilogue_instructions(epilogue)) + 60.0),
            load_instructions=float(count * (inputs + 1)),
            uniform_words=float(count * words),
            store_instructions=float(count * rows),
            dma_stores=float(count),
            unique_bytes_read=float(WORD_BYTES * (inputs * outputs + total * inputs + outputs)),
            streamed_bytes_read=float(count * ((inputs + 1) * LINE_BYTES + WORD_BYTES * rows * inputs)),
            bytes_written=float(WORD_BYTES * total * outputs),
            balance=busiest_share(
                [len(own) for own in dealt_out(tiles, target.qpus, choice.splits["dealing"])]
            ),
            working_set_bytes=float(WORD_BYTES * total * inputs),
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
        if output_lines is not None:
            raise ScheduleError(f"{self.name} writes nchw, which has no blocks of {output_lines} lines")
        matrix, bias = weights[0], weights[1]
        outputs, inputs = matrix.shape
        columns = starts(outputs, LANES)
        clamp = bounds(self._op(spec).epilogue)
        tile_bytes, pitch = (inputs + 1) * LINE_BYTES, WORD_BYTES * inputs

        def block(tiles: Sequence[tuple[int, int]]) -> tuple[Uniform, ...] | None:
            if not tiles:
                return None
            words: list[Uniform] = [Address("block", WORD_BYTES * _HEAD_WORDS), len(tiles)]
            for column, row in tiles:
                words += [Address("weights", column * tile_bytes), *clamp]
                words += [
                    Address("output", WORD_BYTES * (row * outputs + columns[column])),
                    dma_store_stride(WORD_BYTES * (outputs - LANES)),
                    pitch,
                    inputs // choice.tiles["group"],
                    Address("input", row * pitch),
                ]
            return tuple(words)

        dealt = dealt_out(self._tiles(spec, choice), target.qpus, choice.splits["dealing"])
        packed = packed_outputs("float32", matrix, bias, columns)
        return QpuLayer(self._kernel(spec, choice).words, packed, tuple(map(block, dealt)))

    def order_of_sums(self, spec: LayerSpec, choice: Choice) -> NDArray[np.intp]:
        """Input by input."""
        return np.arange(spec.inputs[0].shape[1])

    def _tiles(self, spec: LayerSpec, choice: Choice) -> list[tuple[int, int]]:
        """Number of a tile's outputs, and its first row."""
        columns = range(len(starts(spec.output.shape[1], LANES)))
        rows = starts(spec.inputs[0].shape[0], choice.tiles["rows"])
        return [(column, row) for column in columns for row in rows]

    def _kernel(self, spec: LayerSpec, choice: Choice) -> Assembler:
        return few_rows_kernel(choice.tiles["rows"], choice.tiles["group"], coded(self._op(spec).epilogue))

    def _op(self, spec: LayerSpec) -> FullyConnected:
        if not isinstance(spec.op, FullyConnected):
            raise ScheduleError(f"{self.name} does not compute {spec.op}")
        return spec.op
