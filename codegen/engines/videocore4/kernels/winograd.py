"""The two transforms of a Winograd convolution F(m x m, 3 x 3): of inputs before the products, and of these after.

Lanes are 16 tiles of one channel. The points of F(4 x 4) are 0, +-1/2, +-1 and infinity: every constant is a small
immediate. A transformed tile has `Form.side`**2 elements, in the order of `element_order`: columns one behind the
other, in which rows come as the transform of the products wants them.

With strides of 2 there is F(2 x 2), of differences alone. Of a row x0 to x4 the two outputs are the sums of the first
two and of the last two of

    g0 (x0 - x2) + g1 x1,  (g0 + g2) x2,  g1 x3 + g2 (x4 - x2).

So a tile's 25 elements are summed up to 9 products, of 4, 2 or 1 elements, which lie behind each other.

The input's kernel. The block: address of the first tile's words, number of tiles. Words of a tile: address of its
table, of the input's first channel, of the zeros that lanes outside read (a line for each channel), number of times
`channels_together`, output address of its first line. The table holds a line of byte offsets for each of the inputs of
a tile, row by row; below 0: outside. The first elements of all channels lie behind each other, then
the second ones.

The products' kernel. Lanes are 16 columns of outputs from a multiple of 16 on: each reads the products of the tile that
its column belongs to, and the transform of a row of them is a sum with coefficients of its lane's place in that tile.
So results are rows of pixels. The block: address of the first tile's words, of the coefficients (a line for each column
of a transformed tile). Words of a tile: address of its table, of the first channel's first products, of the biases,
    then with a residual the last lane that has a column, bytes from one block of the output to the next less those of
    a line, the residual's address at the first channel, for each row its first pixel;
    low, high (where no epilogue is `coded`, and with a residual), for each row its pieces (see `row_pieces`); 1 where a
    tile follows, else 0.
The table is a line of byte offsets to the lanes' first products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.kernels.pieces import (
    MOST_STRIDE_BYTES,
    StoredPart,
    advance,
    lane_bytes,
    store_in_parts,
    stream_from,
)
from codegen.engines.videocore4.kernels.results import Results
from codegen.engines.videocore4.kernels.row_pieces import (
    PIECE_WORDS,
    PIECES,
    in_order,
    make_room,
    store_rows_in_pieces,
)
from codegen.engines.videocore4.kernels.tile import add_lines
from codegen.engines.videocore4.kernels.winograd_form import (
    COLUMNS,
    READ,
    STRIDED,
    Form,
    element_order,
)
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.layout import LINE_BYTES
from codegen.engines.videocore4.registers import (
    DMA_STORE_WAIT,
    ELEMENT,
    NULL,
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R5_ALL,
    TMU_S,
    UNIFORM,
    VPM_WRITE,
    Register,
)
from codegen.expression import Expression

INPUT_WORDS = 5  # of a tile
QUEUE_DEPTH = 4  # requests of one TMU
CHANNELS = (
    4  # of a tile of the products' kernel: with more, QPUs that read parts of the same lines drift apart
)


def product_words(tile: int, clamped: bool, residual: bool = False) -> tuple[int, int]:
    """Words of a tile of the products' kernel before its biases, and behind them."""
    return 3, (3 + tile) * residual + 2 * clamped + tile * PIECES * PIECE_WORDS + 1


@dataclass(frozen=True)
class _Request:
    tmu: int
    ask: Callable[[], object]


class _Reader:
    """Requests in the order of their answers, as many ahead as the TMUs take; in order where the TMUs take turns."""

    def __init__(self, k: Assembler, requests: Sequence[_Request]) -> None:
        self._k = k
        self._order = [request.tmu for request in requests]
        self._waiting = list(requests)
        self._in_flight = [0, 0]
        self._fill()

    def _fill(self) -> None:
        for request in tuple(self._waiting):
            if self._in_flight[request.tmu] < QUEUE_DEPTH:
                request.ask()
                self._in_flight[request.tmu] += 1
                self._waiting.remove(request)

    def next(self) -> None:
        """The next answer to r4."""
        tmu = self._order.pop(0)
        self._k.load_tmu(tmu)
        self._in_flight[tmu] -= 1
        self._fill()


