"""Depthwise convolution of blocks of channels: a vector is a pixel's block, nothing is copied or padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.geometry import Image
from codegen.engines.cpu.blocked.kernel import BlockedKernel, blocks_of
from codegen.engines.cpu.blocked.planes import planes_share, planes_source
from codegen.engines.cpu.blocked.window_source import WindowCode, row_runs, window_text
from codegen.engines.cpu.gemm_tile import matrix_and_bias
from codegen.engines.cpu.instructions import (
    ADDRESS_INSTRUCTIONS,
    LOOP_INSTRUCTIONS,
    Count,
    epilogue_instructions,
)
from codegen.engines.cpu.machine import FLOAT_BYTES, TileRegisters, is_scalar, tile_registers
from codegen.engines.cpu.threads import SHARED_NAMES, nothing_shared, shared_axis, threads_axis
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray
from codegen.windows import Windows

ROWS = (1, 2, 3)


class CpuBlockedDepthwise(BlockedKernel):
    """`pixels` by `rows` outputs of a block of channels in registers. A core without vectors may take blocks of one
    channel, and then several outputs of each input.

    With one row, a row of the kernel's weights is in registers beside them; with more, all its weights are, and a
    row of inputs is loaded once for all outputs that it goes into.

    Axes:
        pixels: outputs of a row whose sums are in registers at once
        rows: rows of outputs whose sums are in registers at once
        shared: what the threads share out: pixels (or rows) of all channels, or all pixels of some channels

    Formulas:
        padded: (O + lanes - 1) // lanes * lanes
        weight: (o // lanes * Y * X + y * X + x) * lanes + o % lanes
        bias: padded * Y * X + o
        elements: padded * (Y * X + 1)
    """

    name = "cpu_blocked_depthwise"
    axis_names = SHARED_NAMES

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        is_depthwise = isinstance(spec.op, Conv2d) and spec.op.groups == spec.inputs[0].shape[1]
        return is_depthwise and bool(self._lanes_of(spec, target))

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        lanes = self._lanes_of(spec, target)
        widths = {(n, rows): _widths(spec, rows, target, n) for n in lanes for rows in ROWS}
        return (
            Axis("lanes", lanes),
            Axis("pixels", tuple(sorted({width for several in widths.values() for width in several}))),
            Axis("rows", tuple(sorted({rows for (_, rows), several in widths.items() if several}))),
            shared_axis(target),
            threads_axis(target),
        )

    def _lanes_of(self, spec: LayerSpec, target: Target) -> tuple[int, ...]:
        """Sizes of blocks; none where a block of outputs would read from several inputs."""
        sizes = {self.lanes(target)} | ({1} if self.by_registers and is_scalar(target) else set())
        is_multiplied = spec.output.shape[1] > spec.inputs[0].shape[1]
        return tuple(lanes for lanes in sorted(sizes) if lanes == 1 or not is_multiplied)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return planes_share(spec, point["lanes"], point, point["rows"]).pieces

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        if point["pixels"] not in _widths(spec, point["rows"], target, point["lanes"]):
            return "tiles of that width leave registers unused, or want more than there are"
        return nothing_shared(point)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        code = depthwise_code(spec, choice.tiles, "kernel")
        batch, channels, height, width = spec.output.shape
        lanes, rows, columns = code.lanes, code.windows.rows, code.windows.columns
        vectors = float(batch * blocks_of(channels, lanes) * height)  # rows of them
        tiles = sum(run.count for run in row_runs(columns, code.pixels))
        taps = rows.taps * columns.taps
        loaded_rows = ((code.rows - 1) * rows.stride + rows.taps) / code.rows if code.rows > 1 else rows.taps
        loaded = tiles * (columns.taps - columns.stride) + width * columns.stride
        reloaded = taps / code.rows if code.rows > 1 else tiles * taps  # weights
        count = Count()
        count.add(vectors * lanes, alu=width * taps, loads=loaded_rows * max(loaded, width) + reloaded)
        count.add(vectors * tiles, alu=rows.taps * LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS)
        count.add(vectors * lanes * width, alu=epilogue_instructions(spec), stores=1)
        held = FLOAT_BYTES * lanes * (rows.taps * columns.inputs + width)
        balance = planes_share(spec, lanes, choice.splits, code.rows).balance
        return count.work(spec, float(spec.output.elements * taps), 0.0, held, balance=balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        registers = tile_registers(target, choice.tiles["lanes"])
        code = depthwise_code(spec, choice.tiles, entry)
        code = replace(code, ordered=registers.ordered, fetches=registers.scheduled)
        packed = pack_depthwise(weights, code)
        biases = packed.size - blocks_of(spec.output.shape[1], code.lanes) * code.lanes
        layout = layout_named(choice.output_layout)
        return CpuProgram(
            source=window_text(code) + planes_source(spec, code, choice, biases),
            entry=entry,
            weights=packed,
            input_sizes=(layout.elements(spec.inputs[0]),),
            output_sizes=(layout.elements(spec.output),),
            workspace_bytes=0,
            threads=choice.threads,
        )


def _widths(spec: LayerSpec, rows: int, target: Target, lanes: int) -> tuple[int, ...]:
    return tile_widths(spec, rows, tile_registers(target, lanes))


def tile_widths(spec: LayerSpec, rows: int, registers: TileRegisters) -> tuple[int, ...]:
    """The width of tiles worth trying with so many rows of outputs; none where they do not fit the registers.

    Sums, weights (of a row of the kernel, or all) and an input are in registers; weights that leave room for few sums
    are better loaded again. Of two widths that cut a row into as many tiles the smaller is as good.
    """
    windows = Windows.of(spec)
    taps = windows.columns.taps * (windows.rows.taps if rows > 1 else 1)
    shared = 1 < windows.columns.stride < windows.columns.taps
    outputs, most = windows.columns.outputs, registers.window_sums(taps, shared) // rows
    if rows > 1 and (3 * taps > 2 * registers.count or most < 1 or rows > windows.rows.outputs):
        return ()
    most = max(1, most)
    fewest = -(-outputs // most)
    return (-(-outputs // fewest),)


def depthwise_code(spec: LayerSpec, point: Point, entry: str) -> WindowCode:
    """The text's parameters for a whole picture in memory."""
    op = spec.op
    assert isinstance(op, Conv2d)
    windows, lanes = Windows.of(spec), point["lanes"]
    return WindowCode(
        entry=entry,
        kind="product",
        windows=windows,
        source=Image.blocked(lanes, windows.rows.inputs, windows.columns.inputs),
        result=Image.blocked(lanes, windows.rows.outputs, windows.columns.outputs),
        pixels=point["pixels"],
        rows=point["rows"],
        multiplier=spec.output.shape[1] // spec.inputs[0].shape[1],
        epilogue=op.epilogue,
    )


def pack_depthwise(weights: Sequence[FloatArray], code: WindowCode) -> FloatArray:
    """Weights (channels, 1, kh, kw) as [block][kh][kw][lanes], then the bias; zeros fill the last block."""
    matrix, bias = matrix_and_bias(weights)
    channels, taps = matrix.shape[0], code.windows.rows.taps * code.windows.columns.taps
    padded = np.zeros((blocks_of(channels, code.lanes) * code.lanes, taps + 1), dtype=np.float32)
    padded[:channels, :taps], padded[:channels, taps] = matrix.reshape(channels, taps), bias
    values = padded[:, :taps].reshape(-1, code.lanes, taps).transpose(0, 2, 1)
    return np.concatenate([values.reshape(-1), padded[:, taps]])
