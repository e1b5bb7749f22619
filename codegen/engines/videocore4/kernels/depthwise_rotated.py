"""Depthwise convolution whose windows' columns come by rotating sums: a line serves several taps.

Lanes are neighbouring pixels of a row. A tile is `rows` rows of up to 16 - `most_turns` output pixels, by a number of
channels that are gone through one by one. Of each input row of a channel its lines are loaded, one for each
group of the window's columns: with stride s columns s apart meet in one line, as sums that move by a lane between one
and the next. So results lie `most_turns` lanes behind the first pixel's lane. Every weight is a uniform, read once for
all rows of the tile (see `relayed`): the lines meet it in file B.

A line is received just before its first product, and in that instruction the add ALU asks for a line further on, up to
two channels behind the last: nobody reads what those hold. Lanes outside the input read lines of zeros.

A tile's results stay in registers until they are stored together: few rows are dear to store. The loop goes through
`unrolled` channels, whose results then move on to registers behind those of the channels before.

The kernel's block: address of the first tile's words. Words of a tile:
    input columns, bytes from one block of the input to the next less those of a line, the input's address at the first
    channel, that of the zeros, for each group of columns the first lane's input column, for each input row its first
    pixel or `OUTSIDE`, the address of the stream;
    low, high (where no epilogue is `coded`), for each row of the tile its pieces (see `row_pieces`); 1 where a tile
    follows, else 0.
The stream: of each channel its bias and its weights in the order of `Form.taps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.kernels.pieces import VPM_ROWS, advance, stream_from
from codegen.engines.videocore4.kernels.results import Results
from codegen.engines.videocore4.kernels.row_pieces import (
    PIECE_WORDS,
    PIECES,
    in_order,
    make_room,
    store_rows_in_pieces,
)
from codegen.engines.videocore4.kernels.window import QUEUE_DEPTH
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.engines.videocore4.operation import Operation
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
    RELAY_A,
    TMU_S,
    UNIFORM,
    UNIFORM_A,
    Register,
)
from codegen.errors import ScheduleError
from codegen.expression import Expression

OUTSIDE = -(1 << 26)  # a pixel number: no sum with a column reaches 0
READ_AHEAD = 2  # channels
_LOOP_INSTRUCTIONS = 300
_SUMS = (R1, R2, R3)
MOST_ROWS = len(_SUMS)


@dataclass(frozen=True)
class Tap:
    """A weight's row and column in the window, and the group of columns whose line it meets."""

    row: int
    column: int
    group: int


