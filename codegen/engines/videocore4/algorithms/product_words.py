"""What tells QPUs where the tiles of a product of matrices lie: the words of their blocks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from codegen.engines.videocore4.algorithms.channel_lanes import QpuTiles
from codegen.engines.videocore4.algorithms.geometry import bounds
from codegen.engines.videocore4.algorithms.matrices import MEANWHILE, MIXED, UNIFORMS, Product
from codegen.engines.videocore4.algorithms.repacking import Item, Places, Tile, stop_places
from codegen.engines.videocore4.kernels import streamed
from codegen.engines.videocore4.kernels.channel_lanes import VECTORS
from codegen.engines.videocore4.kernels.matrix_product import (
    COLUMNS,
    HEAD_WORDS,
    first_request,
    words_before,
    words_behind,
)
from codegen.engines.videocore4.kernels.pace import Token
from codegen.engines.videocore4.kernels.pieces import dma_store_stride
from codegen.engines.videocore4.kernels.repacked import MEETING_WORDS
from codegen.engines.videocore4.kernels.rotated import CHANNELS_OF_VECTOR
from codegen.engines.videocore4.kernels.streamed import UNROLLED
from codegen.engines.videocore4.layer import Address, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.program import WORD_BYTES

CHUNK = 16  # times 16 columns that a QPU puts in order at a time


@dataclass(frozen=True)
class ProductWords:
    """Where a product's tiles lie."""

    product: Product
    rows: int
    scalars: str
    in_step: int  # how many QPUs keep in step, or 0
    copied: bool  # whether the second matrix is in the order of tiles, in the scratch
    ordering: str
    sharing: int = 1  # how many neighbouring QPUs fetch a stream ahead together

    @property
    def _pitch_bytes(self) -> int:
        """From row to row of the second matrix."""
        close = self.copied or self.product.constant
        return WORD_BYTES * (COLUMNS if close else self.product.columns)

    def gathers(self, qpu: int) -> bool:
        """Whether the others of its launch wait for it."""
        return self.in_step > 0 and qpu % self.in_step == 0

    @property
    def _row_starts(self) -> tuple[int, ...]:
        return self.product.row_starts(self.rows)

    def _stream(self, batch: int, row: int) -> int:
        """Bytes of the scratch at which a tile's stream begins."""
        of_tile = self.product.stream_bytes(self.rows, self.scalars, self.ordering)
        return of_tile * (batch * len(self._row_starts) + row)

    def _vectors(self, batch: int, row: int) -> int:
        product, tiles = self.product, len(self._row_starts)
        streams = product.batches * tiles * product.stream_bytes(self.rows, self.scalars, self.ordering)
        return streams + product.vector_bytes(self.scalars) * (batch * tiles + row)

    def _parts(self, batch: int, row: int, groups: int) -> list[Uniform]:
        """Where so many times 16 columns of a tile of rows behind its first go, as `columns_kernel` has them."""
        stream, line = self._stream(batch, row), LANES * groups
        if self.scalars == UNIFORMS:
            first = Address("scratch", stream + WORD_BYTES * self.rows * line)
            return [first, replace(first, offset_bytes=first.offset_bytes + LINE_BYTES)]
        vectors = self._vectors(batch, row) + LINE_BYTES // 2 * line
        return [Address("scratch", stream + LINE_BYTES * line), Address("scratch", vectors)]

    def chunks(self, tiles: Collection[tuple[int, int]]) -> Iterator[tuple[Uniform, ...]]:
        """The words of each tile of `columns_kernel`, of these tiles of rows, as (batch, tile)."""
        product = self.product
        pitch, whole = WORD_BYTES * product.summed, product.summed // LANES
        pieces = [(first, min(CHUNK, whole - first), LINE_BYTES * first) for first in range(0, whole, CHUNK)]
        if product.depth != product.summed:
            pieces.append((whole, 1, pitch - LINE_BYTES))
        for first, groups, column_bytes in pieces:
            for batch, row in tiles:
                start = pitch * (batch * product.rows + self._row_starts[row])
                yield (
                    Address("input", start + column_bytes, product.first),
                    pitch,
                    groups,
                    *self._parts(batch, row, first),
                )

    def block(
        self,
        tiles: Sequence[Tile],
        qpu: int,
        together: int,
        parts: Sequence[Sequence[tuple[Item, int]]],
    ) -> tuple[Uniform, ...] | None:
        """Uniforms of a QPU with these tiles, the first `together` of which all may begin in step. `parts`: by tile
        what the QPU puts in order meanwhile.
        """
        if not tiles:
            return None
        product, uniforms = self.product, self.scalars == UNIFORMS
        clamp = bounds(product.epilogue) if product.constant else ()
        stride = dma_store_stride(product.gap_bytes)
        head = streamed.HEAD_WORDS if uniforms else HEAD_WORDS
        words: list[Uniform] = [Address("block", WORD_BYTES * head)]
        words += [2 * self._pitch_bytes] if uniforms else [len(tiles), stride, self._pitch_bytes]
        places = [(row, column) for _, row, column in tiles]
        own = QpuTiles(places, self.gathers(qpu), together)
        length = head
        for number, (batch, row, column) in enumerate(tiles):
            counted, stops = self._stops(own, number, qpu, parts[number] if number < len(parts) else ())
            if self.ordering == MEANWHILE and self.in_step:
                words.append(own.takes(number))
            words += [
                *self._lines(batch, column, counted),
                *self._elements(batch, row, qpu, own, number, counted),
            ]
            words += [*stops, *clamp]
            words += [stride] if uniforms else []
            place = (batch * product.rows + self._row_starts[row]) * product.columns + product.column_starts[
                column
            ]
            words += [Address("output", WORD_BYTES * (place + LANES * p)) for p in range(VECTORS)]
            words += [int(number + 1 < len(tiles))] if uniforms else []
            length += words_of_tile(product, self.scalars, self.in_step, self.ordering) + len(stops)
        assert len(words) == length
        return tuple(words)

    def _stops(
        self, own: QpuTiles, number: int, qpu: int, parts: Sequence[tuple[Item, int]]
    ) -> tuple[int, list[Uniform]]:
        """What the counter starts with, in channels, and the words of a tile's stops."""
        depth = self.product.depth
        loop = depth if self.scalars == UNIFORMS else depth - CHANNELS_OF_VECTOR
        left = own.channels_left(number, depth) if self.in_step else 0
        if self.ordering != MEANWHILE:
            return (loop - left if self.scalars == UNIFORMS else loop), []
        end = depth - left if left else loop
        step = UNROLLED if self.scalars == UNIFORMS else CHANNELS_OF_VECTOR
        qpus = self.in_step or 1
        places = [
            *stop_places(len(parts), end, qpu % qpus, qpus, step),
            *([end] if left else []),
        ]
        done = [self._part(*part) for part in parts]
        if left:
            done.append((0, own.gives(number)))
            assert len(done[-1]) == MEETING_WORDS - 2
        words: list[Uniform] = []
        for first, last, of_stop in zip(places, [*places, loop][1:], done, strict=True):
            words += [self._pitch_bytes * (last - first), WORD_BYTES * (len(of_stop) + 2), *of_stop]
        return (places[0] if places else loop), [*words, 0]

    def _part(self, item: Item, number: int) -> tuple[Uniform, ...]:
        places = Places(self.product, self.rows, self.scalars)
        if item.of_rows:
            stream, vectors = self._stream(item.batch, item.tile), self._vectors(item.batch, item.tile)
            return places.part_of_rows(item, number, stream, vectors)
        return places.part_of_columns(item, number, self._copied_tile(item.batch, item.tile))

    def _copied_tile(self, batch: int, column: int) -> int:
        """Bytes of the scratch at which a tile of columns begins."""
        tile = self.product.second_bytes() * (batch * len(self.product.column_starts) + column)
        return self.product.first_bytes(self.rows, self.scalars, self.ordering) + tile

    def _elements(
        self, batch: int, row: int, qpu: int, own: QpuTiles, number: int, counted: int
    ) -> list[Uniform]:
        """Where a tile's elements of the first matrix lie, the counter, and when the QPU begins its tile of that
        number.
        """
        stream, counter = self._stream(batch, row), -self._pitch_bytes * counted
        if self.scalars == UNIFORMS:
            ahead = stream + UNROLLED * WORD_BYTES * self.rows
            ahead += qpu % self.sharing * streamed.ahead_bytes(self.rows, self.sharing)
            rest = self._pitch_bytes * own.channels_left(number, self.product.depth)
            pace = [own.takes(number), rest, own.gives(number) if rest else Token.NONE]
            return [
                counter,
                Address("scratch", ahead),
                *(pace if self.in_step and self.ordering != MEANWHILE else ()),
                Address("scratch", stream),
            ]
        return [Address("scratch", self._vectors(batch, row)), counter, Address("scratch", stream)]

    def _lines(self, batch: int, column: int, counted: int) -> list[Uniform]:
        """Where a tile's biases and rows of the second matrix lie."""
        product = self.product
        ahead = first_request(counted, self._pitch_bytes) if self.scalars == MIXED else 0
        pair = [LINE_BYTES * p for p in range(VECTORS)]
        if product.second is None:
            tile = product.second_bytes() * (batch * len(product.column_starts) + column)
            first = tile + LINE_BYTES * VECTORS + ahead  # behind the biases
            return [
                *(Address("weights", tile + x) for x in pair),
                *(Address("weights", first + x) for x in pair),
            ]
        if self.copied:
            return [Address("scratch", self._copied_tile(batch, column) + ahead + x) for x in pair]
        place = batch * product.summed * product.columns + product.column_starts[column]
        return [Address("input", WORD_BYTES * place + ahead + x, product.second) for x in pair]


def words_of_tile(product: Product, scalars: str, in_step: int, ordering: str) -> int:
    """Words of a tile of the block but its stream, and its stops."""
    clamped, constant = product.constant and bool(bounds(product.epilogue)), product.constant
    stops = ordering == MEANWHILE
    if scalars == UNIFORMS:
        return streamed.words_before(constant, in_step > 0, stops) + streamed.words_behind(clamped)
    return words_before(constant, stops and in_step > 0) + words_behind(clamped)
