"""The layers of a chain as stages of one kernel: each a span function over rows, between buffers of lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from codegen.engines.cpu.blocked.conv_source import ConvCode, conv_text, pack_conv
from codegen.engines.cpu.blocked.depthwise import depthwise_code, pack_depthwise
from codegen.engines.cpu.blocked.depthwise import tile_widths as depthwise_widths
from codegen.engines.cpu.blocked.geometry import Image
from codegen.engines.cpu.blocked.kernel import blocks_of
from codegen.engines.cpu.blocked.pool import pool_code
from codegen.engines.cpu.blocked.window_source import WindowCode, window_text
from codegen.engines.cpu.instructions import ADDRESS_INSTRUCTIONS, LOOP_INSTRUCTIONS, Count
from codegen.engines.cpu.machine import TileRegisters
from codegen.engines.cpu.sparse.chain_stage import SparseCode, can_skip, count_sparse, sparse_stage
from codegen.expression import RESULT, Expression, as_clamp, clamp
from codegen.graph import LayerSpec
from codegen.operators.chain import Chain
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map
from codegen.operators.pool2d import Pool2d
from codegen.target import Target
from codegen.tensor import FloatArray
from codegen.windows import Windows

MOST_BLOCKS = 4
LATENCY_PIXELS = 8  # sums that have to grow at the same time: two a cycle, four cycles each
TILE_OVERHEAD = 0.5  # of a tile, in sums


StageCode = ConvCode | WindowCode | SparseCode


@dataclass(frozen=True)
class Stage:
    """A layer of the chain, and the addition behind it where there is one.

    `addend`: the number of the chain's input that is added; `sum_epilogue` applies to the sum.
    """

    spec: LayerSpec
    weights: int  # how many constants it has
    addend: int | None = None
    sum_epilogue: Expression = RESULT

    @property
    def windows(self) -> Windows:
        return Windows.of(self.spec)

    @property
    def is_dense(self) -> bool:
        """Whether every output channel reads all input channels."""
        return isinstance(self.spec.op, Conv2d) and self.spec.op.groups == 1

    @property
    def can_skip(self) -> bool:
        """Whether it has zeros that can be skipped."""
        return self.addend is None and can_skip(self.spec)

    @property
    def is_depthwise(self) -> bool:
        op, channels = self.spec.op, self.spec.inputs[0].shape[1]
        return isinstance(op, Conv2d) and op.groups == channels == self.spec.output.shape[1]


def stages_of(chain: Chain) -> tuple[Stage, ...] | None:
    """The chain's layers as stages; None where one of them has no span function."""
    stages: list[Stage] = []
    for member, sources in zip(chain.members, chain.sources, strict=True):
        if isinstance(member.op, Map):
            others = [source for source in sources if source >= 0]
            if not stages or len(others) != 1 or not stages[-1].is_dense or member.op.chain_part != "end":
                return None
            _, low, high = as_clamp(member.op.expression)
            stages[-1] = replace(stages[-1], addend=others[0], sum_epilogue=clamp(RESULT, low, high))
            continue
        stage = Stage(member, len(member.weights))
        pools = isinstance(member.op, Pool2d) and member.output.shape[2:] != (1, 1)
        if not (stage.is_dense or stage.is_depthwise or pools):
            return None
        stages.append(stage)
    return tuple(stages)


def stage_code(
    stage: Stage, entry: str, source: Image, result: Image, outer: str, registers: TileRegisters, skips: bool
) -> StageCode:
    """The parameters of the stage's span function between two pictures; `skips`: zeros, where that can be."""
    if skips and stage.can_skip:
        return SparseCode(entry, stage.spec, source, result)
    lanes, spec = result.lanes, stage.spec
    if stage.is_dense:
        op = spec.op
        assert isinstance(op, Conv2d)
        pixels, blocks = _dense_tile(stage, lanes, registers)
        return ConvCode(
            entry=entry,
            channels=spec.inputs[0].shape[1],
            outputs=spec.output.shape[1],
            windows=stage.windows,
            source=source,
            result=result,
            pixels=pixels,
            blocks=blocks,
            outer=outer,
            epilogue=op.epilogue,
            addend=stage.addend is not None,
            sum_epilogue=stage.sum_epilogue,
            by_element=registers.scheduled,
            ordered=registers.ordered,
        )
    point = {"lanes": lanes, "rows": 1, "pixels": depthwise_widths(spec, 1, registers)[0]}
    code = depthwise_code(spec, point, entry) if stage.is_depthwise else pool_code(spec, point, entry)
    return replace(code, source=source, result=result, ordered=registers.ordered)