@dataclass(frozen=True)
class Form:
    """What tells one kernel from another: `turns` is how often sums may move."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    turns: int
    rows: int
    channels: int

    @property
    def unrolled(self) -> int:
        """Channels of a pass of the loop, as many as the instruction cache has room for."""
        most = max(1, _LOOP_INSTRUCTIONS // channel_instructions(self))
        return max(d for d in range(1, self.channels + 1) if self.channels % d == 0 and d <= most)

    @cached_property
    def groups(self) -> tuple[range, ...]:
        """Columns of the window that meet one line."""
        stride, most = self.strides[1], self.turns + 1
        return tuple(
            range(first, min(first + most * stride, self.kernel[1]), stride)
            for residue in range(min(stride, self.kernel[1]))
            for first in range(residue, self.kernel[1], most * stride)
        )

    @property
    def most_turns(self) -> int:
        return max(map(len, self.groups)) - 1

    @property
    def pixels(self) -> int:
        """Of a row of a tile, at most."""
        return LANES - self.most_turns

    @property
    def input_rows(self) -> int:
        return (self.rows - 1) * self.strides[0] + self.kernel[0]

    @property
    def lines(self) -> int:
        """Of an input channel."""
        return self.input_rows * len(self.groups)

    @cached_property
    def taps(self) -> tuple[tuple[Tap, ...], ...]:
        """In the order of their weights, by how often sums have moved: those that still move furthest come first."""
        return tuple(
            tuple(
                Tap(row, columns[len(columns) - 1 - further], group)
                for group, columns in enumerate(self.groups)
                if further < len(columns)
                for row in range(self.kernel[0])
            )
            for further in reversed(range(self.most_turns + 1))
        )

    @property
    def ahead(self) -> int:
        """Requests in flight."""
        return min(2 * QUEUE_DEPTH, READ_AHEAD * self.lines)

    def line(self, tap: Tap, row: int) -> int:
        """Which line the tap meets for a row of the tile."""
        return tap.group * self.input_rows + row * self.strides[0] + tap.row

    def words_before_stream(self) -> int:
        return 5 + len(self.groups) + self.input_rows

    def words_behind_stream(self, *, clamped: bool) -> int:
        return 2 * clamped + PIECES * PIECE_WORDS * self.rows + 1


def channel_instructions(form: Form) -> int:
    """Of the loop, for one channel."""
    taps = form.kernel[0] * form.kernel[1]
    moved = form.most_turns * (form.rows + 1 + (form.rows == 1))
    return 3 + taps * form.rows + moved + form.lines


@dataclass
class _Registers:
    lines: list[Register]
    addresses: list[Register]
    results: list[list[Register]]  # [row][channel]: those of the loop's last pass come first
    step: Register
    tile: Register
    left: Register
    rest: list[Register]

    @staticmethod
    def of(form: Form) -> _Registers:
        """Raises ScheduleError where registers lack."""
        pool = RegisterPool()
        left = pool.take("a")  # meets small immediates
        lines = [pool.take("b") for _ in range(form.lines)]  # they meet uniforms, which come through port A
        addresses = [pool.take() for _ in range(form.lines)]
        results = [[pool.take() for _ in range(form.channels)] for _ in range(form.rows)]
        step, tile = pool.take(), pool.take()
        return _Registers(lines, addresses, results, step, tile, left, pool.rest())

    @property
    def all_results(self) -> list[Register]:
        return [register for row in self.results for register in row]

    @property
    def free_at_store(self) -> list[Register]:
        return [*self.rest, *self.addresses, *self.lines]


@cache
def depthwise_rotated_kernel(form: Form, epilogue: Expression | None = None) -> Assembler:
    """Code for a form; raises ScheduleError where registers or rows of the VPM lack."""
    if not 1 <= form.rows <= MOST_ROWS or form.rows * form.channels > VPM_ROWS:
        raise ScheduleError(
            f"{form.rows} rows of {form.channels} channels: at most {MOST_ROWS} rows, and {VPM_ROWS} lines"
        )
    if form.unrolled * form.lines % 2:
        raise ScheduleError(f"{form.unrolled} times {form.lines} lines: the TMUs' turns would not repeat")
    r = _Registers.of(form)
    results = Results.of(r.all_results, epilogue, (UNIFORM, UNIFORM), r.free_at_store)
    passes = form.channels // form.unrolled
    k = Assembler()
    k.mov(r.tile, UNIFORM)
    k.load(r.step, LINE_BYTES)
    k.label("tile")
    _start(k, r, form)
    if passes > 1:
        k.load(r.left, passes)
        k.label("move")
        make_room(k, r.results, form.unrolled)
    k.verbatim("channels")
    _Channels(k, r, form).emit(r.left if passes > 1 else None)
    if passes > 1:
        k.branch("move", "any_zc")
    k.label("drain")
    for number in range(form.ahead):
        k.load_tmu(number % 2)
    results.load_constants(k)
    k.label("results")
    stream_from(k, r.tile)
    advance(k, r.tile, form.words_behind_stream(clamped=bool(results.bounds)))
    results.compute_all(k)
    stored = [in_order(row, form.unrolled) for row in r.results]
    store_rows_in_pieces(k, stored, results.write_high)
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _start(k: Assembler, r: _Registers, form: Form) -> None:
    stream_from(k, r.tile)
    advance(k, r.tile, form.words_before_stream())
    # Lines and results are free yet.
    width, gap, base, outside, *columns = r.lines[:1] + r.all_results + r.lines[1:]
    for register in (width, gap, base, outside):
        k.mov(register, UNIFORM)
    _columns(k, width, columns[: len(form.groups)], form.strides[1])
    for row in range(form.input_rows):
        k.mov(R3, UNIFORM)
        for group, column in enumerate(columns[: len(form.groups)]):
            address = r.addresses[group * form.input_rows + row]
            k.op("add", R0, R3, column, set_flags=True)
            k.op("shr", R1, R0, 4)
            k.op("mul24", R1, R1, gap)
            k.op("shl", R2, R0, 2)
            k.op("add", R1, R1, R2)
            k.op("add", address, R1, base)
            k.mov(address, outside, condition="ns")
    k.mov(R3, UNIFORM)
    stream_from(k, R3)
    k.mov(R5_ALL, 0)
    order = requested(form)
    for number in range(form.ahead):
        if number and number % form.lines == 0:
            k.op("add", R5_ALL, R5, r.step)
        k.op("add", TMU_S[number % 2], R5, r.addresses[order[number % form.lines]])


def _columns(k: Assembler, width: Register, columns: Sequence[Register], stride: int) -> None:
    """Input columns of the lanes, `OUTSIDE` where there is none."""
    k.mov(R3, ELEMENT)
    k.op("mul24", R3, R3, stride)
    k.load(R2, OUTSIDE)
    for column in columns:
        k.op("add", R0, R3, UNIFORM, set_flags=True)
        k.op("sub", R1, width, R0)
        k.mov(R0, R2, condition="ns")
        k.op("sub", NULL, R1, 1, set_flags=True)
        k.mov(R0, R2, condition="ns")
        k.mov(column, R0)


class _Channels:
    """The loop's instructions, in order: sums are added one instruction behind their products, or later."""

    def __init__(self, k: Assembler, r: _Registers, form: Form) -> None:
        self._k, self._r, self._form = k, r, form
        self._sums = _SUMS[: form.rows]
        self._issued: list[tuple[list[Operation], str]] = [([], "none")]
        self._pending: Operation | None = None
        self._received = 0
        self._order = requested(form)

    def emit(self, left: Register | None) -> None:
        """`left`: the loop's counter, where there is a loop."""
        if left is not None:
            self._issued.insert(0, ([operation("sub", left, left, 1, set_flags=True)], "none"))
        for channel in range(self._form.unrolled):
            self._channel(channel)
        for _ in range(2 * (len(self._sums) > 2)):
            self._issue()  # the branch is three before the end: not between a weight and its relay
        for operations, signal in self._issued:
            self._k.together(*operations, signal=signal)

    def _issue(self, *operations: Operation | None) -> None:
        self._issued.append(([operation for operation in operations if operation is not None], "none"))

    def _channel(self, channel: int) -> None:
        form = self._form
        taps = [(turn, tap) for turn, taps in enumerate(form.taps) for tap in taps]
        received = _places(form)
        self._receive(received.get(-1, []))
        self._issue(*(move(register, UNIFORM_A) for register in self._sums[:2]))
        for register in self._sums[2:]:
            self._issue(move(register, R1))
        before = 0
        for number, (turn, tap) in enumerate(taps):
            self._receive(received.get(number, []))
            if turn != before:
                self._turn()
                before = turn
            for row, register in enumerate(self._sums):
                weight = RELAY_A if row else UNIFORM_A
                self._issue(self._pending, operation("fmul", R0, self._r.lines[form.line(tap, row)], weight))
                target = self._r.results[row][channel] if number == len(taps) - 1 else register
                self._pending = operation("fadd", target, register, R0)
        self._issue(self._pending)
        self._pending = None

    def _receive(self, lines: Sequence[int]) -> None:
        """Lines, each with a request for one further on; no instruction both requests and receives."""
        form, r = self._form, self._r
        for number, line in enumerate(lines):
            further = self._received + form.ahead
            if further % form.lines == 0:
                self._issue(operation("add", R5_ALL, R5, r.step))
            elif number:
                self._issue()
            self._issued[-1] = (self._issued[-1][0], f"load_tmu{self._received % 2}")
            address = r.addresses[self._order[further % form.lines]]
            self._issue(
                operation("add", TMU_S[further % 2], R5, address),
                Operation("mov", "mul", r.lines[line], (R4,)),
            )
            self._received += 1

    def _turn(self) -> None:
        """All sums move by a lane; what moves was not written by the instruction before."""
        self._issue(self._pending)
        self._pending = None
        if len(self._sums) == 1:
            self._issue()
        for register in self._sums:
            self._issue(operation("mov", register, register, rotate=1))


def _needed(form: Form) -> list[tuple[int, int]]:
    """Lines in the order of their use, and before which tap's products each is received at the latest: what is written
    to a file is not read by the next instruction. -1: before the bias.
    """
    found: dict[int, int] = {}
    for number, tap in enumerate(tap for taps in form.taps for tap in taps):
        for row in range(form.rows):
            found.setdefault(form.line(tap, row), number - (row == 0))
    return sorted(found.items(), key=lambda item: item[1])


def requested(form: Form) -> tuple[int, ...]:
    """The lines of a channel in the order of their requests."""
    return tuple(line for line, _ in _needed(form))


def _places(form: Form) -> dict[int, list[int]]:
    """Before which tap each line is received: as late as they may, one a tap where there are taps enough."""
    found: dict[int, list[int]] = {}
    last: int | None = None
    for line, latest in reversed(_needed(form)):
        last = max(-1, latest if last is None else min(latest, last - 1))
        found.setdefault(last, []).insert(0, line)
    return found
