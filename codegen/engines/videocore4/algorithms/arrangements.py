"""How the elements that an operator moves become lines of one layout gathered from another.

An output is looked at as sheets [outer][inner] of lines, where those of one outer index are stored at one distance. A
sheet is cut along its inner axis where the lanes' distances from line to line change: a run has one table for each
outer index, and one stream for all. Where that gives runs of few lines, every line has a line of the table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codegen.engines.videocore4.algorithms.gathered_lines import (
    GatheredLines,
    Offsets,
    Run,
    Words,
)
from codegen.engines.videocore4.kernels.gather import Form
from codegen.engines.videocore4.kernels.pieces import MOST_STRIDE_BYTES
from codegen.engines.videocore4.layout import LANES, LINE_BYTES, block_lines
from codegen.graph import LayerSpec
from codegen.layout import plane
from codegen.operator import Types
from codegen.places import NOWHERE, Piece
from codegen.program import WORD_BYTES
from codegen.tensor import TensorType

# What things cost about, in instructions: to weigh arrangements of one layer against each other.
_TILE, _LINE, _LINE_OF_TABLE, _GROUP, _ROWS = 60.0, 5.0, 8.0, 40.0, 8


class Sheet(NamedTuple):
    """Lines [outer][inner][lane]: byte offsets in the input, NOWHERE for the operator's number; the output's byte of
    each outer index, bytes from a line to the next, and words that are stored of each.
    """

    offsets: Offsets
    output_bytes: tuple[int, ...]
    pitch_bytes: int
    words: int

    @property
    def is_storable(self) -> bool:
        """Whether the distance of its lines fits the setup of a store."""
        return self.offsets.shape[1] == 1 or self.pitch_bytes - WORD_BYTES * self.words <= MOST_STRIDE_BYTES


def _bytes_of(piece: Piece, source: TensorType, layout: str) -> Offsets:
    """The byte of the input that each place is at."""
    places = piece.places
    if layout == "nchw":
        found = places * WORD_BYTES
    else:
        _, channels, pixels = plane(source)
        line, pixel = np.divmod(places, pixels)
        sample, channel = np.divmod(line, channels)
        block = sample * -(-pixels // LANES) + pixel // LANES
        found = (block * block_lines(channels) + channel) * LINE_BYTES + pixel % LANES * WORD_BYTES
    return np.where(places == NOWHERE, NOWHERE, found)


def _in_lines(rows: Offsets) -> Offsets:
    """[rows][elements] as [rows][lines][lanes]; the last line goes on with its last element."""
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % LANES)), "edge")
    return padded.reshape(len(rows), -1, LANES)


def _blocks(piece: Piece, offsets: Offsets, output: TensorType, output_lines: int | None) -> list[Sheet]:
    """In pixel16: blocks are outer, channels inner."""
    samples, channels = offsets.shape[:2]
    lines = output_lines or block_lines(output.shape[1])
    by_block = _in_lines(offsets.reshape(samples * channels, -1))
    blocks = by_block.shape[1]
    by_block = by_block.reshape(samples, channels, blocks, LANES).swapaxes(1, 2)
    starts = range(piece.sample * blocks, (piece.sample + samples) * blocks)
    bytes_ = tuple(LINE_BYTES * (start * lines + piece.channel) for start in starts)
    return [Sheet(by_block.reshape(-1, channels, LANES), bytes_, LINE_BYTES, LANES)]


def _flat(piece: Piece, offsets: Offsets, output: TensorType) -> Iterator[list[Sheet]]:
    """In row-major order, in every way: by what is a row, and by which lines of the rows are stored together."""
    per_channel = math.prod(output.shape[2:])
    first = WORD_BYTES * (piece.sample * math.prod(output.shape[1:]) + piece.channel * per_channel)
    sizes = {math.prod(offsets.shape[axis:]) for axis in range(offsets.ndim)}
    for length in sorted(size for size in sizes if size > 1 or len(sizes) == 1):
        rows = _in_lines(offsets.reshape(-1, length))
        starts = tuple(first + WORD_BYTES * length * row for row in range(len(rows)))
        whole, rest = divmod(length, LANES)
        across = [
            Sheet(rows[:, :whole].swapaxes(0, 1), _lines_from(first, whole), WORD_BYTES * length, LANES),
            Sheet(rows[:, whole:].swapaxes(0, 1), _lines_from(first, whole, rest), WORD_BYTES * length, rest),
        ]
        along = [
            Sheet(rows[:, :whole], starts, LINE_BYTES, LANES),
            Sheet(rows[:, whole:], tuple(s + LINE_BYTES * whole for s in starts), LINE_BYTES, rest),
        ]
        for sheets in (across, [along[0], across[1]], along):
            filled = [sheet for sheet in sheets if sheet.offsets.size]
            if all(sheet.is_storable for sheet in filled):
                yield filled


def _lines_from(first: int, whole: int, rest: int | None = None) -> tuple[int, ...]:
    """The bytes of the whole lines of a row, or of what is left over."""
    lines = range(whole) if rest is None else range(whole, whole + (rest > 0))
    return tuple(first + LINE_BYTES * line for line in lines)


class _Cut(NamedTuple):
    """The starts of a sheet's runs, and how far each line's places lie from the first's of its run."""

    starts: tuple[int, ...]
    steps: Offsets


def _cut(offsets: Offsets) -> _Cut:
    inner = offsets.shape[1]
    low, high, alike = _steps(offsets)
    is_even = alike & (low >= high)
    step = np.where(low == high, low, 0)
    starts = (0, *(int(line) + 1 for line in np.flatnonzero(~is_even)))
    total = np.concatenate([[0], np.cumsum(step)])
    found = np.empty(inner, np.int64)
    for start, end in zip(starts, (*starts[1:], inner), strict=True):
        found[start:end] = total[start:end] - total[start]
    return _Cut(starts, found)


