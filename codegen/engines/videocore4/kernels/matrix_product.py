"""Products of row-major matrices: lanes are columns of the second, whose rows are pairs of lines; the first one's
elements are the scalars, as `channel_lanes` has them, in an order that a kernel of its own puts them into.

`columns_kernel` is that one. A tile is `rows` rows of the first matrix by several times 16 columns. Lines of 16 columns
are written to the VPM as columns and stored as rows: a stream of lines with 16 rows of each column, and vectors with
the other rows of two columns, 8 lanes each; or, `streamed`, one stream with all rows of each column. The block: address
of the first tile's words, number of tiles. Words of a tile: address of its first row, bytes from row to row, number of
times 16 columns, addresses of its stream and vectors (`streamed`: of the stream's 17th row).

`matrix_product_kernel`: a tile is `rows` rows by 32 columns of the result. The last lane of each half of a vector's
request is no part of it: it fetches one of the same two lines of the stream into the L2, so that uniforms hardly keep a
QPU waiting; further ahead QPUs would drift apart, and fetch lines from memory again that they share.
The block: address of the first tile's words, number of tiles, set-up of the stride of a store, bytes from row to row of
the second matrix. Words of a tile: with `constant` the address of a line of biases for each vector; address of the
second matrix' first row for each vector, `first_request` bytes on; of the tile's vectors; the counter, less than 0 by
the bytes of all rows but two, or of those up to the first stop; address of the stream; with `constant` and no epilogue
that is `coded` low and high; output address of each vector. Rows of the second matrix are an even number. With `stops`
(see `repacked`) the token that a tile begins with is its first word, and the words of the stops stand behind the
stream's address: QPUs meet at one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.kernels.channel_lanes import CHANNELS, PAIRED, VECTORS
from codegen.engines.videocore4.kernels.pace import take_token
from codegen.engines.videocore4.kernels.pieces import (
    StoredPart,
    advance,
    dma_store_rows,
    dma_store_stride,
    lane_bytes,
    store_in_parts,
    stream_from,
    vpm_write_columns,
)
from codegen.engines.videocore4.kernels.repacked import Stops
from codegen.engines.videocore4.kernels.results import Results
from codegen.engines.videocore4.kernels.rotated import STREAMED, Asked, ChannelSums, take_accumulators
from codegen.engines.videocore4.kernels.tile import IN_FLIGHT, TileRegisters
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.engines.videocore4.operation import Operation
from codegen.engines.videocore4.registers import (
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    ELEMENT,
    MUTEX,
    MUTEX_RELEASE,
    NULL,
    R0,
    R1,
    R2,
    R3,
    R4,
    TMU_S,
    UNIFORM,
    VPM_WRITE,
    VPM_WRITE_SETUP,
    Register,
)
from codegen.errors import ScheduleError
from codegen.expression import Expression
from codegen.program import WORD_BYTES

COLUMNS = CHANNELS
ROWS = range(STREAMED + 4, STREAMED + PAIRED)  # a lane of each half of a vector is left
COLUMNS_WORDS = 5  # of a tile of `columns_kernel`
HEAD_WORDS = 4
_PAIR_BYTES = 2 * LINE_BYTES  # of the stream
_LANE_BYTES = LINE_BYTES // PAIRED  # the last lanes of both halves are a line apart then
assert PAIRED == 1 << 3


def first_request(channels: int, pitch_bytes: int) -> int:
    """Bytes from the second matrix' first row to what the counter is added to, which starts with so many channels."""
    return pitch_bytes * (2 + channels)


def words_before(constant: bool, token: bool = False) -> int:
    """Words of a tile before its stream, and its stops."""
    return VECTORS * (2 if constant else 1) + 3 + token


def words_behind(clamped: bool) -> int:
    """Words of a tile behind its stream."""
    return VECTORS + (2 if clamped else 0)


@dataclass(frozen=True)
class _Stored:
    """How 16 columns are stored."""

    words: int  # of a column's part behind its 16 rows
    gap_bytes: int  # behind those 16 rows, to the next column's
    other_gap_bytes: int  # behind the part
    stream_bytes: int  # of 16 columns
    other_bytes: int


