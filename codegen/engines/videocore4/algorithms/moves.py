"""Layers that move elements: from one layout to the other, transposed, joined, cut, padded, in blocks of depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from codegen.algorithm_base import AlgorithmBase
from codegen.engine_registry import layout_named
from codegen.engines.videocore4.algorithms.arrangements import arrangement
from codegen.engines.videocore4.algorithms.gathered_lines import GatheredLines
from codegen.engines.videocore4.algorithms.geometry import busiest_share
from codegen.engines.videocore4.kernels.gather import TILE_WORDS, gather_kernel
from codegen.engines.videocore4.layer import QpuLayer
from codegen.engines.videocore4.layout import LINE_BYTES
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.relayout import Relayout
from codegen.operators.reshape import Reshape
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, AxisNames, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray, TensorType
from codegen.views import is_view

LAYOUTS = "pixel16", "nchw"
ROWS = 4, 8, 16, 32
GROUPS = 1, 4, 16
MOST_ELEMENTS = 1 << 24  # whose places a compiler keeps in memory while it arranges them


class QpuMoves(AlgorithmBase):
    """Elements in another arrangement, or in another layout: lanes gather them by tables, `rows` lines at a time.

    Axes:
        groups: tiles of `rows` lines that a QPU computes one behind the other
        rows: lines of 16 elements that a QPU computes before it stores them
        input_layout: the layout of the inputs
        output_layout: the layout of the outputs
    """

    name = "qpu_moves"
    engine: str = "videocore4"
    axis_names: ClassVar[AxisNames] = {"input_layout": LAYOUTS, "output_layout": LAYOUTS}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        tensors = (*spec.inputs, *spec.outputs)
        if not (target.has_qpus and spec.op.moves_elements) or any(
            not 0 < t.elements <= MOST_ELEMENTS for t in tensors
        ):
            return False
        if isinstance(spec.op, Reshape):  # between row-major tensors it is a view
            return any(len(tensor.shape) == 4 for tensor in tensors)
        return not isinstance(spec.op, Relayout) or _is_between(spec.op)

    def space(self, spec: LayerSpec, target: Target) -> Space:
        inputs, outputs = _layouts(spec)
        return Space(
            (
                Axis("groups", GROUPS, "split"),
                Axis("rows", ROWS),
                Axis("input_layout", inputs),
                Axis("output_layout", outputs),
            )
        )

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        layouts = point["input_layout"], point["output_layout"]
        lines, rows, groups = arrangement(spec, layouts), point["rows"], point["groups"]
        longest = max(run.lines for run in lines.runs)
        if (rows > min(ROWS) and rows >= 2 * longest) or (
            groups > min(GROUPS) and rows * groups >= 4 * longest
        ):
            raise ScheduleError(f"{self.name}: {groups} groups of {rows} lines exceed the runs of {longest}")
        gather_kernel(lines.form, rows)  # refuses what has no registers
        choice = Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({"groups": groups}),
            tile=values({name: point[name] for name in ("rows", "input_layout", "output_layout")}),
            input_layouts=(layouts[0],) * len(spec.inputs),
            output_layouts=(layouts[1],) * len(spec.outputs),
        )
        if is_view(spec, choice):
            raise ScheduleError(f"{self.name}: the output is the input's memory, nothing moves")
        return choice

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        lines, rows = _lines(spec, choice), choice.tiles["rows"]
        read = sum(tensor.size_bytes for tensor in spec.inputs)
        layout = layout_named(choice.input_layouts[0])
        held = sum(layout.size_bytes(tensor) for tensor in spec.inputs)
        return work_of(lines, rows, choice.splits["groups"], target, read, held)

    def lower(
        self,
        spec: LayerSpec,
        target: Target,
        choice: Choice,
        weights: Sequence[FloatArray],
        *,
        output_lines: int | None = None,
    ) -> QpuLayer:
        if output_lines is not None and choice.output_layout != "pixel16":
            raise ScheduleError(f"{self.name} writes nchw here, which has no blocks of {output_lines} lines")
        lines = _lines(spec, choice, output_lines)
        return lines.lower(choice.tiles["rows"], choice.splits["groups"], target)


def work_of(
    lines: GatheredLines,
    rows: int,
    groups: int,
    target: Target,
    unique_bytes: float,
    held_bytes: float = 0.0,
    *,
    read_once: bool = False,
) -> Work:
    """What gathered lines ask of the machine; `held_bytes`: of the lines that inputs lie in. Whole lines come from
    memory, and L2 has those that several requests touch; where they are `read_once`, for all lines that are written.
    """
    dealt = lines.dealt(rows, groups, target)
    groups_of = [[-(-run.lines // rows) for run in tiles] for tiles in dealt]
    tiles, all_groups = sum(map(len, dealt)), sum(map(sum, groups_of))
    read, form = all_groups * rows, lines.form
    of_table = float(form.table_lines * (read if form.by_line else tiles))
    written = 0.0 if read_once else float(lines.lines)
    fetched = min(float(lines.touched), max(written, held_bytes / LINE_BYTES))
    stored = sum(WORD_BYTES * run.lines * run.words for run in lines.runs)
    return Work(
        macs=float(form.taps * lines.lines * LINE_BYTES / WORD_BYTES) if form.weighted else 0.0,
        alu_instructions=read * (3.0 * form.taps + 3 * form.by_line + form.filled + 1)
        + all_groups * 20.0
        + tiles * 50.0,
        load_instructions=read * form.taps + of_table,
        uniform_words=float(tiles * TILE_WORDS + read * (not form.by_line)),
        store_instructions=float(lines.lines),
        dma_stores=2.0 * all_groups,
        unique_bytes_read=float(unique_bytes),
        streamed_bytes_read=LINE_BYTES * (fetched + of_table),
        bytes_written=float(stored),
        balance=busiest_share([sum(counts) for counts in groups_of]),
        working_set_bytes=float(rows * form.taps * LINE_BYTES * target.qpus),
    )


def _lines(spec: LayerSpec, choice: Choice, output_lines: int | None = None) -> GatheredLines:
    return arrangement(spec, (choice.input_layouts[0], choice.output_layouts[0]), output_lines)


def _is_between(op: Relayout) -> bool:
    return {op.source, op.target} == {*LAYOUTS}


def _layouts(spec: LayerSpec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of inputs and outputs: those of a change of layout, else pixel16 too where all are planes."""
    if isinstance(spec.op, Relayout):
        return (spec.op.source,), (spec.op.target,)
    return _offered(spec.inputs), _offered(spec.outputs)


def _offered(tensors: Sequence[TensorType]) -> tuple[str, ...]:
    return LAYOUTS if all(len(tensor.shape) == 4 for tensor in tensors) else LAYOUTS[1:]
