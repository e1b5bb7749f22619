"""Maximum and average pooling of blocks of channels, global pooling included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.geometry import Image
from codegen.engines.cpu.blocked.kernel import BlockedKernel, blocks_of
from codegen.engines.cpu.blocked.planes import planes_share, planes_source
from codegen.engines.cpu.blocked.window_source import WindowCode, row_runs, window_text
from codegen.engines.cpu.instructions import (
    ADDRESS_INSTRUCTIONS,
    LOOP_INSTRUCTIONS,
    Count,
    epilogue_instructions,
)
from codegen.engines.cpu.machine import FLOAT_BYTES
from codegen.engines.cpu.pool import DIVISION_INSTRUCTIONS
from codegen.engines.cpu.threads import SHARED_NAMES, nothing_shared, shared_axis, threads_axis
from codegen.graph import LayerSpec
from codegen.operators.pool2d import Pool2d
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray
from codegen.windows import Windows

WIDEST = 14  # pixels of a tile: enough sums at once, and more would only make more text
MOST_TAPS = 32  # of a row of a global pool's window: its text has a line for each


class CpuBlockedPool(BlockedKernel):
    """`pixels` outputs of a row in registers; padding never takes part, it only counts in a divisor.

    Where an output has the registers for itself, several parts of its window are reduced at the same time.

    Axes:
        pixels: outputs of a row that are in registers at once
        shared: what the threads share out: pixels (or rows) of all channels, or all pixels of some channels
    """

    name = "cpu_blocked_pool"
    axis_names = SHARED_NAMES

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Pool2d) and spec.op.kind in ("max", "average")

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        outputs = spec.output.shape[3]
        fewest = -(-outputs // min(WIDEST, self.registers(target).count - 2))
        return (
            self.lanes_axis(target),
            Axis("pixels", (-(-outputs // fewest),)),
            shared_axis(target),
            threads_axis(target),
        )

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return planes_share(spec, point["lanes"], point).pieces

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        return nothing_shared(point)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        code = pool_code(spec, choice.tiles, "kernel")
        batch, channels, height, width = spec.output.shape
        lanes, rows, columns = code.lanes, code.windows.rows, code.windows.columns
        vectors = float(batch * blocks_of(channels, lanes) * height)  # rows of them
        tiles = sum(run.count for run in row_runs(columns, code.pixels))
        loaded = min(
            width * columns.taps, tiles * max(0, columns.taps - columns.stride) + width * columns.stride
        )
        reduction = 2.0 if code.kind == "max" else 1.0
        count = Count()
        count.add(vectors * lanes * rows.taps, alu=reduction * width * columns.taps, loads=loaded)
        count.add(vectors * tiles, alu=rows.taps * LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS)
        division = DIVISION_INSTRUCTIONS if code.kind == "average" else 0.0
        count.add(vectors * lanes * width, alu=division + epilogue_instructions(spec), stores=1)
        held = FLOAT_BYTES * lanes * (rows.taps * columns.inputs + width)
        return count.work(spec, 0.0, 0.0, held, balance=planes_share(spec, lanes, choice.splits).balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        code = pool_code(spec, choice.tiles, entry)
        layout = layout_named(choice.output_layout)
        return CpuProgram(
            source=window_text(code) + planes_source(spec, code, choice, 0),
            entry=entry,
            weights=np.zeros(0, dtype=np.float32),
            input_sizes=(layout.elements(spec.inputs[0]),),
            output_sizes=(layout.elements(spec.output),),
            workspace_bytes=0,
            threads=choice.threads,
        )


def pool_code(spec: LayerSpec, point: Point, entry: str) -> WindowCode:
    """The text's parameters for a whole picture in memory; a global pool's window is cut into rows of its own."""
    op = spec.op
    assert isinstance(op, Pool2d)
    windows, lanes = Windows.of(spec), point["lanes"]
    source = Image.blocked(lanes, windows.rows.inputs, windows.columns.inputs)
    if _is_global(windows) and windows.columns.taps > MOST_TAPS:
        taps = windows.rows.taps * windows.columns.taps
        width = max(divisor for divisor in range(1, MOST_TAPS + 1) if taps % divisor == 0)
        windows = Windows(
            replace(windows.rows, inputs=taps // width, taps=taps // width),
            replace(windows.columns, inputs=width, taps=width),
        )
        source = Image.blocked(lanes, taps // width, width)
    return WindowCode(
        entry=entry,
        kind=op.kind,
        windows=windows,
        source=source,
        result=Image.blocked(lanes, windows.rows.outputs, windows.columns.outputs),
        pixels=point["pixels"],
        include_padding=op.include_padding,
        epilogue=op.epilogue,
    )


def _is_global(windows: Windows) -> bool:
    return all(
        axis.taps == axis.inputs and axis.pad == 0 and axis.dilation == 1 and axis.outputs == 1
        for axis in (windows.rows, windows.columns)
    )