def _stored(rows: int, streamed: bool) -> _Stored:
    if streamed:
        others = rows - STREAMED
        column = LANES * WORD_BYTES * rows
        return _Stored(others, WORD_BYTES * others, LINE_BYTES, column, column)
    return _Stored(PAIRED, 0, 0, LANES * LINE_BYTES, LANES * LINE_BYTES // 2)


@cache
def columns_kernel(rows: int, streamed: bool = False) -> Assembler:
    """Code that puts the first matrix' elements in order."""
    pool = RegisterPool()
    tiles, groups = pool.take("a"), pool.take("a")
    tile, address, pitch, stream, vectors = (pool.take() for _ in range(5))
    lines = [pool.take() for _ in range(rows)]
    k = Assembler()
    k.mov(tile, UNIFORM)
    k.mov(tiles, UNIFORM)
    k.label("tile")
    stream_from(k, tile)
    advance(k, tile, COLUMNS_WORDS)
    lane_bytes(k, R3)
    k.op("add", address, R3, UNIFORM)
    for register in (pitch, groups, stream, vectors):
        k.mov(register, UNIFORM)
    k.label("group")
    k.mov(R2, address)

    def ask(number: int) -> None:
        k.mov(TMU_S[number % len(TMU_S)], R2)
        k.op("add", R2, R2, pitch)

    for number in range(IN_FLIGHT):
        ask(number)
    for number, line in enumerate(lines):
        k.load_tmu(number % len(TMU_S))
        k.mov(line, R4)
        if number + IN_FLIGHT < rows:
            ask(number + IN_FLIGHT)
    k.load(R0, LINE_BYTES)
    k.op("add", address, address, R0)
    _store_columns(k, lines, stream, vectors, _stored(rows, streamed))
    k.op("sub", groups, groups, 1, set_flags=True)
    k.branch("group", "any_zc")
    k.op("sub", tiles, tiles, 1, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _store_columns(
    k: Assembler, lines: list[Register], stream: Register, vectors: Register, stored: _Stored
) -> None:
    """As in `pieces.store_in_parts`: whoever takes the VPM next fills the stream's rows meanwhile."""
    k.label("vpm")
    k.mov(NULL, MUTEX)
    k.load(VPM_WRITE_SETUP, vpm_write_columns(0))
    for line in lines[:STREAMED]:
        k.mov(VPM_WRITE, line)
    k.mov(NULL, DMA_STORE_WAIT)
    k.load(VPM_WRITE_SETUP, dma_store_stride(stored.gap_bytes))
    k.load(VPM_WRITE_SETUP, dma_store_rows(0, LANES))
    k.mov(DMA_STORE_ADDRESS, stream)
    k.load(VPM_WRITE_SETUP, vpm_write_columns(LANES))
    for line in lines[STREAMED:]:
        k.mov(VPM_WRITE, line)
    k.mov(NULL, DMA_STORE_WAIT)
    k.load(VPM_WRITE_SETUP, dma_store_stride(stored.other_gap_bytes))
    k.load(VPM_WRITE_SETUP, dma_store_rows(LANES, LANES, stored.words))
    k.mov(DMA_STORE_ADDRESS, vectors)
    k.mov(MUTEX_RELEASE, 0)
    k.load(R0, stored.stream_bytes)
    k.op("add", stream, stream, R0)
    k.load(R0, stored.other_bytes)
    k.op("add", vectors, vectors, R0)


@cache
def matrix_product_kernel(
    rows: int, epilogue: Expression | None = None, *, constant: bool, in_step: int = 0, stops: bool = False
) -> Assembler:
    """Code for tiles of so many rows; `constant`: whether biases are added and results clamped, or an epilogue coded;
    `stops`: whether parts of matrices are put in order meanwhile, and `in_step` QPUs meet then, or 0.

    Raises ScheduleError where registers lack.
    """
    if rows not in ROWS:
        raise ScheduleError(f"{rows} rows: a tile has {ROWS[0]} to {ROWS[-1]}")
    pool = RegisterPool()
    accumulators = take_accumulators(pool, rows)
    addresses = [pool.take("b") for _ in range(VECTORS)]
    step, vector_step = pool.take("b"), pool.take("b")
    offset, vectors, tile, tiles, stride = (pool.take("a") for _ in range(5))
    spare = pool.take() if stops else None
    r = TileRegisters(
        accumulators,
        vectors=[{}, {}],
        addresses=addresses,
        tile=tile,
        tiles=tiles,
        channels=offset,
        gather=None,
        rest=pool.rest(),
        weight_lines=vectors,
    )
    bounds = (UNIFORM, UNIFORM) if constant else ()
    results = Results.of([x for row in accumulators for x in row], epilogue, bounds, r.free_at_store)
    k = Assembler()
    for register in (tile, tiles, stride, step):
        k.mov(register, UNIFORM)
    k.load(vector_step, LINE_BYTES)
    k.load(R1, _PAIR_BYTES)
    _mark_last_lanes(k)
    k.mov(vector_step, R1, condition="zs")
    k.label("tile")
    _start(k, r, constant, token=stops and in_step > 0)
    sums = _MatrixSums(r, vectors, step, vector_step)
    if spare is None:
        sums.add(k)
    else:
        all_stops = Stops(tile, spare, in_step)

        def end(k: Assembler) -> None:
            advance(k, tile, 1)
            sums.stream_again(k)

        sums.add(k, lambda k: all_stops.emit(k, sums.go_on, sums.stream_again, end))
    results.load_constants(k)
    k.label("store")
    stream_from(k, tile)
    advance(k, tile, words_behind(bool(results.bounds)))
    results.compute_all(k)
    parts = [StoredPart(tuple(row), UNIFORM) for row in accumulators]
    store_in_parts(k, parts, results.write_high, stride)
    k.op("sub", tiles, tiles, 1, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _mark_last_lanes(k: Assembler) -> None:
    """The flag z in the last lane of each half."""
    k.mov(R0, ELEMENT)
    k.op("and", R0, R0, PAIRED - 1)
    k.op("sub", NULL, R0, PAIRED - 1, set_flags=True)


def _start(k: Assembler, r: TileRegisters, constant: bool, *, token: bool) -> None:
    assert r.weight_lines is not None
    stream_from(k, r.tile)
    if token:  # what others have put in order is not asked for before
        k.mov(R0, UNIFORM)
        take_token(k, R0)
    lane_bytes(k, R2)
    for p in range(VECTORS if constant else 0):
        k.op("add", TMU_S[p], R2, UNIFORM)
    for address in r.addresses:
        k.op("add", address, R2, UNIFORM)
    k.op("add", r.weight_lines, R2, UNIFORM)
    k.mov(r.channels, UNIFORM)
    k.mov(R3, UNIFORM)
    advance(k, r.tile, words_before(constant, token))
    _mark_last_lanes(k)
    k.op("add", R2, R2, R2)  # _LANE_BYTES a lane
    k.op("add", R2, R2, R3)
    k.load(R1, -_LANE_BYTES * (PAIRED - 1))
    k.op("add", R2, R2, R1)
    k.mov(r.weight_lines, R2, condition="zs")
    for p, row in enumerate(r.accumulators):
        if constant:
            k.load_tmu(p)
        first = R4 if constant else 0
        by_file = [[x for x in row if x.write_files == file] for file in ("a", "b")]
        shared = min(map(len, by_file))
        for one, other in zip(*by_file, strict=False):
            k.together(move(one, first), move(other, first))
        for register in (x for found in by_file for x in found[shared:]):
            k.mov(register, first)
    stream_from(k, R3)


class _MatrixSums(ChannelSums):
    """All rows of the second matrix; `step`: holds the bytes from one to the next, `vector_step` those that each lane
    of a vector's request moves on by.
    """

    def __init__(self, r: TileRegisters, vectors: Register, step: Register, vector_step: Register) -> None:
        super().__init__(r, vectors, step, odd=False)
        self._vector_step = vector_step

    def _first_requests(self, k: Assembler) -> None:
        k.mov(TMU_S[0], self._vectors)
        k.op("add", self._vectors, self._vectors, self._vector_step)
        k.op("add", R0, self._step, self._step)
        k.op("sub", R0, self._r.channels, R0)
        for row in range(2):
            for p, address in enumerate(self._r.addresses):
                k.op("add", TMU_S[p], R0, address)
            if row == 0:
                k.op("add", R0, R0, self._step)

    def go_on(self, k: Assembler) -> None:
        """With r0 bytes more of the second matrix."""
        k.op("sub", self._r.channels, self._r.channels, R0)
        for address in self._r.addresses:
            k.op("add", address, address, R0)

    def stream_again(self, k: Assembler) -> None:
        """What the last lane of a vector's first half asks for next lies a pair behind the stream's next word."""
        k.mov(R0, self._vectors)
        k.rotate(R2, R0, LANES - (PAIRED - 1))
        k.load(R0, -_PAIR_BYTES)
        k.op("add", R2, R2, R0)
        stream_from(k, R2)

    def _requests(self, asked: Asked, parity: int) -> list[Operation]:
        found = super()._requests(asked._replace(vector=False), parity)
        if asked.vector:
            found.insert(0, Operation("mov", "add", TMU_S[0], (self._vectors,)))
            found.append(operation("add", self._vectors, self._vectors, self._vector_step))
        return found