def _steps(offsets: Offsets) -> tuple[Offsets, Offsets, NDArray[np.bool_]]:
    """From each line to the next: the shortest and the longest distance that a lane's places have, the largest number
    and the least where no lane has one; whether the same lanes are filled.
    """
    steps, outermost = np.diff(offsets, axis=1), (0, 2)
    longest, shortest = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    nowhere = offsets == NOWHERE
    if not nowhere.any():
        alike = np.ones(steps.shape[1], dtype=np.bool_)
        return steps.min(axis=outermost, initial=longest), steps.max(axis=outermost, initial=shortest), alike
    both = ~(nowhere[:, 1:] | nowhere[:, :-1])
    low = np.where(both, steps, longest).min(axis=outermost)
    high = np.where(both, steps, shortest).max(axis=outermost)
    return low, high, (nowhere[:, 1:] == nowhere[:, :-1]).all(axis=outermost)


def _cost(offsets: Offsets, *, by_line: bool) -> float:
    """Of a sheet, about, in instructions."""
    outer, inner = map(int, offsets.shape[:2])
    if by_line:
        return outer * (_TILE + inner * (_LINE + _LINE_OF_TABLE) + -(-inner // _ROWS) * _GROUP)
    starts = _cut(offsets).starts
    lengths = np.diff([*starts, inner])
    groups = float(np.sum(-(-lengths // _ROWS)))
    return outer * (len(starts) * _TILE + inner * _LINE + groups * _GROUP)


def _sheets(
    piece: Piece, inputs: Types, outputs: Types, layouts: tuple[str, str], output_lines: int | None
) -> Iterator[list[Sheet]]:
    offsets = _bytes_of(piece, inputs[piece.input], layouts[0])
    output = outputs[piece.output]
    if layouts[1] == "nchw":
        yield from _flat(piece, offsets, output)
    else:
        yield _blocks(piece, offsets, output, output_lines)


@lru_cache(maxsize=128)
def arrangement(spec: LayerSpec, layouts: tuple[str, str], output_lines: int | None = None) -> GatheredLines:
    """The layer's lines, by what is cheapest, from inputs of the first layout to outputs of the second."""
    pieces = spec.op.pieces(spec.inputs, spec.outputs)
    return arrangement_of(pieces, spec.inputs, spec.outputs, layouts, output_lines)


def arrangement_of(
    pieces: Sequence[Piece],
    inputs: Types,
    outputs: Types,
    layouts: tuple[str, str],
    output_lines: int | None = None,
) -> GatheredLines:
    """The lines of pieces, likewise."""
    found: list[tuple[Piece, dict[bool, tuple[float, list[Sheet]]]]] = []
    for piece in pieces:
        best: dict[bool, tuple[float, list[Sheet]]] = {}
        for sheets in _sheets(piece, inputs, outputs, layouts, output_lines):
            for by_line in (False, True):
                cost = sum(_cost(sheet.offsets, by_line=by_line) for sheet in sheets)
                if by_line not in best or cost < best[by_line][0]:
                    best[by_line] = cost, sheets
        found.append((piece, best))
    by_line = sum(best[True][0] for _, best in found) < sum(best[False][0] for _, best in found)
    filled = any((piece.places == NOWHERE).any() for piece, _ in found)
    lines = GatheredLines(Form(filled=filled, by_line=by_line), fill=found[0][0].fill)
    for piece, best in found:
        for sheet in best[by_line][1]:
            (_add_by_line if by_line else _add)(lines, piece, sheet)
    return lines


def _add(lines: GatheredLines, piece: Piece, sheet: Sheet) -> None:
    starts, steps = _cut(sheet.offsets)
    inner = sheet.offsets.shape[1]
    for start, end in zip(starts, (*starts[1:], inner), strict=True):
        least = int(steps[start:end].min())
        stream = lines.stream(steps[start:end] - least)
        for outer, output_bytes in enumerate(sheet.output_bytes):
            first = sheet.offsets[outer, start]
            somewhere = first[first != NOWHERE]
            base = int(somewhere.min()) if somewhere.size else -least
            table = lines.table(_table(first, base, masked=lines.form.filled))
            at = output_bytes + start * sheet.pitch_bytes
            lines.runs.append(
                Run(
                    piece.input, base + least, table, stream, 0, end - start,
                    piece.output, at, sheet.pitch_bytes, sheet.words,
                )
            )  # fmt: skip


def _table(offsets: Offsets, base: int, *, masked: bool) -> Words:
    """A line of offsets from the base, and where lanes are filled a line of masks."""
    nowhere: NDArray[np.bool_] = offsets == NOWHERE
    lanes = np.where(nowhere, 0, offsets - base).astype(np.uint32)
    if not masked:
        return lanes
    return np.concatenate([lanes, np.where(nowhere, 0xFFFFFFFF, 0).astype(np.uint32)])


def _add_by_line(lines: GatheredLines, piece: Piece, sheet: Sheet) -> None:
    inner = sheet.offsets.shape[1]
    for outer, output_bytes in enumerate(sheet.output_bytes):
        table = lines.table(sheet.offsets[outer].astype(np.int32).view(np.uint32))
        lines.runs.append(
            Run(
                piece.input, 0, table, 0, 0, inner,
                piece.output, output_bytes, sheet.pitch_bytes, sheet.words,
            )
        )  # fmt: skip