def channels_together(channels: int) -> int:
    """Of a tensor of so many channels, how many are transformed together: where a channel's elements lie too far apart
    for one store, those of others, each a part of all channels further on, lie between them.
    """
    return -(-channels * LINE_BYTES // (MOST_STRIDE_BYTES + LINE_BYTES))


@cache
def input_kernel(form: Form, channels: int) -> Assembler:
    """Code for a tensor of so many channels, whose transformed elements lie as many lines apart.

    Raises ScheduleError where registers lack.
    """
    side, together = form.side, channels_together(channels)
    pool = RegisterPool()
    # What meets in one instruction is of two files.
    line_files = ["a", "a", "b", "b", "a", "a"]
    parts = [[i for across in columns for i in form.summed[across]] for columns in COLUMNS[form]]
    columns = max(map(len, parts))
    values = [
        [[pool.take("a" if line_files[i] == "a" else "b") for i in range(side)] for _ in range(columns)]
        for _ in range(together)
    ]
    left, tiles = pool.take("a"), pool.take("a")  # they meet small immediates
    words, output = pool.take("b"), pool.take("b")
    addresses = [[pool.take() for _ in range(side)] for _ in range(side)]
    k = Assembler()
    k.mov(words, UNIFORM)
    k.mov(tiles, UNIFORM)
    k.label("tile")
    stream_from(k, words)
    advance(k, words, INPUT_WORDS)
    _read_table(k, [address for row in addresses for address in row])
    k.mov(left, UNIFORM)
    k.mov(output, UNIFORM)
    k.mov(R5_ALL, 0)
    k.label("channel")
    for place in range(together):
        for number, (part, read) in enumerate(zip(parts, READ[form], strict=True)):
            k.label(f"part{number}_{place}")
            reader = _Reader(k, [_of_line(k, i, addresses[i][j], R5) for i in range(side) for j in read])
            for i in range(side):
                _input_row(k, reader, [values[place][c][i] for c in range(len(part))], form, number)
            for column in values[place][: len(part)]:
                _input_column(k, column)
            if together == 1:
                first = number * len(parts[0]) * side
                _store_elements(k, _ordered(values[0], part, form), output, first, channels)
        apart = channels // together * LINE_BYTES
        back = (together - 1) * apart  # and on to the channel behind the first
        k.load(R0, apart if place < together - 1 else LINE_BYTES - back)
        k.op("add", R5_ALL, R5, R0)
    if together > 1:
        ordered = [_ordered(columns, parts[0], form) for columns in values]
        between = [x for elements in zip(*ordered, strict=True) for x in elements]
        _store_elements(k, between, output, 0, channels // together)
    k.load(R0, LINE_BYTES)
    k.op("add", output, output, R0)
    k.op("sub", left, left, 1, set_flags=True)
    k.branch("channel", "any_zc")
    k.op("sub", tiles, tiles, 1, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _ordered(columns: Sequence[Sequence[Register]], part: Sequence[int], form: Form) -> list[Register]:
    """Those of the part's columns in the order of `element_order`."""
    return [columns[part.index(column)][row] for row, column in element_order(form) if column in part]


def _of_line(k: Assembler, row: int, address: Register, offset: Register) -> _Request:
    """A line's elements lie in few lines of memory, which one TMU's cache then holds."""
    tmu = row % 2
    return _Request(tmu, lambda: k.op("add", TMU_S[tmu], address, offset))


def _read_table(k: Assembler, addresses: Sequence[Register]) -> None:
    """Lanes outside read zeros."""
    lane_bytes(k, R3)
    k.op("add", R0, R3, UNIFORM)
    k.load(R5_ALL, LINE_BYTES)
    k.mov(R2, UNIFORM)
    k.op("add", R3, R3, UNIFORM)

    def ask(tmu: int) -> Callable[[], None]:
        return lambda: k.together(operation("add", R0, R0, R5), move(TMU_S[tmu], R0))

    reader = _Reader(k, [_Request(n % 2, ask(n % 2)) for n in range(len(addresses))])
    for address in addresses:
        reader.next()
        k.mov(NULL, R4, set_flags=True)
        k.op("add", address, R4, R2)
        k.mov(address, R3, condition="ns")


def _input_row(k: Assembler, reader: _Reader, results: Sequence[Register], form: Form, part: int) -> None:
    """Of a row of inputs, which come in the order of `READ`, the transform's elements of the part's columns."""
    if form == STRIDED:
        reader.next()
        k.mov(R0, R4)
        reader.next()
        k.op("fsub", results[0], R0, R4)
        k.mov(results[2], R4)
        k.mov(R1, R4)
        reader.next()
        k.op("fsub", results[4], R4, R1)
        for column in (1, 3):
            reader.next()
            k.mov(results[column], R4)
    elif form.tile == 2:
        reader.next()
        k.mov(R0, R4)
        reader.next()
        k.mov(R1, R4)
        k.op("fsub", results[0], R0, R4)
        reader.next()
        k.op("fadd", results[1], R4, R1)
        k.op("fsub", results[2], R1, R4)
        k.mov(R0, R4)
        reader.next()
        k.op("fsub", results[3], R4, R0)
    elif part == 0:
        reader.next()
        k.mov(R0, R4)
        reader.next()
        k.op("fsub", R1, R4, R0)  # 4 - 2
        reader.next()
        k.op("fsub", R2, R0, R4)  # 2 - 0
        k.op("fmul", R2, R2, 0.25)
        k.op("fsub", results[0], R1, R2)
        reader.next()
        k.mov(R0, R4)
        reader.next()
        k.op("fsub", R2, R4, R0)  # 3 - 1
        k.op("fmul", R2, R2, 0.5)
        k.op("fadd", results[1], R1, R2)
        k.op("fsub", results[2], R1, R2)
    else:
        reader.next()
        k.op("fmul", R0, R4, 0.25)
        reader.next()
        k.op("fsub", R1, R4, R0)  # 4 - 2 / 4
        reader.next()
        k.mov(R2, R4)
        k.op("fmul", R0, R4, 0.25)
        reader.next()
        k.op("fsub", R0, R4, R0)  # 3 - 1 / 4
        k.op("fsub", R2, R4, R2)  # 3 - 1
        k.op("fadd", results[0], R1, R0)
        k.op("fsub", results[1], R1, R0)
        k.mov(R1, R4)
        k.op("fmul", R2, R2, 0.25)
        reader.next()
        k.op("fsub", R0, R4, R1)  # 5 - 3
        k.op("fsub", results[2], R0, R2)


def _input_column(k: Assembler, t: Sequence[Register]) -> None:
    """The transform of a column, in place."""
    if len(t) == STRIDED.side:
        k.op("fsub", t[0], t[0], t[2])
        k.op("fsub", t[4], t[4], t[2])
        return
    if len(t) == 4:
        k.op("fsub", R0, t[0], t[2])
        k.op("fadd", R1, t[1], t[2])
        k.op("fsub", t[3], t[3], t[1])
        k.op("fsub", t[2], t[2], t[1])
        k.mov(t[0], R0)
        k.mov(t[1], R1)
        return
    k.op("fsub", R0, t[4], t[2])
    k.op("fsub", R1, t[2], t[0])
    k.mov(R3, t[2])
    k.op("fmul", R1, R1, 0.25)
    k.op("fmul", R3, R3, 0.25)
    k.op("fsub", t[0], R0, R1)
    k.op("fsub", R3, t[4], R3)  # 4 - 2 / 4
    k.op("fsub", R2, t[3], t[1])
    k.op("fmul", R1, t[1], 0.25)
    k.op("fsub", t[5], t[5], t[3])
    k.op("fsub", R1, t[3], R1)  # 3 - 1 / 4
    k.op("fadd", t[3], R3, R1)
    k.op("fsub", t[4], R3, R1)
    k.op("fmul", R1, R2, 0.25)
    k.op("fmul", R2, R2, 0.5)
    k.op("fsub", t[5], t[5], R1)
    k.op("fadd", t[1], R0, R2)
    k.op("fsub", t[2], R0, R2)


def _store_elements(
    k: Assembler, values: Sequence[Register], output: Register, first: int, channels: int
) -> None:
    """Each a line, `channels` lines apart, from that of element `first` on."""
    pitch, half = channels * LINE_BYTES, len(values) // 2
    k.load(R0, first * pitch)
    k.op("add", R2, output, R0)
    k.load(R0, half * pitch)
    k.op("add", R3, R2, R0)

    def write(k: Assembler, registers: Sequence[Register]) -> None:
        for register in registers:
            k.mov(VPM_WRITE, register)

    parts = [StoredPart(tuple(values[:half]), R2), StoredPart(tuple(values[half:]), R3)]
    store_in_parts(k, parts, write, pitch - LINE_BYTES, f"vpm{first}")


@cache
def product_kernel(
    form: Form, pitch_lines: int, epilogue: Expression | None = None, *, residual: bool = False
) -> Assembler:
    """Code for products that lie so many lines apart; ScheduleError where the epilogue lacks registers."""
    tile, side = form.tile, len(form.summed)
    pool = RegisterPool()
    sums = [pool.take("a") for _ in range(tile)]
    coefficients = [pool.take("b") for _ in range(side)]  # they meet sums
    results = [[pool.take() for _ in range(CHANNELS)] for _ in range(tile)]
    spare = pool.take()
    address, pitch = pool.take("a"), pool.take("b")  # they meet
    left = pool.take("a")  # meets small immediates
    words, source, step = (pool.take() for _ in range(3))
    stored = [in_order(row, 1) for row in results]
    free = [*pool.rest(), *sums, spare, address, source]
    ends = Results.of(
        [x for row in results for x in row], epilogue, (UNIFORM, UNIFORM), free, residual=residual
    )
    before, behind = product_words(tile, bool(ends.bounds), residual)
    k = Assembler()
    k.mov(words, UNIFORM)
    lane_bytes(k, R0)
    k.op("add", R1, R0, UNIFORM)
    k.load(step, LINE_BYTES)
    k.load(pitch, pitch_lines * LINE_BYTES)
    _read_lines(k, R1, step, coefficients)
    k.label("tile")
    stream_from(k, words)
    advance(k, words, before)
    lane_bytes(k, R1)
    k.op("add", TMU_S[0], R1, UNIFORM)
    k.load_tmu(0)
    k.op("add", source, R4, UNIFORM)
    k.mov(R3, UNIFORM)
    stream_from(k, R3)
    k.mov(left, CHANNELS)
    k.label("channel")
    make_room(k, results, 1)
    k.mov(R5_ALL, UNIFORM)
    k.mov(address, source)

    def ask(tmu: int) -> Callable[[], None]:
        return lambda: k.together(operation("add", address, address, pitch), move(TMU_S[tmu], address))

    reader = _Reader(k, [_Request(n % 2, ask(n % 2)) for n in range(side**2)])
    for number, column in enumerate(column for columns in COLUMNS[form] for column in columns):
        _product_column(k, reader, sums, spare, form)
        for one, (result, *_) in zip(sums, results, strict=True):
            k.op("fmul", R0, one, coefficients[column])
            k.op("fadd", result, result if number else R5, R0)
    k.op("add", source, source, step)
    k.op("sub", left, left, 1, set_flags=True)
    k.branch("channel", "any_zc")
    k.label("results")
    ends.load_constants(k)
    stream_from(k, words)
    advance(k, words, behind)
    ends.compute(k)
    if residual:
        _add_residual(k, sums, (spare, address, source), stored)
    ends.compute_low(k)
    store_rows_in_pieces(k, stored, ends.write_high)
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _read_lines(k: Assembler, address: Register, step: Register, to: Sequence[Register]) -> None:
    """Lines that follow each other."""

    def ask(tmu: int) -> Callable[[], None]:
        return lambda: k.together(operation("add", address, address, step), move(TMU_S[tmu], address))

    reader = _Reader(k, [_Request(n % 2, ask(n % 2)) for n in range(len(to))])
    for register in to:
        reader.next()
        k.mov(register, R4)


def _add_residual(
    k: Assembler,
    addresses: Sequence[Register],
    spare: tuple[Register, Register, Register],
    rows: Sequence[Sequence[Register]],
) -> None:
    """Adds what lies at the results' places in another tensor; lanes without a column read that of the last."""
    last, gap, base = spare
    k.label("residual")
    for register in spare:
        k.mov(register, UNIFORM)
    k.mov(R3, ELEMENT)
    k.op("min", R3, R3, last)
    for address in addresses:
        k.op("add", R0, R3, UNIFORM)
        k.op("shr", R1, R0, 4)
        k.op("mul24", R1, R1, gap)
        k.op("shl", R0, R0, 2)
        k.op("add", R1, R1, R0)
        k.op("add", address, R1, base)
    add_lines(k, addresses, rows)


def _product_column(
    k: Assembler, reader: _Reader, results: Sequence[Register], spare: Register, form: Form
) -> None:
    """A column's products, which come in the order of `ROWS`, to a column of sums."""
    reader.next()
    k.mov(R0, R4)
    reader.next()
    if form == STRIDED:
        k.op("fadd", results[0], R0, R4)
        k.mov(R1, R4)
        reader.next()
        k.op("fadd", results[1], R4, R1)
        return
    k.op("fadd", R1, R0, R4)  # 1 + 2
    k.op("fsub", R2, R0, R4)  # 1 - 2
    if len(results) == 2:
        reader.next()
        k.op("fadd", results[0], R4, R1)
        reader.next()
        k.op("fadd", results[1], R4, R2)
        return
    reader.next()
    k.mov(R0, R4)
    reader.next()
    k.op("fadd", R3, R0, R4)  # 3 + 4
    k.op("fsub", R0, R0, R4)  # 3 - 4
    reader.next()
    k.op("fadd", spare, R4, R1)
    k.op("fadd", results[0], spare, R3)
    k.op("fmul", R1, R1, 0.25)
    k.op("fadd", results[2], R1, R3)
    k.op("fmul", R1, R2, 0.5)
    k.op("fmul", R2, R2, 0.125)
    k.op("fadd", results[1], R1, R0)
    reader.next()
    k.op("fadd", R2, R4, R2)
    k.op("fadd", results[3], R2, R0)
