"""A 3x3 convolution of few input channels with stride 2 and the depthwise 3x3 one that reads it: what lies between them
stays in registers.

Lanes are 16 neighbouring columns. A task is `CHANNELS` channels of a strip of 16 output columns, down which it walks:
every pass takes two rows of the convolution's output, so that a weight, a uniform, is read once and met twice (see
`relayed`), and finishes two rows of outputs. Of the depthwise sums those of two rows are under way between passes.

Columns. Outputs 16 t to 16 t + 15 need the columns from 16 t - 1 to 16 t + 16 of what lies between. A pass computes the
last 16 of these; the two before are those of eight passes at a time, of two rows each, computed in a pass of their own
by the same code, whose lanes are rows: lane 2 i is column 16 t of pass i, lane 2 i + 1 column 16 t - 1. Those of its
first rows are in one register of a channel, those of its second rows in another, and both move on by two lanes a pass.

Zeros. What lies outside the convolution's output has 0 as its upper end of the clamp, or as the mask of its activation.
Of inputs only columns of the first or of the last output may lie outside, by `columns`, and the row that both rows of a
pass share, by `shared`.

Uniforms. The four QPUs of a slice compute different channels of the same strip, so that they share its lines; their
weights are more than the cache of uniforms holds. So each line of the stream is asked for a step before it is read: the
stream is moved there, which begins the fetch, and back at once.

Stores. The VPM is given back once the last DMA has started, which is after all others' have ended: whoever takes it
next may fill the first row's part at once, and the second's once its own first DMA has started.

Input rows are numbered as in a pass: 0 to 2 are the first row's window, 2 to 4 the second's. A step is an input channel
and a column of the window.

The kernel's block: tasks, one behind the other, each
    the address of the group's stream, that of the first strip's words; then for each batch of passes
    edge words: the address of the edge pass's lines, the input's at the first column and channel;
    strip words: how many lanes of main passes are outputs, an upper end, in how many lanes no column is outside;
    main passes' words: the address of the strip's first input column, of each input row its place in bytes, whether
    the shared row is inside, whether each of both rows is (all bits, or none); low, high (where no epilogue is
    `coded`); 0, or 1 and for both output rows (aligned) their address, or their pieces (see `row_pieces`); then 1 where
    another pass of the batch follows, else 0 and 1 where a batch follows, else 0;
    and 1 where a task follows, else 0.
Lines of an edge pass: of each input row its lanes' places, where the shared row is inside, where columns are, for both
rows the upper ends.
The group's stream, each part from a line's start on: the biases of the convolution and the first step's head; for each
step two lines: weights of the window's first row, a line's bytes, those of its last row of `SPLIT` channels; and a
line's bytes, those of the others, 1 where another step follows, else 0, the next step's head, the weights of the middle
row in between the head's words; then for each channel the bias of the window, its weights by columns from the last to
the first, each from the last row, the first, then the middle one.
A step's head: 0 where columns may lie outside, else all bits; the bytes to what is asked for in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.expressions.emission import Element
from codegen.engines.videocore4.expressions.placement import place
from codegen.engines.videocore4.kernels.pieces import (
    advance,
    dma_store_rows,
    dma_store_stride,
    lane_bytes,
    stream_from,
    vpm_write_rows,
)
from codegen.engines.videocore4.kernels.results import ACCUMULATORS, Results
from codegen.engines.videocore4.kernels.row_pieces import PIECE_WORDS, PIECES
from codegen.engines.videocore4.kernels.tile import load_lines
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.engines.videocore4.operation import Bundle, Operation
from codegen.engines.videocore4.packing import pack
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
    R5,
    R5_ALL,
    RELAY_A,
    RELAY_B,
    TMU_S,
    UNIFORM,
    UNIFORM_A,
    UNIFORM_ADDRESS,
    UNIFORM_B,
    VPM_WRITE_SETUP,
    Register,
)
from codegen.expression import RESULT, Expression

CHANNELS = 8
ROWS = 2  # of a pass
TAPS = 3
STRIDE = 2
INPUT_ROWS = STRIDE + TAPS
SHARED_ROW = STRIDE
BATCH = LANES // 2  # passes whose edges are computed together
EDGE_LINES = INPUT_ROWS + 4
EDGE_WORDS = 2
STRIP_WORDS = 3
MAIN_WORDS = 1 + INPUT_ROWS + 1 + ROWS
WINDOW_ROWS = (2, 0, 1)  # in the order in which a pass takes them: no sum is added to twice in a row
FIRST_ROWS = (0, 2, 1)  # of the convolution's window: the line of the shared row stays for the second
_REQUESTED = (0, 2, 4, 1, 3)  # input rows, by TMUs in turn
STEP_LINES = 2
SPLIT = 6  # channels of the window's last row whose weights are in a step's first line
_LANE_BYTES_SHIFT = 3  # a lane is STRIDE input columns
_WINDOW_LINES = CHANNELS * (1 + TAPS * TAPS) // LANES


def stream_words(steps: int) -> int:
    """That are read in a main pass."""
    return CHANNELS + 2 + steps * (5 + TAPS * CHANNELS) + CHANNELS * (1 + TAPS * TAPS)


def store_words(*, aligned: bool) -> int:
    return ROWS * (1 if aligned else PIECES * PIECE_WORDS)


def pass_instructions(steps: int) -> int:
    """Of a main pass without its store, about."""
    return steps * (2 * TAPS * CHANNELS + 15) + 33 * CHANNELS + 40


@dataclass
class _Registers:
    sums: list[list[Register]]  # [row][channel], of the convolution
    edges: list[list[Register]]  # [row][channel]
    partial: list[list[Register]]  # [how much later they are finished][channel], of the window
    places: list[Register]
    shared: Register
    columns: Register
    highs: list[Register]
    is_edge: Register
    stream: Register
    words: Register
    line: Register  # of the stream, that is read
    ahead: Register  # bytes to the line that is asked for then

    @staticmethod
    def of() -> _Registers:
        """A sum is read from one file while a weight comes through the other's port."""
        pool = RegisterPool()
        sums = [[pool.take("a") for _ in range(CHANNELS)] for _ in range(ROWS)]
        partial = [[pool.take("b") for _ in range(CHANNELS)] for _ in range(ROWS)]
        places = [pool.take("b") for _ in range(INPUT_ROWS)]
        shared, columns, first_high, second_high = (pool.take("b") for _ in range(4))
        is_edge, stream, words, line = (pool.take("b") for _ in range(4))
        ahead = pool.take("a")  # added to `line`
        edges = [[pool.take() for _ in range(CHANNELS)] for _ in range(ROWS)]
        highs = [first_high, second_high]
        return _Registers(
            sums, edges, partial, places, shared, columns, highs, is_edge, stream, words, line, ahead
        )


