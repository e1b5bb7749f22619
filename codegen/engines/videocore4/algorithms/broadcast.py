"""Elementwise expressions of row-major tensors of any shapes, and constants as activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.gathered_lines import Offsets, Words, lines_touched
from codegen.engines.videocore4.algorithms.geometry import busiest_share, starts
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.expressions.lowering import is_lowered
from codegen.engines.videocore4.expressions.placement import instructions
from codegen.engines.videocore4.kernels.broadcast import (
    HEAD_WORDS,
    IN_FLIGHT,
    OPERAND_WORDS,
    broadcast_kernel,
    turns,
)
from codegen.engines.videocore4.kernels.pieces import dma_store_rows
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.expression import RESULT, Expression
from codegen.graph import LayerSpec
from codegen.operators.elementwise import Map
from codegen.operators.literal import Literal
from codegen.operators.typed_map import TypedMap
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray, Shape

ROWS = 1, 2, 4, 8, 16
MOST_ELEMENTS = 1 << 22  # whose places a compiler keeps in memory


@dataclass(frozen=True, eq=False)
class _Places:
    """Of an operand: for each line its byte offset, the number of its pattern, and the patterns' lanes."""

    offsets: Offsets
    numbers: Offsets
    patterns: Offsets

    @property
    def by_table(self) -> bool:
        return len(self.patterns) > 1


@lru_cache(maxsize=256)
def _places(shape: Shape, output: Shape, rows: int) -> _Places:
    """Where lines of the output, in groups of `rows`, lie in an operand that broadcasts to it."""
    count, total = (int(np.prod(sizes, dtype=np.int64)) for sizes in (shape, output))
    first = (np.array(_groups(output, rows))[:, None] + LANES * np.arange(rows)).reshape(-1)
    if count in (1, total):  # of one pattern, without a look at every element
        lanes = np.minimum(np.arange(LANES), total - 1) * WORD_BYTES
        step = 0 if count == 1 else 1
        return _Places(step * WORD_BYTES * first, 0 * first, step * lanes[None])
    places = np.broadcast_to(np.arange(count).reshape(shape), output).reshape(-1)
    elements = first[:, None] + np.arange(LANES)
    lines = places[np.minimum(elements, total - 1)] * WORD_BYTES
    offsets = lines.min(axis=1)
    patterns, numbers = np.unique(lines - offsets[:, None], axis=0, return_inverse=True)
    return _Places(offsets, numbers.reshape(-1), patterns)


def _groups(output: Shape, rows: int) -> tuple[int, ...]:
    """First elements of the groups, the last of which may overlap the one before."""
    count = int(np.prod(output, dtype=np.int64))
    return starts(count, rows * LANES) if count >= rows * LANES else (0,)


