"""A convolution of few input channels and the pool that reads it: what lies between them stays in registers.

Lanes are 16 output channels of the convolution. A task is these by a strip of `pixels` columns of the pool, along which
it walks down: every pass of its loop takes a row of the convolution's output, as wide as the strip's windows are. So no
row is computed twice, and a column only where strips meet.

Convolution. Of every row of an input channel that a pass takes, the lines of the strip's columns are in r1, one after
the other. Each column is sent to all lanes once, by rotation into r5, and meets every tap that has an output for it: of
all columns, and of all rows of output that are under way (`Form.late`). Weights stay in registers, those of file B,
sums in file A: a sum beside a rotation, whose amount takes port B, or beside the next weight.

Maxima. A finished row is joined to windows of columns in its sums' registers, then with what the row of outputs has of
rows before. The bias is added, and a clamp taken, once an output is finished: neither changes the order of numbers.

Every QPU has columns of the VPM of its own, so that none waits for another's stores: they become lines of one channel.

The kernel's block: words of its tasks, each with
    the address of the word behind it, the QPU's two words of `vpm_columns`, the address of the group's lines, the
    input's at the strip's first column, (padded) of each line of columns that of its masks, bytes from the last line of
    an input row to the next channel's first, the address of the output at the group's first channel, that of the
    strip's stream; then 1 where a task follows, else 0.
The group's lines: the bias, the weights in the order of `Form.weights`.
The strip's stream: the place of the first input row in bytes; then for each row of the convolution's output
    of each input row of its pass (padded) 1 where it is inside or 0, and the place of the next one; behind the one that
    finishes a row, (pool padded) of each of its columns the upper end of what is there, and 1 where the row is the
    first of outputs, else 0;
    1 where the row is the last of outputs, else 0; then low, high, of each piece set-up of the store (0: none), that of
    its stride and its address from the output's, and 1 where another row follows, else 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.pieces import lane_bytes, stream_from
from codegen.engines.videocore4.kernels.results import Results
from codegen.engines.videocore4.kernels.row_pieces import PIECE_WORDS, PIECES, OwnColumns, store_row_in_pieces
from codegen.engines.videocore4.kernels.tile import load_lines
from codegen.engines.videocore4.kernels.window import QUEUE_DEPTH
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.engines.videocore4.registers import (
    DMA_STORE_WAIT,
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
    Register,
)
from codegen.errors import ScheduleError

MOST_LINES = 2 * QUEUE_DEPTH  # of an input row: the next one's are under way
MOST_LINES_OF_CHANNEL = 3  # what lies behind the last row is smaller than a guard


@dataclass(frozen=True)
class Form:
    """What tells one kernel from another: input `channels`, `kernel` and `strides` of the convolution, the pool's
    `window` and its stride along columns, output columns of a strip, whether either input is padded.
    """

    channels: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    window: tuple[int, int]
    step: int
    pixels: int
    padded: bool = False
    pool_padded: bool = False

    @property
    def columns(self) -> int:
        """Of the convolution's output."""
        return (self.pixels - 1) * self.step + self.window[1]

    @property
    def input_columns(self) -> int:
        return (self.columns - 1) * self.strides[1] + self.kernel[1]

    @property
    def lines(self) -> int:
        """Of a row of an input channel."""
        return -(-self.input_columns // LANES)

    @property
    def late(self) -> int:
        """Passes from a row's first input rows to its last."""
        return (self.kernel[0] - 1) // self.strides[0]

    @property
    def last_row(self) -> int:
        """Of a pass, the input row that finishes a row."""
        return (self.kernel[0] - 1) % self.strides[0]

    @cached_property
    def weights(self) -> tuple[tuple[int, int, int], ...]:
        """(channel, row, column), in the order in which they lie in memory."""
        rows, columns = self.kernel
        return tuple((c, y, x) for c in range(self.channels) for y in range(rows) for x in range(columns))

    def words_of_row(self) -> int:
        """Of the stream, without those of a store."""
        return self.strides[0] * (1 + self.padded) + self.columns * self.pool_padded + 2

    def words_of_store(self) -> int:
        return 2 + PIECES * PIECE_WORDS + 1


def row_instructions(form: Form) -> float:
    """Of a row of the convolution's output."""
    sent = form.strides[0] * form.channels * form.input_columns
    products = len(form.weights) * form.columns
    joined = form.pixels * (form.window[1] + 3) + form.columns * form.pool_padded
    masked = 2 * form.strides[0] * form.lines * form.padded
    return sent + products + 0.5 * joined + masked + 6.0


@dataclass
class _Registers:
    weights: dict[tuple[int, int, int], Register]
    sums: list[list[Register]]  # [passes since its first][column]
    maxima: list[Register]
    masks: list[Register]
    inside: list[Register]  # masks in the present row
    lanes: Register
    plane: Register
    bias: Register
    output: Register
    writes: Register
    stores: Register
    task: Register

    @staticmethod
    def of(form: Form) -> _Registers:
        """Raises ScheduleError where registers lack."""
        pool = RegisterPool()
        sums = [[pool.take("a") for _ in range(form.columns)] for _ in range(form.late + 1)]
        weights = {key: pool.take("b") for key in form.weights}
        maxima = [pool.take() for _ in range(form.pixels)]
        masks, inside = ([pool.take() for _ in range(form.lines * form.padded)] for _ in range(2))
        rest = [pool.take() for _ in range(7)]
        return _Registers(weights, sums, maxima, masks, inside, *rest)


@cache
def stem_kernel(form: Form) -> Assembler:
    """Code for a form; raises ScheduleError where registers or columns of the VPM lack."""
    if not 1 <= form.pixels <= LANES:
        raise ScheduleError(f"a strip of {form.pixels} columns: at most {LANES}")
    if form.channels * form.lines > MOST_LINES or form.lines > MOST_LINES_OF_CHANNEL:
        raise ScheduleError(
            f"{form.channels} times {form.lines} lines of an input row: at most {MOST_LINES}, and of a channel "
            f"{MOST_LINES_OF_CHANNEL}"
        )
    r = _Registers.of(form)
    row = _Row(r, form)
    results = Results.of(row.results, None, (UNIFORM, UNIFORM), [])
    k = Assembler()
    k.label("task")
    _start(k, r, form)
    k.label("row")
    row.emit(k)
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("row", "all_zs")
    k.label("results")
    k.mov(R0, r.bias)
    for register in row.results:
        k.fadd(register, register, R0)
    results.compute_all(k)
    store_row_in_pieces(k, row.results, results.write_high, OwnColumns(r.writes, r.stores), r.output)
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("row", "any_zc")
    k.label("drain")
    for number in range(form.channels * form.lines):
        k.load_tmu(number % len(TMU_S))
    stream_from(k, r.task)
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("task", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _start(k: Assembler, r: _Registers, form: Form) -> None:
    """Reads a task's words and its group's lines, asks for the first input row."""
    k.mov(r.task, UNIFORM)
    k.mov(r.writes, UNIFORM)
    k.mov(r.stores, UNIFORM)
    lane_bytes(k, R1)
    k.op("add", R3, R1, UNIFORM)
    load_lines(k, R3, [r.bias, *r.weights.values()])
    k.op("add", r.lanes, R1, UNIFORM)
    for mask in r.masks:
        k.op("add", TMU_S[0], R1, UNIFORM)
        k.load_tmu(0)
        k.mov(mask, R4)
    k.mov(r.plane, UNIFORM)
    k.mov(r.output, UNIFORM)
    k.mov(R3, UNIFORM)
    stream_from(k, R3)
    for number in range(form.channels * form.lines):
        _request(k, r, form, number)


def _request(k: Assembler, r: _Registers, form: Form, number: int) -> None:
    """Asks for a line of an input row; r3 goes along its lines."""
    if number == 0:
        k.op("add", R3, r.lanes, UNIFORM)
    elif number % form.lines:
        k.op("add", R3, R3, R2)
    else:
        k.op("add", R3, R3, r.plane)
    k.mov(TMU_S[number % len(TMU_S)], R3)


class _Row:
    """The loop's instructions."""

    def __init__(self, r: _Registers, form: Form) -> None:
        self._r, self._form = r, form

    @property
    def _finished(self) -> list[Register]:
        return self._r.sums[self._form.late]

    @property
    def results(self) -> list[Register]:
        """In the place of sums that are joined before."""
        return [self._finished[self._form.step * pixel] for pixel in range(self._form.pixels)]

    def emit(self, k: Assembler) -> None:
        form = self._form
        k.load(R2, LINE_BYTES)
        for row in range(form.strides[0]):
            self._masks(k)
            for channel in range(form.channels):
                for line in range(form.lines):
                    self._line(k, row, channel, line)
            if row == form.last_row:
                self._join(k)

    def _masks(self, k: Assembler) -> None:
        r = self._r
        if r.masks:
            k.mov(R0, UNIFORM)
            for mask, inside in zip(r.masks, r.inside, strict=True):
                k.fmul(inside, mask, R0)

    def _line(self, k: Assembler, row: int, channel: int, line: int) -> None:
        """Receives a line, asks for the next row's, and takes its columns into the sums."""
        r, form = self._r, self._form
        number = channel * form.lines + line
        k.load_tmu(number % len(TMU_S))
        if r.masks:
            k.fmul(R1, R4, r.inside[line])
        else:
            k.mov(R1, R4)
        _request(k, r, form, number)
        for lane in range(min(LANES, form.input_columns - LANES * line)):
            uses = self._uses(row, LANES * line + lane)
            if not uses:
                continue
            if lane:
                k.rotate(R5_ALL, R1, LANES - lane)
            else:
                k.mov(R5_ALL, R1)
            for late, y, x, column in uses:
                sums = [row_of_sums[column] for row_of_sums in r.sums]
                is_first = channel == 0 and x == 0 and row == 0  # of this pass
                k.fmul(R0, R5, r.weights[channel, y, x])
                if is_first and late == 0:
                    k.mov(sums[0], R0)
                else:
                    k.fadd(sums[late], sums[late - is_first], R0)

    def _uses(self, row: int, column: int) -> list[tuple[int, int, int, int]]:
        """Of an input column in an input row of a pass: (passes since the output row's first, tap's row, its column,
        output column), those of early rows first, which take sums over.
        """
        form = self._form
        found = []
        for late in reversed(range(form.late + 1)):
            y = row + form.strides[0] * late
            for x in range(form.kernel[1]):
                output, rest = divmod(column - x, form.strides[1])
                if y < form.kernel[0] and rest == 0 and 0 <= output < form.columns:
                    found.append((late, y, x, output))
        return found

    def _join(self, k: Assembler) -> None:
        """Columns of a finished row to windows, these with the rows before."""
        r, form = self._r, self._form
        if form.pool_padded:
            for register in self._finished:
                k.fmin(register, register, UNIFORM)
        k.mov(NULL, UNIFORM, set_flags=True)
        for pixel, (result, highest) in enumerate(zip(self.results, r.maxima, strict=True)):
            k.mov(R3, result)
            for column in range(1, form.window[1]):
                k.fmax(R3, R3, self._finished[form.step * pixel + column])
            if form.window[0] == 1:
                k.mov(result, R3)
                continue
            k.fmax(result, R3, highest)
            k.mov(highest, result)
            k.mov(highest, R3, condition="zc")