@cache
def stem_depthwise_kernel(
    aligned: bool, epilogue: Expression | None = None, activation: Expression | None = None
) -> Assembler:
    """Code for any number of input channels. `aligned`: 16 outputs of a row are lines, and all passes finish two rows.
    `activation`: what the convolution's results go through; None: a clamp from 0 to the upper ends.

    Raises ScheduleError where registers lack.
    """
    r = _Registers.of()
    outputs = [register for row in r.partial for register in row]
    free = [*r.places, r.shared]
    results = Results.of(outputs, epilogue, (UNIFORM, UNIFORM), free)
    sums = [Element((register,), register) for row in r.sums for register in row]
    between = None if activation in (None, RESULT) else place(activation, sums, [*ACCUMULATORS, *free])
    is_masked = activation is not None
    k = Assembler()
    k.load(VPM_WRITE_SETUP, dma_store_stride(0))
    k.load(r.ahead, STEP_LINES * LINE_BYTES)
    k.label("task")
    k.mov(r.stream, UNIFORM)
    k.mov(r.words, UNIFORM)
    k.label("edges")
    _start_edges(k, r)
    k.branch("convolution")
    k.label("main")
    _start_main(k, r)
    k.label("convolution")
    _convolution(k, r)
    if between is not None:
        k.label("activation")
        between.load(k)
        between.apply(k, sums)
    k.mov(NULL, r.is_edge, set_flags=True)
    k.branch("finish_edges", "any_zc")
    k.label("lines")
    _ask_for_lines(k, r)
    k.verbatim("window")
    _Window(k, r, is_masked).emit()
    k.label("results")
    results.load_constants(k)
    results.compute(k)
    words = store_words(aligned=aligned)
    stream_from(k, r.stream)  # its first line is on its way then
    stream_from(k, r.words)
    advance(k, r.words, len(results.bounds) + 1 + words + 1 + MAIN_WORDS)
    results.compute_low(k)
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("first", "all_zs")
    _store(k, r, results, aligned)
    k.label("following")
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("main", "any_zc")
    k.label("batch")
    advance(k, r.words, 1 + EDGE_WORDS - MAIN_WORDS)  # behind the last pass follow an edge pass's words
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("edges", "any_zc")
    k.label("last")
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("task", "any_zc")
    k.label("end")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    k.label("first")
    advance(k, r.words, -words)
    for finished, begun in zip(r.partial, r.sums, strict=True):
        for target, source in zip(finished, begun, strict=True):
            k.mov(target, source)
    k.branch("following")
    k.label("finish_edges")
    _finish_edges(k, r, is_masked)
    k.branch("main")
    return k


