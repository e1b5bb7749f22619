"""Interpolated planes: rows are summed into one row, whose columns are summed."""

from __future__ import annotations

from typing import ClassVar

from codegen.element_type import FLOAT32
from codegen.engines.cpu.general.expressions import literal
from codegen.engines.cpu.general.kernel import GeneralKernel
from codegen.engines.cpu.machine import FLOAT_BYTES
from codegen.engines.cpu.source import fill
from codegen.graph import LayerSpec
from codegen.operators.interpolation import Interpolation, Places, Weights
from codegen.target import Target


class CpuInterpolation(GeneralKernel):
    """For each row of the result its rows of the input are summed, then the columns of that row."""

    name = "cpu_interpolation"
    element_types: ClassVar[frozenset[str]] = frozenset({FLOAT32.name})

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Interpolation)

    def workspace_bytes(self, spec: LayerSpec) -> int:
        return FLOAT_BYTES * spec.inputs[0].shape[3]

    def steps(self, spec: LayerSpec) -> float:
        op = spec.op
        assert isinstance(op, Interpolation)
        batch, channels, rows, columns = spec.output.shape
        own = len(op.row_places[0]) * spec.inputs[0].shape[3] + len(op.column_places[0]) * columns
        return float(batch * channels * rows * own)

    def body(self, spec: LayerSpec) -> str:
        op = spec.op
        assert isinstance(op, Interpolation)
        batch, channels, height, width = spec.inputs[0].shape
        _, _, rows, columns = spec.output.shape
        tables = "".join(
            f"    static const {c_type} {name}[][{len(table[0])}] = {_braced(table)};\n"
            for c_type, name, table in (
                ("int", "row_places", op.row_places),
                ("float", "row_weights", op.row_weights),
                ("int", "column_places", op.column_places),
                ("float", "column_weights", op.column_weights),
            )
        )
        return tables + fill(
            _BODY, planes=batch * channels, height=height, width=width, rows=rows, columns=columns,
            row_taps=len(op.row_places[0]), column_taps=len(op.column_places[0]),
        )  # fmt: skip


def _braced(table: Places | Weights) -> str:
    def number(value: float) -> str:
        return str(value) if isinstance(value, int) else literal(value, FLOAT32)

    return "{" + ", ".join("{" + ", ".join(map(number, row)) + "}" for row in table) + "}"


_BODY = """    float *const row = workspace;
    for (long p = 0; p < $planes; ++p)
        for (long y = 0; y < $rows; ++y) {
            const float *const plane = x0 + p * $height * $width;
            float *const result = y0 + (p * $rows + y) * $columns;
            for (long x = 0; x < $width; ++x) {
                float total = 0.0f;
                for (int t = 0; t < $row_taps; ++t)
                    total += row_weights[y][t] * plane[row_places[y][t] * $width + x];
                row[x] = total;
            }
            for (long x = 0; x < $columns; ++x) {
                float total = 0.0f;
                for (int t = 0; t < $column_taps; ++t)
                    total += column_weights[x][t] * row[column_places[x][t]];
                result[x] = total;
            }
        }
"""
