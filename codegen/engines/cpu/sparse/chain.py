"""A depthwise convolution and the sparse pointwise one behind it: what lies between them never leaves the cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.engines.cpu.gemm_tile import matrix_and_bias
from codegen.engines.cpu.instructions import Count, epilogue_instructions
from codegen.engines.cpu.sparse.depthwise_source import ROWS, copy_elements, depthwise_text
from codegen.engines.cpu.sparse.kernel import COMPILED, Columns, SparseKernel
from codegen.engines.cpu.sparse.pattern import Places, tile_bytes
from codegen.engines.cpu.sparse.strips_source import is_masked, line_elements, strips_text
from codegen.graph import LayerSpec
from codegen.operators.chain import Chain
from codegen.operators.conv2d import Conv2d
from codegen.schedule import Point
from codegen.target import Target
from codegen.tensor import FloatArray
from codegen.windows import Windows


class CpuSparseChain(SparseKernel):
    """`rows` outputs by `vectors` vectors of pixels of a pointwise convolution in registers, zero weights skipped;
    a depthwise convolution computes their operands tile by tile.
    """

    name = "cpu_sparse_chain"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        if not isinstance(spec.op, Chain) or len(spec.op.members) != 2:
            return False
        first, second = spec.op.members
        if not isinstance(first.op, Conv2d) or not isinstance(second.op, Conv2d):
            return False
        is_depthwise = first.op.groups == first.inputs[0].shape[1] == first.output.shape[1] > 1
        return is_depthwise and second.sparsity is not None and Windows.of(second).is_pointwise

    def product(self, spec: LayerSpec) -> LayerSpec:
        return _members(spec)[1]

    def columns(
        self,
        spec: LayerSpec,
        target: Target,
        weights: Sequence[FloatArray],
        point: Point,
        entry: str,
        places: Places,
    ) -> Columns:
        first, _ = _members(spec)
        assert isinstance(first.op, Conv2d)
        matrix, bias = matrix_and_bias(weights[:2])
        constants = np.concatenate([matrix, bias[:, None]], axis=1).reshape(-1)
        windows, epilogue, lanes = Windows.of(first), first.op.epilogue, point["lanes"]
        pixels = point["vectors"] * lanes
        if is_masked(windows, target):
            return Columns(strips_text(entry, windows, pixels, lanes, places, epilogue), constants)
        return Columns(depthwise_text(entry, windows, pixels, lanes, epilogue), constants)

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        if point["pattern"] == COMPILED and not is_masked(Windows.of(_members(spec)[0]), target):
            return "a stride of more than two reads rows in pieces"
        return super().refusal(spec, target, point)

    def scratch_bytes(self, spec: LayerSpec, target: Target, pixels: int, lanes: int) -> int:
        windows = Windows.of(_members(spec)[0])
        if is_masked(windows, target):
            return tile_bytes(2, line_elements(windows, pixels))
        return tile_bytes(2, copy_elements(windows, pixels, lanes))

    def count_columns(self, count: Count, spec: LayerSpec, operands: float) -> float:
        """An input is loaded once for several rows of outputs; what a tile reads is copied with its padding."""
        first, _ = _members(spec)
        windows = Windows.of(first)
        taps = windows.rows.taps * windows.columns.taps
        loads = ((ROWS - 1) * windows.rows.stride + windows.rows.taps) * windows.columns.taps / ROWS
        count.add(operands, alu=taps + epilogue_instructions(first), loads=loads, stores=1)
        count.add_copy(operands * windows.rows.stride * windows.columns.stride)
        return float(first.output.elements * taps)


def _members(spec: LayerSpec) -> tuple[LayerSpec, LayerSpec]:
    assert isinstance(spec.op, Chain)
    first, second = spec.op.members
    return first, second
