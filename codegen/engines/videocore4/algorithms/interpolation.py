"""Interpolated planes: lanes gather their pixels' neighbours, once for all channels by tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.gathered_lines import GatheredLines, Run
from codegen.engines.videocore4.algorithms.moves import work_of
from codegen.engines.videocore4.kernels.gather import Form, gather_kernel
from codegen.engines.videocore4.layer import QpuLayer
from codegen.engines.videocore4.layout import LANES, LINE_BYTES, block_lines
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.interpolation import Interpolation
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray

ROWS = 4, 8, 16
GROUPS = 1, 4, 16


class QpuInterpolation(AlgorithmBase):
    """Weighted sums of up to 16 neighbours: a table for each block of pixels says where they lie in a channel.

    Axes:
        groups: tiles of `rows` channels that a QPU computes one behind the other
        rows: channels of 16 pixels each that are stored at a time
    """

    name = "qpu_interpolation"
    engine: str = "videocore4"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Interpolation) and target.has_qpus

    def space(self, spec: LayerSpec, target: Target) -> Space:
        return Space((Axis("groups", GROUPS, "split"), Axis("rows", ROWS)))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        rows, groups, channels = point["rows"], point["groups"], spec.output.shape[1]
        if (rows > min(ROWS) and rows >= 2 * channels) or (groups > 1 and rows * groups >= 4 * channels):
            raise ScheduleError(f"{self.name}: {groups} groups of {rows} lines exceed {channels} channels")
        gather_kernel(_lines(spec).form, rows)  # refuses what has no registers
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({"groups": groups}),
            tile=values({"rows": rows}),
            input_layouts=("pixel16",),
            output_layouts=("pixel16",),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        read = spec.inputs[0].size_bytes
        return work_of(_lines(spec), choice.tiles["rows"], choice.splits["groups"], target, read)

    def lower(
        self,
        spec: LayerSpec,
        target: Target,
        choice: Choice,
        weights: Sequence[FloatArray],
        *,
        output_lines: int | None = None,
    ) -> QpuLayer:
        return _lines(spec, output_lines).lower(choice.tiles["rows"], choice.splits["groups"], target)


@lru_cache(maxsize=64)
def _lines(spec: LayerSpec, output_lines: int | None = None) -> GatheredLines:
    op = spec.op
    if not isinstance(op, Interpolation):
        raise ScheduleError(f"no interpolation: {op}")
    samples, channels, height, width = spec.inputs[0].shape
    _, _, rows, columns = spec.output.shape
    pixels = np.pad(np.arange(rows * columns), (0, -(rows * columns) % LANES), "edge").reshape(-1, LANES)
    y, x = pixels // columns, pixels % columns
    read = [
        (row[y] * width + column[x], row_weight[y] * column_weight[x])
        for row, row_weight in _taps(op.row_places, op.row_weights)
        for column, column_weight in _taps(op.column_places, op.column_weights)
    ]
    input_blocks, input_lines = -(-height * width // LANES), block_lines(channels)
    lines = GatheredLines(Form(taps=len(read), weighted=True))
    stream = lines.stream(np.arange(channels) * LINE_BYTES)
    for block in range(len(pixels)):
        offsets = [
            place[block] // LANES * input_lines * LINE_BYTES + place[block] % LANES * WORD_BYTES
            for place, _ in read
        ]
        weights = [weight[block].astype(np.float32).view(np.uint32) for _, weight in read]
        least = int(np.min(offsets))
        table = lines.table(np.concatenate([*((o - least).astype(np.uint32) for o in offsets), *weights]))
        for sample in range(samples):
            at = LINE_BYTES * (sample * len(pixels) + block) * (output_lines or block_lines(channels))
            base = sample * input_blocks * input_lines * LINE_BYTES + least
            lines.runs.append(Run(0, base, table, stream, 0, channels, 0, at, LINE_BYTES, LANES))
    return lines


def _taps(
    places: Sequence[Sequence[int]], weights: Sequence[Sequence[float]]
) -> zip[tuple[FloatArray, FloatArray]]:
    """By tap, the place and the weight of every index."""
    return zip(np.array(places).T, np.array(weights).T, strict=True)
