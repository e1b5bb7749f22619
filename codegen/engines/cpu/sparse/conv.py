"""Convolution that skips the zeros of its weights."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.engines.cpu.blocked.kernel import IN_BLOCKS, ROW_MAJOR
from codegen.engines.cpu.instructions import LOOP_INSTRUCTIONS, Count
from codegen.engines.cpu.machine import tile_registers, vector_lanes
from codegen.engines.cpu.sparse.columns_source import columns_text
from codegen.engines.cpu.sparse.kernel import Columns, SparseKernel, channels_of
from codegen.engines.cpu.sparse.pattern import Places
from codegen.engines.cpu.sparse.walk_assembly import CHANNELS
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.schedule import Point
from codegen.target import Target
from codegen.tensor import FloatArray
from codegen.windows import Windows


class CpuSparseConv(SparseKernel):
    """`rows` outputs by `vectors` vectors of pixels in registers; only weights that are not zero are multiplied.

    What a tile of pixels reads is copied: of each input channel and tap a row.
    """

    name = "cpu_sparse_conv"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Conv2d) and spec.op.groups == 1 and spec.sparsity is not None

    def orders(self, target: Target) -> tuple[str, ...]:
        """In blocks of channels too where a register holds as many."""
        return (ROW_MAJOR, IN_BLOCKS) if vector_lanes(target) == CHANNELS else (ROW_MAJOR,)

    def product(self, spec: LayerSpec) -> LayerSpec:
        return spec

    def columns(
        self,
        spec: LayerSpec,
        target: Target,
        weights: Sequence[FloatArray],
        point: Point,
        entry: str,
        places: Places,
    ) -> Columns:
        lanes, channels = point["lanes"], channels_of(point)
        scheduled = tile_registers(target, lanes).scheduled
        pixels, inputs = point["vectors"] * lanes, spec.inputs[0].shape[1]
        return Columns(
            columns_text(entry, Windows.of(spec), pixels, lanes, places, channels, inputs, scheduled)
        )

    def scratch_bytes(self, spec: LayerSpec, target: Target, pixels: int, lanes: int) -> int:
        return 0

    def count_columns(self, count: Count, spec: LayerSpec, operands: float) -> float:
        """Of a pointwise layer neighbours are copied together; others one by one, where they are no padding."""
        alu = 0.0 if Windows.of(spec).is_pointwise else LOOP_INSTRUCTIONS
        count.add(operands, alu=alu, loads=1, stores=1)
        return 0.0