def _store(k: Assembler, r: _Registers, results: Results, aligned: bool) -> None:
    """Sums that are under way follow behind the finished ones."""
    addresses = (R1, R2)
    if aligned:
        for address in addresses:
            k.mov(address, UNIFORM)
    k.label("vpm")
    k.mov(NULL, MUTEX)
    for row, (finished, begun) in enumerate(zip(r.partial, r.sums, strict=True)):
        k.load(VPM_WRITE_SETUP, vpm_write_rows(CHANNELS * row))
        results.write_high(k, finished)
        for target, source in zip(finished, begun, strict=True):
            k.mov(target, source)
        if aligned:
            k.mov(NULL, DMA_STORE_WAIT)
            k.load(VPM_WRITE_SETUP, dma_store_rows(CHANNELS * row, CHANNELS))
            k.mov(DMA_STORE_ADDRESS, addresses[row])
            continue
        for piece in range(PIECES):
            k.mov(R0, UNIFORM, set_flags=True)
            k.mov(R1, UNIFORM)
            k.mov(R2, UNIFORM)
            k.branch(f"stored{row}{piece}", "all_zs")
            k.label(f"piece{row}{piece}")
            k.mov(NULL, DMA_STORE_WAIT)
            k.mov(VPM_WRITE_SETUP, R1)
            k.mov(VPM_WRITE_SETUP, R0)
            k.mov(DMA_STORE_ADDRESS, R2)
            k.label(f"stored{row}{piece}")
    if not aligned:  # of the last pass the first row may be all that is stored
        k.mov(NULL, DMA_STORE_WAIT)
    k.mov(MUTEX_RELEASE, 0)


def _start_edges(k: Assembler, r: _Registers) -> None:
    lane_bytes(k, R1)
    k.op("add", R1, R1, UNIFORM)
    k.mov(R5_ALL, UNIFORM)
    _open_stream(k, r)
    load_lines(k, R1, [*r.places, r.shared, r.columns, *r.highs])
    k.mov(r.is_edge, 1)


def _ask_for_lines(k: Assembler, r: _Registers) -> None:
    """Those of the window's weights, of which the first two are there."""
    k.load(R1, LINE_BYTES)
    k.op("add", R2, r.line, r.ahead)
    for _ in range(_WINDOW_LINES - STEP_LINES):
        stream_from(k, R2)
        k.op("add", R2, R2, R1)
    stream_from(k, r.line)


def _start_main(k: Assembler, r: _Registers) -> None:
    k.mov(R5_ALL, UNIFORM)
    k.mov(R1, ELEMENT)
    k.op("shl", R1, R1, _LANE_BYTES_SHIFT)
    for register in r.places:
        k.op("add", register, R1, UNIFORM)
    k.mov(r.shared, UNIFORM)
    first, second = r.highs
    k.mov(R2, second)
    k.op("or", R2, R2, first)
    for high in r.highs:
        k.op("and", high, R2, UNIFORM)
    _open_stream(k, r)


