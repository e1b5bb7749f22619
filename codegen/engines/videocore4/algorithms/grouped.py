"""Convolutions with few input channels an output: small groups, multiplied channels, images of a few channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.convolution import Convolution
from codegen.engines.videocore4.algorithms.gemm import INPUT_LAYOUTS, input_steps
from codegen.engines.videocore4.algorithms.geometry import Geometry, bounds, busiest_share, dealt, starts
from codegen.engines.videocore4.algorithms.images import for_each_image, images_of, work_of_images
from codegen.engines.videocore4.algorithms.window import depthwise_window
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.grouped import (
    ABSENT,
    HEAD_WORDS,
    WORDS_BEFORE_WEIGHTS,
    grouped_kernel,
    tap_instructions,
    words_after_weights,
)
from codegen.engines.videocore4.kernels.pieces import TAP_WORDS
from codegen.engines.videocore4.kernels.results import coded, epilogue_instructions
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, AxisNames, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray

GROUPS = (1, 2, 4, 8, 16)
OUTPUTS = (8, 16, 24, 32)
MOST_LINES = 32  # input channels of a tile
MOST_RESULTS = 44  # of a tile in registers
MOST_UNGROUPED_LINES = 4  # with more, implicit GEMM's loop over channels pays


@dataclass(frozen=True)
class _Tile:
    """Channels of a tile: the first of its inputs and of its outputs."""

    source: int
    output: int


class QpuGrouped(AlgorithmBase):
    """Convolution in groups of up to 32 input channels, or ungrouped of up to 4, in straight code for each tap.

    Axes:
        groups: groups of channels of a tile
        outputs: output channels of each group in a tile
        input_layout: the layout of the inputs
    """

    name = "qpu_grouped"
    engine: str = "videocore4"
    axis_names: ClassVar[AxisNames] = {"input_layout": INPUT_LAYOUTS}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        found = Convolution.of(spec)
        if found is None or found.residual is not None or not target.has_qpus:
            return False
        most = MOST_LINES if found.op.groups > 1 else MOST_UNGROUPED_LINES
        lines = found.geometry.input_channels // found.op.groups
        return lines <= most and depthwise_window(spec) is None

    def space(self, spec: LayerSpec, target: Target) -> Space:
        found = Convolution.require(spec)
        op, geometry = found.op, found.geometry
        whole = geometry.output_channels // op.groups
        outputs = {n for n in (*OUTPUTS, whole) if n <= min(whole, MOST_RESULTS)}
        return Space(
            (
                Axis("groups", tuple(g for g in GROUPS if g <= op.groups)),
                Axis("outputs", tuple(sorted(outputs))),
                Axis("input_layout", INPUT_LAYOUTS),
            )
        )

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        found = Convolution.require(spec)
        op, geometry = found.op, found.geometry
        groups, outputs = point["groups"], point["outputs"]
        if groups > 1 and outputs < geometry.output_channels // op.groups:
            raise ScheduleError(f"{self.name}: a tile of {groups} groups has all of their outputs")
        self._kernel(op, geometry, groups, outputs)  # refuses what has no registers
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({}),
            tile=values({"groups": groups, "outputs": outputs, "input_layout": point["input_layout"]}),
            input_layouts=(point["input_layout"],),
            output_layouts=("pixel16",),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        found = Convolution.require(spec)
        op, geometry = found.op, found.geometry
        groups, outputs = choice.tiles["groups"], choice.tiles["outputs"]
        lines, results = groups * geometry.input_channels // op.groups, groups * outputs
        count = geometry.output_blocks * len(_tiles(op, geometry, groups, outputs))
        per_tile = (geometry.taps + 1) * tap_instructions(lines, outputs) + 60
        per_tile += results * (3 + epilogue_instructions(op.epilogue))
        taps_words = (geometry.taps + 1) * TAP_WORDS + geometry.taps * lines * outputs
        input_bytes = WORD_BYTES * geometry.input_channels * geometry.input_rows * geometry.input_columns
        clamped = bool(bounds(op.epilogue))
        work = Work(
            macs=float(spec.macs // images_of(spec)),
            alu_instructions=float(count * per_tile),
            load_instructions=float(count * geometry.taps * lines),
            uniform_words=float(
                count * (WORDS_BEFORE_WEIGHTS + words_after_weights(clamped) + results + 1 + taps_words)
            ),
            store_instructions=float(count * results),
            dma_stores=float(count),
            unique_bytes_read=float(input_bytes + sum(tensor.size_bytes for tensor in spec.weights)),
            streamed_bytes_read=float(input_bytes * max(1, geometry.output_channels // op.groups // outputs)),
            bytes_written=float(count * results * LINE_BYTES),
            balance=busiest_share(dealt(count, target.qpus)),
            working_set_bytes=float(geometry.kernel[0] * lines * 2 * LINE_BYTES * target.qpus),
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
        found = Convolution.require(spec)
        op, geometry = found.op, found.geometry
        geometry = geometry.within(output_lines)
        groups, outputs = choice.tiles["groups"], choice.tiles["outputs"]
        steps = input_steps(geometry, choice)
        channels = _tiles(op, geometry, groups, outputs)
        outside = np.zeros(LANES, np.uint32)
        streams = [_stream(op, geometry, tile, groups, outputs, steps, weights) for tile in channels]
        stream_bytes = WORD_BYTES * len(streams[0])
        clamp = bounds(op.epilogue)

        def words_of(block: int, number: int) -> list[Uniform]:
            tile = channels[number]
            return [
                block * LANES,
                *geometry.origin_words(),
                Address("input", steps[1] * tile.source),
                Address("weights", LINE_BYTES + stream_bytes * number),
                *clamp,
                Address("output", geometry.output_line_bytes(block, tile.output)),
            ]

        tiles = [(block, n) for n in range(len(channels)) for block in range(geometry.output_blocks)]
        per_tile = WORDS_BEFORE_WEIGHTS + words_after_weights(bool(clamp))
        blocks: list[tuple[Uniform, ...] | None] = []
        for q in range(target.qpus):
            own = tiles[q :: target.qpus]
            words = [word for tile in own for word in words_of(*tile)]
            if len(words) != per_tile * len(own):
                raise ScheduleError(f"{self.name}: a tile's words do not match what the kernel reads")
            head = (Address("block", WORD_BYTES * HEAD_WORDS), len(own), Address("weights"))
            blocks.append((*head, *words) if own else None)
        code = self._kernel(op, geometry, groups, outputs).words
        layer = QpuLayer(code, np.concatenate([outside, *streams]), tuple(blocks))
        return for_each_image(layer, spec, choice, output_lines)

    @staticmethod
    def _kernel(op: Conv2d, geometry: Geometry, groups: int, outputs: int) -> Assembler:
        return grouped_kernel(groups, geometry.input_channels // op.groups, outputs, coded(op.epilogue))


def _tiles(op: Conv2d, geometry: Geometry, groups: int, outputs: int) -> list[_Tile]:
    """Runs of whole groups, or parts of a group's outputs."""
    sources, results = geometry.input_channels // op.groups, geometry.output_channels // op.groups
    if outputs == results:
        return [_Tile(sources * group, results * group) for group in starts(op.groups, groups)]
    return [
        _Tile(sources * group, results * group + first)
        for group in range(op.groups)
        for first in starts(results, outputs)
    ]


def _stream(
    op: Conv2d,
    geometry: Geometry,
    tile: _Tile,
    groups: int,
    outputs: int,
    steps: tuple[int, int],
    weights: Sequence[FloatArray],
) -> NDArray[np.uint32]:
    """What the kernel reads from its weights stream for one tile's channels."""
    channels = slice(tile.output, tile.output + groups * outputs)
    kernel, bias = weights[0][channels], weights[1][channels]
    by_line = kernel.reshape(groups, outputs, -1, geometry.taps).transpose(
        3, 0, 2, 1
    )  # [tap][group][line][output]
    addresses = [geometry.tap_words(tap, *steps) for tap in range(geometry.taps)]
    addresses.append((ABSENT, *addresses[0][1:]))
    parts = [float_words(bias), np.array([geometry.taps, *addresses[0]], np.uint32)]
    for tap in range(geometry.taps):
        parts += [np.array(addresses[tap + 1], np.uint32), float_words(by_line[tap])]
    stream = np.concatenate(parts)
    return np.pad(stream, (0, -len(stream) % LANES))
