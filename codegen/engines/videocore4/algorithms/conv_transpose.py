"""Transposed convolution: a convolution for each phase of the strides; then results are put between each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.arrangements import arrangement
from codegen.engines.videocore4.algorithms.gathered_lines import GatheredLines, Words
from codegen.engines.videocore4.algorithms.geometry import bounds, busiest_share, dealt, starts
from codegen.engines.videocore4.algorithms.moves import work_of
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.kernels.gemm import gemm_kernel
from codegen.engines.videocore4.kernels.pieces import TAP_WORDS
from codegen.engines.videocore4.kernels.results import coded, epilogue_instructions
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES, Pixel16, block_lines
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.operators.rearrange import Rearrange
from codegen.phases import AxisPhase, axis_phases
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray, TensorType

CHANNELS = 4, 8, 12, 16, 20, 24, 32, 40, 48
BLOCKS = 1, 2, 3
ROWS = 8, 16
GROUPS = 4  # of the second phase
MINIMUM_CHANNELS = 2  # the kernel's last two channels stand outside its loop
Tap = tuple[int, int, int, int]  # row and column of the kernel, and of the input relative to the grid's


@dataclass(frozen=True)
class _Phases:
    """The convolutions on one grid of pixels: of each the taps, and all their results as one tensor's channels."""

    taps: tuple[tuple[Tap, ...], ...]
    channels: int  # of each
    grid: tuple[int, int]
    results: TensorType
    between: LayerSpec  # what puts the results between each other

    @property
    def blocks(self) -> int:
        return -(-self.grid[0] * self.grid[1] // LANES)

    @staticmethod
    @cache
    def of(spec: LayerSpec) -> _Phases:
        """Those of a ConvTranspose2d; the grid has as many rows and columns as the largest phase."""
        rows, columns = axis_phases(spec, 0), axis_phases(spec, 1)
        taps = tuple(tuple(_taps(row, column)) for row in rows for column in columns)
        grid = rows[0].window.outputs, columns[0].window.outputs
        _, channels, height, width = spec.output.shape
        results = TensorType((1, channels * len(taps), *grid))
        per_phase = channels * grid[0] * grid[1]
        row_places = (
            (y % len(rows)) * len(columns) * per_phase + y // len(rows) * grid[1] for y in range(height)
        )
        column_places = ((x % len(columns)) * per_phase + x // len(columns) for x in range(width))
        op = Rearrange(
            (1, channels, height, width),
            (0, grid[0] * grid[1], 0, 0),
            0,
            ((), (), tuple(row_places), tuple(column_places)),
        )
        return _Phases(taps, channels, grid, results, LayerSpec(op, (results,), spec.outputs))


def _taps(row: AxisPhase, column: AxisPhase) -> list[Tap]:
    """Every tap that the outputs of a phase meet; a phase without any still has its bias, and a tap of zeros."""
    return [
        (y, x, i * row.window.dilation - row.window.pad, j * column.window.dilation - column.window.pad)
        for i, y in enumerate(row.taps)
        for j, x in enumerate(column.taps)
    ]


class QpuConvTranspose(AlgorithmBase):
    """Any ungrouped transposed convolution: outputs of equal remainder by the strides meet the same taps, as implicit
    GEMM of `blocks` of pixels by `channels`; then `rows` lines at a time take their pixels from all phases.

    Axes:
        blocks: blocks of 16 pixels of a phase in a tile
        channels: output channels of a tile
        rows: lines of 16 outputs that take their pixels from all phases at a time
    """

    name = "qpu_conv_transpose"
    engine: str = "videocore4"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        op = spec.op
        return (
            isinstance(op, ConvTranspose2d)
            and target.has_qpus
            and op.groups == 1
            and spec.inputs[0].shape[0] == 1
            and spec.inputs[0].shape[1] >= MINIMUM_CHANNELS
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        phases = _Phases.of(spec)
        channels = tuple(c for c in CHANNELS if c <= phases.channels) or (phases.channels,)
        blocks = tuple(b for b in BLOCKS if b <= phases.blocks)
        return Space((Axis("blocks", blocks), Axis("channels", channels), Axis("rows", ROWS)))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        gemm_kernel(
            point["blocks"], point["channels"], True, coded(_op(spec).epilogue)
        )  # refuses what has none
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({}),
            tile=values(point),
            input_layouts=("pixel16",),
            output_layouts=("pixel16",),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        phases, epilogue = _Phases.of(spec), _op(spec).epilogue
        blocks, channels = choice.tiles["blocks"], choice.tiles["channels"]
        depth = spec.inputs[0].shape[1]
        taps = sum(len(taps) or 1 for taps in phases.taps)
        rows, columns = -(-phases.blocks // blocks), len(starts(phases.channels, channels))
        tiles, per_phase = rows * columns * len(phases.taps), rows * columns
        inner = channels + 4.0 if blocks == 1 else channels * (blocks + 0.5) + 1.5 * blocks + 3
        results = blocks * channels * (2 + epilogue_instructions(epilogue)) + channels + 60
        read = sum(tensor.size_bytes for tensor in (*spec.inputs, *spec.weights))
        second = work_of(_between(spec, None), choice.tiles["rows"], GROUPS, target, 0.0)
        stored = tiles * blocks * channels
        return Work(
            macs=float(depth * taps * phases.channels * phases.blocks * LANES),
            alu_instructions=per_phase * taps * (depth * inner + 25 * blocks + 20)
            + tiles * results
            + second.alu_instructions,
            load_instructions=per_phase * taps * depth * blocks + second.load_instructions,
            uniform_words=per_phase * taps * (depth * channels + blocks * TAP_WORDS) + second.uniform_words,
            store_instructions=stored + second.store_instructions,
            dma_stores=tiles * blocks + second.dma_stores,
            unique_bytes_read=float(read),
            streamed_bytes_read=float(read * min(rows, 8)) + second.streamed_bytes_read,
            bytes_written=float(stored * LINE_BYTES) + second.bytes_written,
            balance=busiest_share(dealt(tiles, target.qpus)),
            working_set_bytes=float(WORD_BYTES * depth * channels * taps / len(phases.taps)),
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
        op, phases = _op(spec), _Phases.of(spec)
        blocks, channels = choice.tiles["blocks"], choice.tiles["channels"]
        streams = _streams(spec, phases, weights, blocks, channels)
        packed = [np.zeros(LANES, np.uint32)]  # lanes outside the input read these
        offsets = []
        for stream in streams:
            offsets.append(WORD_BYTES * sum(map(len, packed)))
            packed.append(np.pad(stream, (0, -len(stream) % LANES)))
        tiles = [
            (block, number)
            for block in starts(phases.blocks, blocks)
            for number in range(len(streams))
        ]  # fmt: skip
        per_phase = starts(phases.channels, channels)
        first_channels = [
            phase * phases.channels + start for phase in range(len(phases.taps)) for start in per_phase
        ]
        clamp = bounds(op.epilogue)

        def words_of(own: Sequence[tuple[int, int]]) -> tuple[Uniform, ...] | None:
            if not own:
                return None
            words: list[Uniform] = [Address("block", 4 * WORD_BYTES), len(own)]
            words += [Address("input"), Address("weights")]
            for block, number in own:
                for p in range(blocks):
                    words += [(block + p) * LANES, 1.0 / phases.grid[1], phases.grid[1], 1, 0, 1, 0]
                words += [Address("weights", offsets[number]), *clamp]
                words += [
                    Address("scratch", LINE_BYTES * ((block + p) * _lines(phases) + first_channels[number]))
                    for p in range(blocks)
                ]
            return tuple(words)

        kernel = gemm_kernel(blocks, channels, True, coded(op.epilogue))
        return QpuLayer(
            kernel.words,
            np.concatenate(packed),
            tuple(words_of(tiles[q :: target.qpus]) for q in range(target.qpus)),
            then=_between(spec, output_lines).lower(choice.tiles["rows"], GROUPS, target, "scratch"),
            scratch_bytes=Pixel16().size_bytes(phases.results),
        )


def _op(spec: LayerSpec) -> ConvTranspose2d:
    if not isinstance(spec.op, ConvTranspose2d):
        raise ScheduleError(f"no transposed convolution: {spec.op}")
    return spec.op


def _lines(phases: _Phases) -> int:
    return block_lines(phases.results.shape[1])


def _between(spec: LayerSpec, output_lines: int | None) -> GatheredLines:
    return arrangement(_Phases.of(spec).between, ("pixel16", "pixel16"), output_lines)


def _streams(
    spec: LayerSpec, phases: _Phases, weights: Sequence[FloatArray], blocks: int, channels: int
) -> list[Words]:
    """What the kernel reads of each phase's tiles of channels: biases, and each tap's place and weights."""
    kernel, bias = weights[0], weights[1]
    _, depth, height, width = spec.inputs[0].shape
    found = []
    for taps in phases.taps:
        for start in starts(phases.channels, channels):
            chosen = slice(start, start + channels)
            parts = [float_words(bias[chosen]), np.array([max(len(taps), 1) - 1], np.uint32)]
            for tap in taps or ((-1, -1, 0, 0),):
                row, column, down, right = tap
                own = kernel[chosen, :, row, column] if taps else np.zeros((channels, depth), np.float32)
                place = (
                    down,
                    height - 1,
                    right,
                    width - 1,
                    width,
                    block_lines(depth) * LINE_BYTES,
                    LINE_BYTES,
                )
                parts.append(np.array([*place * blocks, depth - 2], np.int64).astype(np.uint32))
                parts.append(float_words(own.T))
            found.append(np.concatenate(parts))
    return found