def _open_stream(k: Assembler, r: _Registers) -> None:
    """Reads from the stream's first line; the two behind it are on their way to the cache then."""
    k.load(R0, LINE_BYTES)
    k.op("add", r.line, r.stream, R0)
    k.op("add", R3, r.line, R0)
    stream_from(k, r.line)
    stream_from(k, R3)
    stream_from(k, r.stream)


def _finish_edges(k: Assembler, r: _Registers, is_masked: bool) -> None:
    """The edges, what is the same in all main passes of a strip, and to the first one's words."""
    stream_from(k, r.words)
    advance(k, r.words, STRIP_WORDS + MAIN_WORDS)
    for sums, edges, high in zip(r.sums, r.edges, r.highs, strict=True):
        for total, edge in zip(sums, edges, strict=True):
            if is_masked:
                k.op("and", edge, total, high)
            else:
                k.fmin(R1, total, high)
                k.fmax(edge, R1, 0)
    k.mov(R1, ELEMENT)
    k.op("sub", NULL, R1, UNIFORM, set_flags=True)
    k.mov(R2, 0)
    k.mov(R2, UNIFORM, condition="ns")
    for high in r.highs:
        k.mov(high, R2)
    k.op("sub", NULL, R1, UNIFORM, set_flags=True)
    k.mov(R2, 0)
    k.mov(R2, -1, condition="ns")
    k.mov(r.columns, R2)
    k.mov(r.is_edge, 0)


def _convolution(k: Assembler, r: _Registers) -> None:
    """Two rows of sums."""
    for number, row in enumerate(_REQUESTED):
        k.op("add", TMU_S[number % 2], R5, r.places[row])
    k.label("biases")
    for first, second in zip(*r.sums, strict=True):
        k.mov(R1, UNIFORM)
        k.mov(first, R1)
        k.mov(second, R1)
    k.op("or", R3, r.columns, UNIFORM)
    k.op("add", R5_ALL, R5, UNIFORM)
    k.mov(R0, 0)
    k.load_tmu(0)
    k.verbatim("step")
    _step(k, r)
    k.branch("step", "any_zc")
    k.label("drain")
    last = r.sums[-1][-1]
    k.fadd(last, last, R0)
    for number in range(1, INPUT_ROWS):
        k.load_tmu(number % 2)


def _step(k: Assembler, r: _Registers) -> None:
    """An input channel and a column of the window; the last product is added in the next one.

    Each line is asked for anew, for the next step, once it has been received.
    """

    def ask(number: int) -> Operation:
        return operation("add", TMU_S[number % 2], R5, r.places[_REQUESTED[number]])

    def take(line: Register, mask: Register) -> Operation:
        """Bytes of zeros are the least; nothing else masks on this ALU."""
        return operation("v8min", line, R4, mask)

    pending = operation("fadd", r.sums[-1][-1], r.sums[-1][-1], R0)

    def products(lines: tuple[Register, Register], channels: range, signal: str = "none") -> None:
        nonlocal pending
        for channel in channels:
            for row, line in enumerate(lines):
                last = channel == channels[-1] and row == 1
                product = operation("fmul", R0, line, RELAY_B if row else UNIFORM_B)
                k.together(pending, product, signal=signal if last else "none")
                total = r.sums[row][channel]
                pending = operation("fadd", total, total, R0)

    ask_for_line = operation("add", UNIFORM_ADDRESS, r.line, r.ahead)
    next_line = operation("add", r.line, r.line, UNIFORM_A)
    every = range(CHANNELS)
    k.together(ask_for_line, take(R1, R3), signal="load_tmu1")
    k.together(move(UNIFORM_ADDRESS, r.line))
    k.together(operation("and", R2, R3, r.shared))
    k.together(ask(0), take(R2, R2))
    k.together(ask(1))
    products((R1, R2), every, "load_tmu0")
    k.together(next_line, take(R1, R3))
    products((R2, R1), every[:SPLIT])
    k.together(ask_for_line)
    k.together(move(UNIFORM_ADDRESS, r.line))
    k.together(ask(2))
    k.together(ask(3))
    k.together(next_line)
    products((R2, R1), every[SPLIT:], "load_tmu1")
    k.together(move(NULL, UNIFORM_A, set_flags=True), take(R1, R3), signal="load_tmu0")
    k.together(ask(4), take(R2, R3))
    k.together(operation("or", R3, r.columns, UNIFORM_A))
    products((R1, R2), every)
    # The branch is three before the end: not between a weight and its relay.
    k.together(operation("add", R5_ALL, R5, UNIFORM_A), signal="load_tmu0")
    assert pending.destination is r.sums[-1][-1]


