"""Tiles of results and the steps by which lanes find their elements, for kernels of statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from codegen.engines.videocore4.algorithms.gathered_lines import (
    Offsets,
    Words,
    lines_touched,
)
from codegen.engines.videocore4.algorithms.geometry import busiest_share
from codegen.engines.videocore4.expressions.placement import instructions
from codegen.engines.videocore4.kernels.pieces import MOST_STRIDE_BYTES, dma_store_rows, dma_store_stride
from codegen.engines.videocore4.kernels.statistics import Form, Statistic, statistics_kernel
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.expression import RESULT, Expression
from codegen.graph import LayerSpec
from codegen.program import WORD_BYTES
from codegen.schedule import Work
from codegen.target import Target

MOST_TERMS = 1 << 14  # of a sum one after the other: additions truncate, and are still right to 1e-3
LINE = tuple(WORD_BYTES * lane for lane in range(LANES))


class Tile(NamedTuple):
    """Results of a tile: the lanes' byte offsets in the input from `input_bytes` on, and where `words` of them go.

    Across, `results` neighbours get one after the other what the kernel finds, and `words` is their number.
    """

    lanes: tuple[int, ...]
    input_bytes: int
    output_bytes: int
    words: int = LANES
    results: int = 1


@dataclass(frozen=True, eq=False)
class Steps:
    """A layer's tiles, which all take the same steps.

    `offsets`: bytes of each step. `elements`: across, of one result. `pitch_bytes`: across, from the elements of one
    result to those of the next; where every element gets a result, from the store of a step to that of the next.
    """

    tiles: tuple[Tile, ...]
    offsets: Offsets
    elements: int
    pitch_bytes: int

    @property
    def words(self) -> int:
        """Of the store of a step."""
        return self.tiles[0].words


@dataclass(frozen=True)
class Program:
    """What a layer computes of its elements: see `Form`."""

    statistics: tuple[Statistic, ...]
    result: Expression | None = None

    def form(self, *, across: bool, rows: int) -> Form:
        return Form(self.statistics, self.result, across, rows)


def form_of(program: Program, steps: Steps, *, across: bool, rows: int) -> Form:
    """Raises ScheduleError where steps are too far from each other for one store, far too few, or too many."""
    if program.result is not None and rows > 1 and not across:
        gap = steps.pitch_bytes - WORD_BYTES * steps.words
        if gap > MOST_STRIDE_BYTES:
            raise ScheduleError(f"lines {gap} bytes apart are no rows of one store; take one row")
    if rows > 1 and rows >= 2 * len(steps.offsets):
        raise ScheduleError(f"{rows} steps at a time exceed the {len(steps.offsets)} that there are")
    if len(steps.offsets) > rows * MOST_TERMS:
        raise ScheduleError(f"sums of {len(steps.offsets)} terms, {rows} at a time, lose too much; take more")
    form = program.form(across=across, rows=rows)
    statistics_kernel(form)  # refuses what has no registers
    return form


def statistics_layer(form: Form, steps: Steps, target: Target) -> QpuLayer:
    """The layer, whose tiles neighbours in time share out."""
    tables: dict[tuple[int, ...], int] = {}
    for tile in steps.tiles:
        tables.setdefault(tile.lanes, LINE_BYTES * len(tables))
    lanes = np.array(list(tables), np.int64).astype(np.uint32).reshape(-1)
    stream = _stream(form, steps)
    weights = np.concatenate([lanes, np.pad(stream, (0, -len(stream) % LANES))])

    def block(tiles: Sequence[Tile]) -> tuple[Uniform, ...] | None:
        if not tiles:
            return None
        head: list[Uniform] = [len(tiles), Address("weights", WORD_BYTES * len(lanes))]
        if form.result is not None:
            gap = steps.pitch_bytes - WORD_BYTES * steps.words if form.rows > 1 and not form.across else 0
            head.append(dma_store_stride(gap))
        words: list[Uniform] = [Address("block", WORD_BYTES * form.head_words), *head]
        for tile in tiles:
            words += [Address("weights", tables[tile.lanes]), Address("input", tile.input_bytes)]
            words.append(Address("output", tile.output_bytes))
            if form.result is None:
                words.append(dma_store_rows(0, 1, tile.words))
            if form.collects:
                words += [tile.results, steps.pitch_bytes]
        return tuple(words)

    return QpuLayer(
        statistics_kernel(form).words, weights, tuple(block(own) for own in _dealt(steps.tiles, target))
    )


def _dealt(tiles: Sequence[Tile], target: Target) -> list[Sequence[Tile]]:
    return [tiles[q :: target.qpus] for q in range(target.qpus)]


def _stream(form: Form, steps: Steps) -> Words:
    """What the kernel reads for each statistic, and what it reads for the results of elements."""
    offsets, rows = [int(offset) for offset in steps.offsets], form.rows
    groups = (len(offsets) - 1) // rows
    whole, tail = offsets[: groups * rows], offsets[groups * rows :]
    padded = tail + tail[-1:] * (rows - len(tail))
    left = steps.elements - LANES * len(whole) + LANES - 1 if form.across else len(tail)
    words = [groups, *whole, left, *padded]
    if form.result is not None:
        words.append(groups)
        for first in range(0, len(whole), rows):
            own = whole[first : first + rows]
            words += own
            for half in form.halves(range(rows)):
                words += [dma_store_rows(half[0], len(half), steps.words), own[half[0]]]
        words += [*padded, *_tail_stores(form, steps, tail)]
    return np.array(words, np.int64).astype(np.uint32)


def _tail_stores(form: Form, steps: Steps, tail: Sequence[int]) -> list[int]:
    """Setups and byte offsets: one for each half's rows that the tail has, else for a row of that half which repeats
    the last; across, where the last row is a part of a line, one more for it.
    """
    rows, last = form.rows, len(tail) - 1
    whole = last if form.across else len(tail)
    of_last = (steps.elements - 1) % LANES + 1 if form.across else steps.words
    words: list[int] = []
    for half in form.halves(range(rows)):
        own = [row for row in half if row < whole]
        if own:
            words += [dma_store_rows(own[0], len(own), steps.words), tail[own[0]]]
        else:
            words += [dma_store_rows(half[-1], 1, of_last), tail[last]]
    if form.across:
        words += [dma_store_rows(rows - 1, 1, of_last), tail[last]]
    return words


def statistics_work(spec: LayerSpec, form: Form, steps: Steps, target: Target) -> Work:
    """What a layer asks of the machine."""
    dealt = _dealt(steps.tiles, target)
    lines, rows = len(steps.offsets), form.rows
    padded = -(-lines // rows) * rows
    passes = len(form.statistics) + (form.result is not None)
    results = sum(tile.results for tile in steps.tiles)
    touched = sum(tile.results * lines_touched(tile.lanes) for tile in steps.tiles)
    groups = results * (padded // rows)
    read = results * padded * passes
    expressions = [one.element for one in form.statistics] + ([] if form.result is None else [form.result])
    computing = sum(instructions(expression) for expression in expressions if expression != RESULT)
    stores = groups * min(rows, 2) if form.result is not None else len(steps.tiles)
    stream = len(_stream(form, steps))
    return Work(
        macs=0.0,
        alu_instructions=read * 1.4
        + results * padded * computing
        + groups * 6.0 * passes
        + stores * 10.0
        + results * (len(form.statistics) * (1.5 * rows + 20.0) + 20.0)
        + len(steps.tiles) * 15.0,
        load_instructions=float(read + len(steps.tiles)),
        uniform_words=float(results * stream * passes + len(steps.tiles) * form.tile_words),
        store_instructions=float(results * padded if form.result is not None else len(steps.tiles)),
        dma_stores=float(stores + (results if form.across and form.result is not None else 0)),
        unique_bytes_read=float(sum(tensor.size_bytes for tensor in spec.inputs)),
        streamed_bytes_read=float(LINE_BYTES * padded * passes * touched),
        bytes_written=float(spec.output.size_bytes),
        balance=busiest_share([sum(tile.results for tile in own) for own in dealt]),
        working_set_bytes=float(LINE_BYTES * lines * target.qpus),
    )
