"""Which parts of a product's matrices go into the order of tiles before any tile is computed, and which meanwhile: at
the stops of which tiles (see `kernels.repacked`).

QPUs keep in step: what they put in order during one round of tiles is there in the next. So tiles are computed in such
an order that the first ones want few parts, and that what the others want has been put in order by then.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codegen.engines.videocore4.algorithms.gemm import OTHER_PIXELS
from codegen.engines.videocore4.algorithms.matrices import UNIFORMS, Product
from codegen.engines.videocore4.kernels.channel_lanes import PAIRED
from codegen.engines.videocore4.kernels.matrix_product import COLUMNS
from codegen.engines.videocore4.kernels.pieces import (
    MOST_PITCH_BYTES,
    dma_load_pitch,
    dma_load_rows,
    dma_store_columns,
    dma_store_rows,
    dma_store_stride,
    has_load_setup,
)
from codegen.engines.videocore4.kernels.repacked import FIRST_ROW
from codegen.engines.videocore4.kernels.rotated import STREAMED
from codegen.engines.videocore4.layer import Address, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.program import WORD_BYTES

_CHANNELS_OF_STOP = 16  # at least so many between stops
_MOST_PARTS = 12  # of a QPU and tile: QPUs that stop more often drift apart

Tile = tuple[int, int, int]  # batch, tile of rows, of columns


class Item(NamedTuple):
    """A tile of rows of the first matrix, or of columns of the second."""

    of_rows: bool
    batch: int
    tile: int


Part = tuple[Item, int]  # 16 channels of an item, by number


@dataclass(frozen=True)
class Order:
    """The tiles in the order in which QPUs take them in turn, what is put in order before, and by round of tiles and
    QPU what the QPU puts in order.
    """

    tiles: tuple[Tile, ...]
    before: frozenset[Item]
    parts: tuple[tuple[tuple[Part, ...], ...], ...]

    @property
    def columns_before(self) -> int:
        """Tiles of columns that are put in order before; they are the first ones."""
        return sum(not item.of_rows for item in self.before)


class _Group(NamedTuple):
    of_rows: bool
    batch: int
    tiles: range


@lru_cache(maxsize=512)
def order_of(
    product: Product, rows: int, together: int, neighbours: str, qpus: int, *, columns_wait: bool
) -> Order:
    """For groups of `together` tiles of rows by as many of columns as there are `qpus` for. `columns_wait`: whether the
    second matrix is put in order too.

    Raises ScheduleError where nothing can be put in order meanwhile, or DMA does not reach from row to row.
    """
    if product.depth != product.summed:
        raise ScheduleError(f"sums of {product.summed} are no multiple of {LANES}: put them in order before")
    by_column = columns_wait and not product.transposed
    for words in (product.summed, *((product.columns,) if by_column else ())):
        if WORD_BYTES * words > MOST_PITCH_BYTES and not has_load_setup(WORD_BYTES * words):
            raise ScheduleError(f"rows of {words} words are further apart than DMA loads reach")
    down, across = len(product.row_starts(rows)), len(product.column_starts)
    groups = _in_turn(product.batches, down, across, together, -(-qpus // together), columns_wait)
    tiles = _tiles(groups, product.batches, across, -(-qpus // together), neighbours, columns_wait)
    full = len(tiles) // qpus
    wanted = _first_rounds(tiles, qpus, full)
    of_item, most = product.depth // LANES, min(_MOST_PARTS, product.depth // _CHANNELS_OF_STOP - 2)
    for first in range(1, len(groups)):
        left = [item for group in groups[first:] for item in _items(group)]
        ends = np.arange(1, len(left) + 1) * of_item
        rounds = np.array([wanted[item] for item in left])
        if rounds.min() > 0 and _each(ends, rounds, qpus) <= most:
            before = frozenset(item for group in groups[:first] for item in _items(group))
            return Order(tiles, before, _dealt(left, of_item, ends, rounds, qpus))
    raise ScheduleError(f"{len(tiles)} tiles are too few for {qpus} QPUs to put matrices in order meanwhile")


def _items(group: _Group) -> list[Item]:
    return [Item(group.of_rows, group.batch, tile) for tile in group.tiles]


def _in_turn(batches: int, down: int, across: int, high: int, wide: int, columns_wait: bool) -> list[_Group]:
    """Groups in the order in which they are put in order: next is what makes most tiles possible."""
    found: list[_Group] = []
    for batch in range(batches):
        row, column = 0, 0 if columns_wait else across
        while row < down or column < across:
            of_rows = row < down and (row == 0 or column == across or column > row)
            start, end, step = (row, down, high) if of_rows else (column, across, wide)
            tiles = range(start, min(start + step, end))
            found.append(_Group(of_rows, batch, tiles))
            row, column = (tiles.stop, column) if of_rows else (row, tiles.stop)
    return found


def _tiles(
    groups: list[_Group], batches: int, across: int, wide: int, neighbours: str, columns_wait: bool
) -> tuple[Tile, ...]:
    """All tiles: those first whose groups come first."""
    found: list[Tile] = []
    for batch in range(batches):
        own = [(number, group) for number, group in enumerate(groups) if group.batch == batch]
        rows = [x for x in own if x[1].of_rows]
        columns = [x for x in own if not x[1].of_rows]
        if not columns_wait:
            lefts = range(0, across, wide)
            columns = [(-1, _Group(False, batch, range(x, min(x + wide, across)))) for x in lefts]
        for _, (_, down), (_, beside) in sorted(
            ((max(one[0], other[0]), one, other) for one in rows for other in columns), key=lambda x: x[0]
        ):
            if neighbours == OTHER_PIXELS:
                found += [(batch, row, column) for column in beside.tiles for row in down.tiles]
            else:
                found += [(batch, row, column) for row in down.tiles for column in beside.tiles]
    return tuple(found)


def _first_rounds(tiles: tuple[Tile, ...], qpus: int, full: int) -> dict[Item, int]:
    """The first round that wants an item; the last one, which not all QPUs have, begins when the one before may."""
    found: dict[Item, int] = {}
    for number, (batch, row, column) in enumerate(tiles):
        for item in (Item(True, batch, row), Item(False, batch, column)):
            found.setdefault(item, min(number // qpus, full - 1))
    return found


def _each(ends: NDArray[np.int64], rounds: NDArray[np.int64], qpus: int) -> int:
    """How many parts each QPU must put in order in the next round, where so many parts of all are wanted in so many
    rounds: never more than in the round before.
    """
    return math.ceil(np.max(ends / (rounds * qpus)))


def _dealt(
    left: Sequence[Item], of_item: int, ends: NDArray[np.int64], rounds: NDArray[np.int64], qpus: int
) -> tuple[tuple[tuple[Part, ...], ...], ...]:
    """By round and QPU: as evenly as what rounds want allows."""
    parts = [(item, number) for item in left for number in range(of_item)]
    found: list[tuple[tuple[Part, ...], ...]] = []
    done = 0
    while done < len(parts):
        open_ = ends > done
        each = _each(ends[open_] - done, rounds[open_] - len(found), qpus)
        own = parts[done : done + each * qpus]
        found.append(tuple(tuple(own[q::qpus]) for q in range(qpus)))
        done += len(own)
    return tuple(found)


@dataclass(frozen=True)
class Places:
    """Where items go: of rows, by tile, the streams, and the vectors where scalars are mixed; of columns the tiles."""

    product: Product
    rows: int
    scalars: str

    def part_of_rows(self, item: Item, number: int, stream: int, vectors: int) -> tuple[Uniform, ...]:
        """The words of a part of a tile of rows, whose stream and vectors begin so many bytes into the scratch."""
        product, rows, column = self.product, self.rows, number * LANES
        pitch = WORD_BYTES * product.summed
        start = item.batch * product.rows + product.row_starts(rows)[item.tile]

        def stored(first: int, count: int, to: int, words: int) -> tuple[Uniform, ...]:
            from_ = Address("input", pitch * (start + first) + WORD_BYTES * column, product.first)
            place = Address("scratch", to + WORD_BYTES * words * column)
            return _as_columns(place, from_, pitch, count, words, FIRST_ROW + first)

        if self.scalars == UNIFORMS:
            return (*stored(0, rows, stream, rows), 0)
        others = stored(STREAMED, rows - STREAMED, vectors, PAIRED)
        return (*stored(0, STREAMED, stream, STREAMED), *others, 0)

    def part_of_columns(self, item: Item, number: int, tile: int) -> tuple[Uniform, ...]:
        """The same of a tile of columns, that begins so many bytes into the scratch."""
        product = self.product
        assert product.second is not None
        start, row = product.column_starts[item.tile], number * LANES
        to = Address("scratch", tile + WORD_BYTES * COLUMNS * row)
        place = item.batch * product.summed * product.columns
        if product.transposed:
            place += product.summed * start + row
            from_ = Address("input", WORD_BYTES * place, product.second)
            return (*_as_columns(to, from_, WORD_BYTES * product.summed, COLUMNS, COLUMNS, FIRST_ROW), 0)
        pitch = WORD_BYTES * product.columns
        from_ = Address("input", WORD_BYTES * (place + product.columns * row + start), product.second)
        lines = COLUMNS // LANES
        loads = [
            (dma_load_rows(FIRST_ROW + line, LANES, pitch, lines), _behind(from_, LINE_BYTES * line))
            for line in range(lines)
        ]
        return (*_stored(to, pitch, loads, 0, dma_store_rows(FIRST_ROW, lines * LANES)), 0)


def _as_columns(
    to: Address, from_: Address, pitch: int, rows: int, words: int, vpm_row: int
) -> tuple[Uniform, ...]:
    """16 words of so many rows, which become 16 rows of as many words, `words` from start to start."""
    loads = [
        (dma_load_rows(vpm_row + first, min(LANES, rows - first), pitch), _behind(from_, pitch * first))
        for first in range(0, rows, LANES)
    ]
    return _stored(to, pitch, loads, WORD_BYTES * (words - rows), dma_store_columns(vpm_row, LANES, rows))


def _stored(
    to: Address, pitch: int, loads: list[tuple[int, Address]], gap: int, store: int
) -> tuple[Uniform, ...]:
    return (
        to,
        dma_load_pitch(pitch),
        len(loads),
        *(word for load in loads for word in load),
        dma_store_stride(gap),
        store,
    )


def _behind(address: Address, bytes_: int) -> Address:
    return replace(address, offset_bytes=address.offset_bytes + bytes_)


def stop_places(parts: int, end: int, qpu: int, qpus: int, step: int) -> Iterator[int]:
    """Channels, in multiples of `step`, before which a QPU stops up to `end`: other QPUs do so at other times, as one
    of them alone has the VPM.
    """
    for number in range(parts):
        share = (number + (qpu + 0.5) / qpus) / parts
        latest = end - step * (parts - number)
        yield max(step * (number + 1), min(latest, int(share * end) // step * step))
