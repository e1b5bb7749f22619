"""Tiles of gathered lines: runs that lie at one distance in the output, what their lanes read, and how it is packed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from codegen.engines.videocore4.kernels.gather import TILE_WORDS, Form, gather_kernel
from codegen.engines.videocore4.kernels.pieces import dma_store_rows, dma_store_stride
from codegen.engines.videocore4.layer import Address, Base, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.program import WORD_BYTES
from codegen.target import Target

Words = NDArray[np.uint32]
Offsets = NDArray[np.int64]
Number = TypeVar("Number", bound=np.generic)


class Run(NamedTuple):
    """Lines of one table, or by line with as many lines of one, that are stored at one distance from each other.

    `input_bytes`: what the table's offsets are relative to. `line`: of the stream, or by line of the table, the first.
    `words`: of each line that is stored. `pitch_bytes`: from a stored line to the next.
    """

    input: int
    input_bytes: int
    table: int
    stream: int
    line: int
    lines: int
    output: int
    output_bytes: int
    pitch_bytes: int
    words: int

    def cut(self, first: int, lines: int) -> Run:
        """The run's lines from `first` on."""
        return self._replace(
            line=self.line + first, lines=lines, output_bytes=self.output_bytes + first * self.pitch_bytes
        )


@dataclass
class GatheredLines:
    """All runs of a layer, and the tables and streams that they share."""

    form: Form
    runs: list[Run] = field(default_factory=list)
    tables: list[Words] = field(
        default_factory=list
    )  # each of `form.table_lines` lines, or by line of the run's
    streams: list[Offsets] = field(default_factory=list)
    fill: float = 0.0
    _tables: dict[bytes, int] = field(default_factory=dict)
    _streams: dict[bytes, int] = field(default_factory=dict)

    def table(self, words: Words) -> int:
        """The number of a table; equal ones are one."""
        return _number(self._tables, self.tables, words)

    def stream(self, offsets: Offsets) -> int:
        """The number of a stream; equal ones are one."""
        return _number(self._streams, self.streams, offsets)

    @property
    def lines(self) -> int:
        return sum(run.lines for run in self.runs)

    @cached_property
    def touched(self) -> int:
        """How many lines of memory all requests read, each counted by itself; of runs that are all known."""
        found = 0
        known: dict[tuple[int, int], int] = {}
        for run in self.runs:
            lanes = self.tables[run.table].view(np.int32).reshape(-1, LANES).astype(np.int64)
            if self.form.by_line:
                found += int(_lines_of(lanes[run.line : run.line + run.lines]).sum())
                continue
            inside = (run.input_bytes + int(self.streams[run.stream][run.line])) % LINE_BYTES
            if (run.table, inside) not in known:
                known[run.table, inside] = int(_lines_of(lanes[: self.form.taps] + inside).sum())
            found += run.lines * known[run.table, inside]
        return found

    def tiles(self, rows: int, groups: int) -> list[Run]:
        """Runs of at most `groups` whole groups of `rows` lines, and of what is left over."""
        found: list[Run] = []
        for run in self.runs:
            whole = run.lines // rows * rows
            found += [
                run.cut(first, min(groups * rows, whole - first)) for first in range(0, whole, groups * rows)
            ]
            if whole < run.lines:
                found.append(run.cut(whole, run.lines - whole))
        return found

    def dealt(self, rows: int, groups: int, target: Target) -> list[list[Run]]:
        """[qpu][n]: neighbours in time run side by side."""
        tiles = self.tiles(rows, groups)
        return [tiles[q :: target.qpus] for q in range(target.qpus)]

    def lower(self, rows: int, groups: int, target: Target, source: Base = "input") -> QpuLayer:
        """The layer, with `rows` lines stored at a time, that reads its inputs or, as a second phase, the scratch."""
        packed, tables, streams = self._packed(rows)
        blocks = tuple(
            self._block(tiles, rows, tables, streams, source) for tiles in self.dealt(rows, groups, target)
        )
        return QpuLayer(gather_kernel(self.form, rows).words, packed, blocks)

    def _packed(self, rows: int) -> tuple[Words, list[int], list[int]]:
        """A line of the fill, the tables and the streams, and the byte offsets of these. What is left over of a run is
        read as a whole group: streams, and tables by line, go on with what they end with.
        """
        parts = [np.full(LANES, self.fill, np.float32).view(np.uint32)]
        position = LINE_BYTES
        offsets: tuple[list[int], list[int]] = [], []
        more = rows - 1
        tables = (np.pad(t, ((0, more), (0, 0)), "edge") if self.form.by_line else t for t in self.tables)
        streams = (np.pad(s, (0, more), "edge").astype(np.int32).view(np.uint32) for s in self.streams)
        for found, values in zip(offsets, (tables, streams), strict=True):
            for value in values:
                words = value.reshape(-1)
                found.append(position)
                parts.append(np.pad(words, (0, -len(words) % LANES)))
                position += WORD_BYTES * len(parts[-1])
        return np.concatenate(parts), *offsets

    def _block(
        self, tiles: Sequence[Run], rows: int, tables: Sequence[int], streams: Sequence[int], source: Base
    ) -> tuple[Uniform, ...] | None:
        if not tiles:
            return None
        head: list[Uniform] = [0, len(tiles)]
        if self.form.filled:
            head.append(Address("weights") if self.form.by_line else float(self.fill))
        words: list[Uniform] = [Address("block", WORD_BYTES * len(head)), *head[1:]]
        for run in tiles:
            words += self._tile_words(run, rows, tables, streams, source)
        return tuple(words)

    def _tile_words(
        self, run: Run, rows: int, tables: Sequence[int], streams: Sequence[int], source: Base
    ) -> Iterable[Uniform]:
        groups, stored = (1, run.lines) if run.lines < rows else (run.lines // rows, rows)
        first = min(stored, rows // 2)
        second = dma_store_rows(first, stored - first, run.words) if stored > first else 0
        table = tables[run.table] + (LINE_BYTES * run.line if self.form.by_line else 0)
        found = (
            Address("weights", table),
            0 if self.form.by_line else Address("weights", streams[run.stream] + WORD_BYTES * run.line),
            Address(source, run.input_bytes, run.input),
            groups,
            Address("output", run.output_bytes, run.output),
            dma_store_stride(run.pitch_bytes - WORD_BYTES * run.words if first > 1 else 0),
            dma_store_rows(0, first, run.words),
            second,
            rows * run.pitch_bytes,
        )
        assert len(found) == TILE_WORDS
        return found


def lines_touched(lanes: Sequence[int] | Offsets) -> int:
    """How many lines of memory a request with lanes at these byte offsets reads, the first at the start of one."""
    return len({int(offset) // LINE_BYTES for offset in lanes})


def _lines_of(requests: Offsets) -> NDArray[np.int64]:
    """The same of each request of [requests][lanes]."""
    lines = np.sort(requests // LINE_BYTES, axis=1)
    return np.asarray(1 + np.count_nonzero(np.diff(lines, axis=1), axis=1), dtype=np.int64)


def _number(known: dict[bytes, int], kept: list[NDArray[Number]], value: NDArray[Number]) -> int:
    number = known.setdefault(value.tobytes(), len(kept))
    if number == len(kept):
        kept.append(value)
    return number