def stage_call(code: StageCode, stage: Stage, lines: str, places: Sequence[str]) -> str:
    """The statement that computes rows [lines.first, lines.have). `places`: C expressions of source, its first row,
    weights, bias, addend, result and its first row; `scratch` is memory for a layer whose zeros are skipped.
    """
    source, source_first, weights, bias, addend, result, result_first = places
    if isinstance(code, SparseCode):
        return (
            f"{code.entry}_span({source}, {source_first}, {weights}, scratch, {result}, {result_first}, "
            f"{lines}.first, {lines}.have);"
        )
    blocks = blocks_of(stage.spec.output.shape[1], code.lanes)
    rows = f"{lines}.first", f"{lines}.have"
    if isinstance(code, ConvCode):
        added = f"{addend}, " if code.addend else ""
        rows = f"{rows[0]} * {len(code.tiles)}", f"{rows[1]} * {len(code.tiles)}"
        return (
            f"{code.entry}_span({source}, {source_first}, {weights}, {bias}, {added}{result}, {result_first}, "
            f"0, {blocks}, {rows[0]}, {rows[1]});"
        )
    return (
        f"{code.entry}_span({source}, {source_first}, {weights}, {bias}, {result}, {result_first}, "
        f"0, {blocks}, {rows[0]}, {rows[1]});"
    )


def packed_stage(code: StageCode, weights: Sequence[FloatArray]) -> tuple[str, FloatArray, int]:
    """The C text of the stage's functions, its packed weights with the bias, and where that begins."""
    if isinstance(code, SparseCode):
        return *sparse_stage(code, weights), 0
    if isinstance(code, ConvCode):
        return conv_text(code), pack_conv(weights, code), code.weights_size
    if not weights:
        return window_text(code), np.zeros(0, dtype=np.float32), 0
    packed = pack_depthwise(weights, code)
    return window_text(code), packed, packed.size - blocks_of(weights[0].shape[0], code.lanes) * code.lanes


def count_stage(count: Count, code: StageCode, stage: Stage, rows: int, target: Target) -> None:
    """Adds the instructions that computing `rows` rows takes."""
    if isinstance(code, SparseCode):
        count_sparse(count, code, rows)
        return
    columns = code.windows.columns
    taps = code.windows.rows.taps * columns.taps
    blocks = blocks_of(stage.spec.output.shape[1], code.lanes)
    if isinstance(code, ConvCode):
        steps = rows * len(code.tiles) * -(-blocks // code.blocks) * code.channels * taps
        count.add_tiles(float(steps), code.pixels, code.blocks * code.lanes, target, code.ordered)
    else:
        vectors = float(rows * blocks)
        count.add(vectors * code.lanes, alu=columns.outputs * taps, loads=(columns.outputs + 1) * taps)
        tiles = -(-columns.outputs // code.pixels)
        count.add(vectors * tiles, alu=code.windows.rows.taps * LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS)
    count.add(float(rows * blocks * code.lanes * columns.outputs), alu=1.0, stores=1)


def _dense_tile(stage: Stage, lanes: int, registers: TileRegisters) -> tuple[int, int]:
    """(pixels, blocks) of the register tile that needs the fewest cycles for a row, by counting multiplications."""
    width, out_blocks = stage.windows.columns.outputs, blocks_of(stage.spec.output.shape[1], lanes)
    best = (float("inf"), 1, 1)
    for blocks in range(1, min(MOST_BLOCKS, out_blocks) + 1):
        pointwise = stage.windows.is_pointwise
        most = max(1, registers.pointwise_pixels(blocks) if pointwise else registers.pixels(blocks))
        tiles = -(-width // most)
        pixels = -(-width // tiles)
        cost = tiles * -(-out_blocks // blocks) * (max(LATENCY_PIXELS, pixels * blocks) + TILE_OVERHEAD)
        best = min(best, (cost, pixels, blocks))
    return best[1], best[2]