class QpuBroadcast(AlgorithmBase):
    """An expression of row-major tensors that broadcast in any way: lanes gather them by patterns, `rows` lines at a
    time; a constant is copied.

    Axes:
        rows: lines of 16 elements that a QPU computes before it stores them
    """

    name = "qpu_broadcast"
    engine: str = "videocore4"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        expression = _expression_of(spec)
        return (
            target.has_qpus
            and expression is not None
            and is_lowered(expression)
            and 0 < spec.output.elements <= MOST_ELEMENTS
            and len(spec.inputs) + len(spec.weights) <= IN_FLIGHT
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        lines = -(-spec.output.elements // LANES)
        whole = spec.output.elements // LANES
        return Space((Axis("rows", tuple(rows for rows in ROWS if rows <= min(lines, max(1, whole)))),))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        broadcast_kernel(*_form(spec, point["rows"]))  # refuses what has no registers
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({}),
            tile=values(point),
            input_layouts=("nchw",) * len(spec.inputs),
            output_layouts=("nchw",),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        expression, by_table, rows = _form(spec, choice.tiles["rows"])
        groups = len(_groups(spec.output.shape, rows))
        lines, tables = groups * rows, sum(by_table)
        read = lines * (len(by_table) + tables)
        touched = sum(lines_touched(one.patterns[-1]) for one in _all_places(spec, rows))
        balance = busiest_share([last - first for first, last in pairwise(_cuts(groups, target))])
        return Work(
            macs=0.0,
            alu_instructions=lines * (0.4 * len(by_table) + 1.5 * tables + instructions(expression))
            + groups * 13.0
            + target.qpus / balance * (20.0 + 6.0 * len(by_table)),  # once, also of the busiest QPU
            load_instructions=float(read),
            uniform_words=float(read),
            store_instructions=float(lines),
            dma_stores=float(groups),
            unique_bytes_read=float(sum(t.size_bytes for t in (*spec.inputs, *spec.weights))),
            streamed_bytes_read=float(LINE_BYTES * lines * (tables + touched)),
            bytes_written=float(spec.output.size_bytes),
            balance=balance,
            working_set_bytes=float(rows * len(by_table) * LINE_BYTES * target.qpus),
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
        if output_lines is not None:
            raise ScheduleError(f"{self.name} writes nchw, which has no blocks of {output_lines} lines")
        expression, by_table, rows = _form(spec, choice.tiles["rows"])
        kernel, places = broadcast_kernel(expression, by_table, rows), _all_places(spec, rows)
        parts, where = [np.zeros(0, np.uint32)], [0]

        def added(words: Words) -> int:
            parts.append(np.pad(words, (0, -len(words) % LANES)))
            where.append(where[-1] + WORD_BYTES * len(parts[-1]))
            return where[-2]

        starts_of = [Address("input", 0, index) for index in range(len(spec.inputs))]
        starts_of += [Address("weights", added(float_words(weight))) for weight in weights]
        patterns = [added(one.patterns.astype(np.uint32).reshape(-1)) for one in places]
        first_elements = _groups(spec.output.shape, rows)
        stream = _stream(places, by_table, first_elements, rows, kernel.batch)
        first_word = added(stream.reshape(-1))
        words = min(LANES, spec.output.elements)

        def block(first: int, last: int) -> tuple[Uniform, ...] | None:
            if first == last:
                return None
            found: list[Uniform] = [
                Address("weights", first_word + WORD_BYTES * stream.shape[1] * first),
                last - first,
                Address("output"),
                dma_store_rows(0, rows, words),
            ]
            for start, pattern in zip(starts_of, patterns, strict=True):
                found += [start, Address("weights", pattern)]
            assert len(found) == HEAD_WORDS + OPERAND_WORDS * len(by_table)
            return tuple(found)

        cuts = pairwise(_cuts(len(first_elements), target))
        return QpuLayer(kernel.code.words, np.concatenate(parts), tuple(block(*cut) for cut in cuts))


def _cuts(groups: int, target: Target) -> list[int]:
    """Where each QPU's run of groups ends."""
    return [groups * q // target.qpus for q in range(target.qpus + 1)]


def _expression_of(spec: LayerSpec) -> Expression | None:
    """What is computed of the inputs and the weights; None for other operators."""
    if isinstance(spec.op, Literal):
        return RESULT
    return spec.op.expression if isinstance(spec.op, Map | TypedMap) else None


def _all_places(spec: LayerSpec, rows: int) -> list[_Places]:
    return [_places(tensor.shape, spec.output.shape, rows) for tensor in (*spec.inputs, *spec.weights)]


def _form(spec: LayerSpec, rows: int) -> tuple[Expression, tuple[bool, ...], int]:
    expression = _expression_of(spec)
    if expression is None:
        raise ScheduleError(f"no expression of tensors: {spec.op}")
    return expression, tuple(one.by_table for one in _all_places(spec, rows)), rows


def _stream(
    places: Sequence[_Places],
    by_table: Sequence[bool],
    first_elements: Sequence[int],
    rows: int,
    batch: int,
) -> Words:
    """[group][word] of what the kernel reads."""
    order = turns(batch, by_table)
    tables = [pair for pair in order if by_table[pair[1]]]
    columns = []
    for first in range(0, rows, batch):
        columns += [LINE_BYTES * places[o].numbers[first + line :: rows] for line, o in tables]
        columns += [places[o].offsets[first + line :: rows] for line, o in order]
    columns.append(WORD_BYTES * np.array(first_elements))
    return np.stack(columns, axis=1).astype(np.uint32)
