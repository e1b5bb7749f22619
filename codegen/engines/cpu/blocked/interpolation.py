"""Interpolated planes in row-major layout and in blocks of channels: rows summed, then columns, or the other way."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import indent
from typing import ClassVar, TypeVar

import numpy as np

from codegen.element_type import FLOAT32
from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.kernel import BlockedKernel, blocks_of
from codegen.engines.cpu.blocked.vectors import vector_prologue
from codegen.engines.cpu.instructions import ADDRESS_INSTRUCTIONS, LOOP_INSTRUCTIONS, Count
from codegen.engines.cpu.machine import FLOAT_BYTES
from codegen.engines.cpu.source import fill, float_literal
from codegen.engines.cpu.threads import Share, own_workspace, threads_axis
from codegen.expression import RESULT
from codegen.graph import LayerSpec
from codegen.operators.interpolation import Interpolation, Places, Weights
from codegen.program import CpuProgram
from codegen.schedule import Axis, AxisNames, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray

ROWS, COLUMNS = "rows", "columns"
Number = TypeVar("Number", int, float)


class CpuBlockedInterpolation(BlockedKernel):
    """Rows are summed into one, whose columns are summed; or columns first, of each row of the input once: as many rows
    of these as a row of the result is made of are kept. Threads share the rows of all planes.

    Axes:
        first: what is summed first: rows, which is less work where the result is smaller, or columns
    """

    name = "cpu_blocked_interpolation"
    axis_names: ClassVar[AxisNames] = {"first": (ROWS, COLUMNS)}
    element_types: ClassVar[frozenset[str]] = frozenset({FLOAT32.name})

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Interpolation) and self.lanes(target) > 1

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return self.lanes_axis(target), Axis("first", (ROWS, COLUMNS)), threads_axis(target)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(spec, point["lanes"], point["threads"]).pieces

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        op, lanes, share = (
            _op(spec),
            choice.tiles["lanes"],
            _share(spec, choice.tiles["lanes"], choice.threads),
        )
        width = spec.inputs[0].shape[3]
        columns, planes = spec.output.shape[3], share.count / spec.output.shape[2]
        by_rows = choice.tiles["first"] == ROWS
        taps, spread = len(op.row_places[0]), len(op.column_places[0])
        summed = planes * len({place for row in op.row_places for place in row})
        count = Count()
        count.add(share.count * (width if by_rows else columns) * lanes, alu=taps, loads=taps, stores=1)
        gathered = (share.count if by_rows else summed) * columns
        count.add(gathered * lanes, alu=spread, loads=spread, stores=1)
        count.add(gathered, alu=LOOP_INSTRUCTIONS + spread * ADDRESS_INSTRUCTIONS, loads=2 * spread)
        held = _own_bytes(spec, choice)
        return count.work(
            spec, float(spec.macs), 0.0, float(held), balance=share.balance,
            workspace_bytes=float(held * choice.threads),
        )  # fmt: skip

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        op, lanes, threads = _op(spec), choice.tiles["lanes"], choice.threads
        share, own_bytes = _share(spec, lanes, threads), _own_bytes(spec, choice)
        height, width = spec.inputs[0].shape[2:]
        rows, columns = spec.output.shape[2:]
        vec, by_rows = "float" if lanes == 1 else f"vec{lanes}", choice.tiles["first"] == ROWS
        body = _rows_first(op, entry, width) if by_rows else _columns_first(op, entry, vec, width, columns)
        source = fill(
            _SOURCE,
            entry=entry,
            vec=vec,
            row_tables=_tables(f"{entry}_row", op.row_places, op.row_weights),
            column_tables=_tables(f"{entry}_column", _by_taps(op.column_places), _by_taps(op.column_weights)),
            column_sum=" + ".join(
                f"{entry}_column_weights[{tap}][x] * source[{entry}_column_places[{tap}][x]]"
                for tap in range(len(op.column_places[0]))
            ),
            share=share.declaration,
            first=share.first,
            end=share.end,
            own=own_workspace(threads, own_bytes),
            rows=rows,
            columns=columns,
            plane=height * width,
            state="" if by_rows else f"int held[{_kept(op.row_places)}] = {{0}};",
            body=indent(body, " " * 8),
        )
        layout = layout_named(choice.output_layout)
        return CpuProgram(
            source="#include <stddef.h>\n" + (vector_prologue(lanes, RESULT) if lanes > 1 else "") + source,
            entry=entry,
            weights=np.zeros(0, dtype=np.float32),
            input_sizes=(layout.elements(spec.inputs[0]),),
            output_sizes=(layout.elements(spec.output),),
            workspace_bytes=threads * own_bytes,
            threads=threads,
        )


class CpuInterpolation(CpuBlockedInterpolation):
    """The same in row-major layout."""

    name = "cpu_interpolation"

    def __init__(self) -> None:
        super().__init__(1)

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Interpolation)


def _op(spec: LayerSpec) -> Interpolation:
    assert isinstance(spec.op, Interpolation)
    return spec.op


def _share(spec: LayerSpec, lanes: int, threads: int) -> Share:
    batch, channels, rows, _ = spec.output.shape
    return Share(batch * blocks_of(channels, lanes) * rows, threads)


def _own_bytes(spec: LayerSpec, choice: Choice) -> int:
    """Of a thread: the sum of rows of the input, or rows of which the columns are summed."""
    by_rows = choice.tiles["first"] == ROWS
    vectors = spec.inputs[0].shape[3] if by_rows else _kept(_op(spec).row_places) * spec.output.shape[3]
    size: int = FLOAT_BYTES * choice.tiles["lanes"] * vectors
    return size


def _kept(places: Places) -> int:
    """How many rows are kept: the least number by which the rows of no sum have the same remainder."""
    sums, kept = [set(row) for row in places], 1
    while any(len({place % kept for place in row}) < len(row) for row in sums):
        kept += 1
    return kept


def _rows_first(op: Interpolation, entry: str, width: int) -> str:
    total = " + ".join(
        f"{entry}_row_weights[y][{tap}] * plane[{entry}_row_places[y][{tap}] * {width} + x]"
        for tap in range(len(op.row_places[0]))
    )
    return f"for (int x = 0; x < {width}; ++x)\n    own[x] = {total};\n{entry}_columns(own, result);"


def _columns_first(op: Interpolation, entry: str, vec: str, width: int, columns: int) -> str:
    """`held` has for each row that is kept which of the input's it is, counted from 1."""
    taps, kept = range(len(op.row_places[0])), _kept(op.row_places)
    total = " + ".join(f"{entry}_row_weights[y][{tap}] * from[{tap}][x]" for tap in taps)
    return fill(
        """
        const $vec *from[$taps];
        if (y == 0)
            for (int k = 0; k < $kept; ++k)
                held[k] = 0;
        for (int t = 0; t < $taps; ++t) {
            const int row = ${entry}_row_places[y][t], place = row % $kept;
            $vec *const summed = own + (size_t)place * $columns;
            from[t] = summed;
            if (held[place] != row + 1) {
                held[place] = row + 1;
                ${entry}_columns(plane + (size_t)row * $width, summed);
            }
        }
        for (int x = 0; x < $columns; ++x)
            result[x] = $total;
        """,
        vec=vec,
        entry=entry,
        taps=len(taps),
        kept=kept,
        columns=columns,
        width=width,
        total=total,
    )