class _Window:
    """The depthwise products of all channels, in order: a product is added in the instruction behind it, or later."""

    def __init__(self, k: Assembler, r: _Registers, is_masked: bool) -> None:
        self._k, self._r, self._is_masked = k, r, is_masked
        self._pending: Operation | None = None

    def emit(self) -> None:
        self._k.together(move(NULL, ELEMENT, set_flags=True))  # lane 0 is where columns come in
        for channel in range(CHANNELS):
            self._channel(channel)

    def _issue(self, *operations: Operation) -> None:
        """Together where they fit."""
        if len(operations) > 1 and pack([Bundle(operations)]) is None:
            for one in operations:
                self._k.together(one)
        else:
            self._k.together(*operations)

    def _channel(self, channel: int) -> None:
        r = self._r
        first, second = (sums[channel] for sums in r.sums)
        own, other = (edges[channel] for edges in r.edges)
        bias = operation("v8min", R3, UNIFORM_A, UNIFORM_A)
        if self._is_masked:
            self._issue(operation("and", R1, first, r.highs[0]))
            self._issue(operation("and", R2, second, r.highs[1]))
            self._issue(bias)
        else:
            self._issue(operation("fmin", R1, first, r.highs[0]))
            self._issue(operation("fmin", R2, second, r.highs[1]))
            self._issue(operation("fmax", R1, R1, 0))
            self._issue(operation("fmax", R2, R2, 0), bias)
        self._products(channel, R3, last=False)
        self._issue(move(R3, own), _rotated(R1, R1, 1))
        self._issue(move(R1, own, condition="zs"), _rotated(R2, R2, 1))
        self._issue(move(R2, other, condition="zs"))
        self._products(channel, None, last=False)
        self._issue(_rotated(R1, R1, 1))
        self._issue(_rotated(R1, R3, LANES - 1, "zs"))
        self._issue(_rotated(own, R3, LANES - 2), move(R3, other))
        self._issue(_rotated(R2, R2, 1))
        self._issue(_rotated(R2, R3, LANES - 1, "zs"))
        self._issue(_rotated(other, R3, LANES - 2))
        self._products(channel, None, last=True)
        assert self._pending is not None
        self._issue(self._pending)
        self._pending = None

    def _products(self, channel: int, bias: Register | None, *, last: bool) -> None:
        """Of a column of the window. The sums that begin in this pass are added up in file B: weights come through
        port A.
        """
        r = self._r
        done = [partial[channel] for partial in r.partial]
        begun = [r.places[0], r.places[1]]
        kept = [sums[channel] for sums in r.sums]
        by_row = {2: done, 0: begun, 1: [done[1], begun[0]]}
        for row in WINDOW_ROWS:
            for line, total in zip((R1, R2), by_row[row], strict=True):
                product = operation("fmul", R0, line, RELAY_A if line is R2 else UNIFORM_A)
                self._issue(*([self._pending] if self._pending else []), product)
                begins = bias is not None and row == 0
                ends = last and total in begun and (row == 1 or total is begun[1])
                target = kept[begun.index(total)] if ends else total
                self._pending = operation("fadd", target, bias if begins and bias else total, R0)


def _rotated(target: Register, source: Register, lanes: int, condition: str = "always") -> Operation:
    return operation("mov", target, source, rotate=lanes, condition=condition)