def _by_taps(table: Sequence[tuple[Number, ...]]) -> tuple[tuple[Number, ...], ...]:
    return tuple(zip(*table, strict=True))


def _tables(name: str, places: Places, weights: Weights) -> str:
    """C text of two tables of constants, NAME_places and NAME_weights."""
    return "".join(
        f"static const {c_type} {name}_{what}[][{len(table[0])}] = {_braced(table)};\n"
        for c_type, what, table in (("int", "places", places), ("float", "weights", weights))
    )


def _braced(table: Places | Weights) -> str:
    def number(value: float) -> str:
        return str(value) if isinstance(value, int) else float_literal(value)

    return "{" + ", ".join("{" + ", ".join(map(number, row)) + "}" for row in table) + "}"


_SOURCE = """
    $row_tables
    $column_tables
    static void ${entry}_columns(const $vec *restrict source, $vec *restrict result)
    {
        for (int x = 0; x < $columns; ++x)
            result[x] = $column_sum;
    }

    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        $vec *const own = ($vec *)($own);
        $state
        $share
        (void)weights;
        for (int i = $first; i < $end; ++i) {
            const int y = i % $rows;
            const $vec *const plane = (const $vec *)inputs[0] + (size_t)(i / $rows) * $plane;
            $vec *restrict const result = ($vec *)outputs[0] + (size_t)i * $columns;
    $body
        }
    }
"""
