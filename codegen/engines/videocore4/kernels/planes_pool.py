"""A convolution of few planes and the pool that reads it, where the weights of all taps have no room in registers.

Lanes are output channels. A task is a strip of `pixels` columns of the pool by 2 vectors of 16 channels, down which it
goes row by row of the convolution's output, as wide as the strip's windows are: all sums of a row, the greatest of the
rows before, and the weights of one row of taps are in registers. A row is computed as in the kernel of planes: every
pixel goes to all lanes by rotation, and meets its taps.

Of two turns of pixels (see there) the second's weights are in registers of the first's where registers lack. A line of
weights or of pixels arrives in its own step, a pixel's products, for which `fetches` has the order: none later than its
register is used, none before that is free. The order goes on from row to row of an image, and from one output row to
the next: at the end of either the same are under way. Lines of pixels but the first arrive in the row that uses them,
so that r2 and r3 are free between rows.

The kernel's block: words of its tasks. A task's: the address of its two lines of biases, behind which are its weights,
that of the masks of each line of columns, of the input at the strip's first column and row, of the output at its first
channel; those of `Form.events` for the first row; then for each row of the convolution's output
    the address of the word behind the next, that of the list of its rows of inputs;
    of each column that is outside in some strip, the upper end of what is there; 1 where the row is the first that an
    output needs, else 0; 1 where it is the last of outputs, else 0, and then low, high, for each vector and each piece
    of its store set-up (0: none), that of its stride and its address from the output's;
    1 where another row follows, else 0, and then bytes from its first row of inputs to the next's;
then 1 where a task follows, else 0.
The list has for each row of inputs the words of `Form.events`, and 1 where another follows, else 0.
Weights: for each row of the window, of all planes, a line of each tap and vector, in the order of `Form.weights`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations, permutations, product

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.kernels.channel_lanes import VECTORS
from codegen.engines.videocore4.kernels.pieces import lane_bytes, stream_from, vpm_write_columns
from codegen.engines.videocore4.kernels.planes import PIXEL_LINES, Row, broadcast, leading, products_of
from codegen.engines.videocore4.kernels.results import Results
from codegen.engines.videocore4.kernels.row_pieces import PIECE_WORDS, PIECES
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
    R2,
    R3,
    R4,
    R5,
    R5_ALL,
    TMU_S,
    UNIFORM,
    UNIFORM_ADDRESS,
    VPM_WRITE_SETUP,
    Register,
)
from codegen.errors import ScheduleError

LEAD = 6  # steps from a request to its use, of which both TMUs have fewer under way than they take
_TEMPORARIES = (R0, R2, R3)  # between rows

_Tap = tuple[int, int]  # vector, column of the window
_Pairs = dict[int, int]  # a tap of the second turn, and the one of the first whose register it has


@dataclass(frozen=True)
class Fetch:
    """A line of the next row, on its way to a register; times in steps from this row's begin."""

    leaves: int
    line: int | None  # of pixels
    tap: _Tap | None
    tmu: int = 0

    @property
    def asked(self) -> int:
        return self.leaves - LEAD


@dataclass(frozen=True)
class Event:
    """A word of the stream: bytes to a line of pixels from the output row's first, or (None) those from the weights
    that the last row has used to those of another. `is_next`: of the row of inputs behind this one.
    """

    line: int | None
    is_next: bool


@dataclass(frozen=True)
class Form:
    """What tells one kernel from another: columns of the convolution's window and their stride, those of the pool's
    `window` and their `step`, output columns of a strip, of the convolution's those that are outside in some strip.
    """

    taps: int
    stride: int
    window: int
    step: int
    pixels: int
    outside: tuple[int, ...] = ()

    @property
    def columns(self) -> int:
        """Of the convolution's output."""
        return (self.pixels - 1) * self.step + self.window

    @property
    def row(self) -> Row:
        return Row(self.taps, self.stride, self.columns)

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """The pixels of a row, by turns."""
        return tuple(
            pixel for taps in self.row.turns for pixel in range(taps[0], self.row.pixels, self.row.step)
        )

    @cached_property
    def layout(self) -> _Layout:
        """Raises ScheduleError where registers lack, or time between two uses of one."""
        return _layout(self)

    @property
    def fetches(self) -> tuple[Fetch, ...]:
        """In the order in which they are asked for."""
        return self.layout.fetches

    @property
    def weights(self) -> tuple[_Tap, ...]:
        """Of a row of taps, in the order in which they lie in memory."""
        return tuple(fetch.tap for fetch in self.fetches if fetch.tap is not None)

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """The words of a row of inputs."""
        found: list[Event] = []
        for fetch in self._by_step:
            is_next = fetch.asked < len(self.steps)
            if fetch.tap == self.weights[0]:
                found.append(Event(None, is_next))
            elif fetch.line is not None:
                found.append(Event(fetch.line, is_next))
        return tuple(found)

    @property
    def first_events(self) -> tuple[Event, ...]:
        """The words that a task's first row of inputs has before."""
        return tuple(event for event in self.events if event.is_next)

    @property
    def _by_step(self) -> list[Fetch]:
        return sorted(self.fetches, key=lambda fetch: fetch.asked % len(self.steps))

    def words_of_output_row(self) -> int:
        """Without those of a store."""
        return 6 + len(self.outside)

    def words_of_store(self) -> int:
        return 2 + VECTORS * PIECES * PIECE_WORDS


def row_instructions(form: Form) -> float:
    """Of a row of inputs."""
    return len(form.steps) + VECTORS * form.taps * form.columns + len(form.fetches) + 3.0


def join_instructions(form: Form) -> float:
    """Of a row of the convolution's output, beside its rows of inputs."""
    return 4.0 * VECTORS * form.pixels + form.columns + 3.0 * len(form.outside) + 20.0


@dataclass(frozen=True)
class _Layout:
    sums: list[list[Register]]
    weights: list[list[Register]]  # [vector][tap]
    maxima: list[list[Register]]
    masks: list[Register]
    biases: list[Register]
    step: Register  # a line's bytes
    source: Register  # of weights
    lanes: Register  # the input, at the strip's first column and the output row's first row
    places: Register  # the output's address in lane 0, that of the output row's words in all others
    fetches: tuple[Fetch, ...]


def _layout(form: Form) -> _Layout:
    row = form.row
    if row.lines > len(PIXEL_LINES):
        raise ScheduleError(f"{row.pixels} pixels of a row: at most {len(PIXEL_LINES) * LANES} are at hand")
    if form.columns > LANES or row.stride > row.taps:
        raise ScheduleError(
            f"{form.columns} columns, {row.taps} taps with stride {row.stride}: pixels without taps"
        )
    turns = row.turns
    mates = [{}] if len(turns) != 2 else list(_pairings(tuple(turns[0]), tuple(turns[1])))
    refusal: ScheduleError | None = None
    for shared in sorted(product(mates, repeat=VECTORS), key=lambda pairs: sum(map(len, pairs))):
        try:
            return _with_pairs(form, shared)
        except ScheduleError as error:
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def _pairings(first: Sequence[int], second: Sequence[int]) -> Iterator[_Pairs]:
    for count in range(len(second) + 1):
        for late in combinations(second, count):
            for early in permutations(first, count):
                yield dict(zip(late, early, strict=True))


def _with_pairs(form: Form, shared: Sequence[_Pairs]) -> _Layout:
    """Raises ScheduleError where registers lack, or there is no order of fetches."""
    row, pool = form.row, RegisterPool()
    leads = leading(row)
    if any((late in leads) != (early in leads) for late, early in shared[0].items()):
        raise ScheduleError("a register of both files")
    sums = [[pool.take(file) for _ in range(form.columns)] for file in ("a", "b")]
    weights: list[list[Register]] = []
    for vector, pairs in enumerate(shared):
        own = {
            tap: pool.take("a" if vector or tap in leads else "b")
            for tap in range(row.taps)
            if tap not in pairs
        }
        weights.append([own[pairs.get(tap, tap)] for tap in range(row.taps)])
    masks = [pool.take("b") for _ in range(row.lines)]
    step, source = pool.take("b"), pool.take("a")  # these meet
    maxima = [[pool.take() for _ in range(form.pixels)] for _ in range(VECTORS)]
    biases = [pool.take() for _ in range(VECTORS)]
    lanes, places = pool.take(), pool.take()
    return _Layout(sums, weights, maxima, masks, biases, step, source, lanes, places, _fetches(form, shared))


def _fetches(form: Form, shared: Sequence[_Pairs]) -> tuple[Fetch, ...]:
    """One a step, that whose time ends first of those that have begun. Raises ScheduleError where one has no time."""
    row, steps = form.row, form.steps
    count = len(steps)
    met: dict[int, list[int]] = {tap: [] for tap in range(row.taps)}
    for number, pixel in enumerate(steps):
        for _, tap in row.met(pixel):
            met[tap].append(number)
    waiting: list[tuple[int, int, Fetch]] = []
    for vector, pairs in enumerate(shared):
        after = pairs | {early: late for late, early in pairs.items()}
        for tap in range(row.taps):
            before = after.get(tap, tap)
            free = met[before][-1] + (count if tap in pairs else 0)
            waiting.append((count + met[tap][0] - 1, free + 1, Fetch(0, None, (vector, tap))))
    for line in range(row.lines):
        users = [number for number, pixel in enumerate(steps) if pixel // LANES == line]
        waiting.append((count + users[0] - 1, count if line else users[-1], Fetch(0, line, None)))
    begin = max(LEAD, *(end - count + 1 for end, _, fetch in waiting if fetch.tap))
    found: list[Fetch] = []
    for now in range(begin, begin + count):
        due = [item for item in waiting if item[1] <= now]
        if due:
            first = min(due, key=lambda item: item[0])
            if first[0] < now:
                raise ScheduleError("a line arrives when its register is in use")
            waiting.remove(first)
            found.append(Fetch(now, first[2].line, first[2].tap, len(found) % len(TMU_S)))
    if waiting:
        raise ScheduleError("more lines of a row than steps")
    return tuple(found)


@cache
def planes_pool_kernel(form: Form) -> Assembler:
    """Code for a form; raises ScheduleError where registers lack."""
    r = form.layout
    results = Results.of(
        [sums[form.step * pixel] for sums in r.sums for pixel in range(form.pixels)],
        None,
        (UNIFORM, UNIFORM),
        [],
    )
    k = Assembler()
    k.label("task")
    _start(k, form)
    k.label("list")
    k.mov(NULL, ELEMENT, set_flags=True)
    k.mov(r.places, UNIFORM, condition="zc")
    stream_from(k, UNIFORM)
    k.label("row")
    _row(k, form)
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("row", "any_zc")
    k.label("join")
    k.mov(R0, r.places)
    k.rotate(R2, R0, LANES - 1)
    k.mov(UNIFORM_ADDRESS, R2)
    _join(k, form)
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("joined", "all_zs")
    k.label("results")
    _finish(k, form, results)
    k.label("joined")
    _clear(k, r)
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("drain", "all_zs")
    k.label("next")
    k.op("add", r.lanes, r.lanes, UNIFORM)
    k.branch("list")
    k.label("drain")
    for fetch in form.fetches:
        if fetch.asked < len(form.steps) < fetch.leaves:
            k.load_tmu(fetch.tmu)
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("task", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _clear(k: Assembler, r: _Layout) -> None:
    for pair in zip(*r.sums, strict=True):
        for register in pair:
            k.mov(register, 0)


def _start(k: Assembler, form: Form) -> None:
    """Addresses, biases, masks, and what is under way when a row begins."""
    r = form.layout
    lane_bytes(k, R3)
    k.load(r.step, LINE_BYTES)
    k.op("add", r.source, R3, UNIFORM)
    for tmu in range(VECTORS):
        k.mov(TMU_S[tmu], r.source)
        k.op("add", r.source, r.source, r.step)
    for vector, bias in enumerate(r.biases):
        k.load_tmu(vector)
        k.mov(bias, R4)
    for mask in r.masks:
        k.op("add", TMU_S[0], R3, UNIFORM)
        k.load_tmu(0)
        k.mov(mask, R4)
    k.op("add", r.lanes, R3, UNIFORM)
    k.mov(r.places, UNIFORM)
    _clear(k, r)
    k.label("ahead")
    count = len(form.steps)
    for now in range(count + 1):
        for fetch in form.fetches:
            if fetch.leaves == now:
                k.load_tmu(fetch.tmu)
                if now < count:
                    k.together(_leaves(r, fetch))
            if fetch.asked == now < count:
                _ask(k, form, fetch)


def _ask(k: Assembler, form: Form, fetch: Fetch) -> None:
    r = form.layout
    if fetch.line is not None:
        k.op("add", TMU_S[fetch.tmu], r.lanes, UNIFORM)
        return
    if fetch.tap == form.weights[0]:
        k.op("add", r.source, r.source, UNIFORM)
    k.together(operation("add", r.source, r.source, r.step), move(TMU_S[fetch.tmu], r.source))


def _leaves(r: _Layout, fetch: Fetch) -> Operation:
    """Moves a line out of r4."""
    if fetch.line is not None:
        return operation("and", PIXEL_LINES[fetch.line], R4, r.masks[fetch.line])
    assert fetch.tap is not None
    vector, tap = fetch.tap
    return Operation("mov", "add", r.weights[vector][tap], (R4,))


def _row(k: Assembler, form: Form) -> None:
    """All products of a row of inputs; beside each pixel's first one line leaves r4 and the next is received."""
    r, count = form.layout, len(form.steps)
    leaving = {fetch.leaves % count: fetch for fetch in form.fetches}
    asked = {fetch.asked % count: fetch for fetch in form.fetches}
    pending: Register | None = None
    for number, pixel in enumerate(form.steps):
        k.label(f"pixel{pixel}")
        if number in asked:
            _ask(k, form, asked[number])
        broadcast(k, PIXEL_LINES[pixel // LANES], pixel % LANES)
        following = leaving.get((number + 1) % count)
        for first, (weight, total) in enumerate(products_of(r.weights, r.sums, form.row, pixel)):
            if pending is not None:
                k.op("fadd", pending, pending, R0)
            multiplied = operation("fmul", R0, weight, R5)
            if first == 0 and number in leaving:
                k.together(_leaves(r, leaving[number]), multiplied)
            else:
                k.together(multiplied)
            if first == 0 and following is not None:
                k.load_tmu(following.tmu)
            pending = total
    assert pending is not None
    k.op("fadd", pending, pending, R0)


def _join(k: Assembler, form: Form) -> None:
    """Columns of a finished row to windows, these with the rows before."""
    r = form.layout
    for column in form.outside:
        k.mov(R0, UNIFORM)
        for sums in r.sums:
            k.op("fmin", sums[column], sums[column], R0)
    k.mov(NULL, UNIFORM, set_flags=True)
    for number, (vector, pixel) in enumerate(product(range(VECTORS), range(form.pixels))):
        highest, own = (
            _TEMPORARIES[number % len(_TEMPORARIES)],
            r.sums[vector][form.step * pixel :][: form.window],
        )
        before = r.maxima[vector][pixel]
        k.mov(highest, own[0])
        for other in own[1:]:
            k.op("fmax", highest, highest, other)
        k.op("fmax", own[0], highest, before)
        k.mov(before, own[0])
        k.mov(before, highest, condition="zc")


def _finish(k: Assembler, form: Form, results: Results) -> None:
    """Stores outputs; r1 has pixels of the next row."""
    r = form.layout
    own = [results.registers[form.pixels * vector :][: form.pixels] for vector in range(VECTORS)]
    for temporary, bias, registers in zip((R0, R2), r.biases, own, strict=True):
        k.mov(temporary, bias)
        for register in registers:
            k.op("fadd", register, register, temporary)
    results.compute_all(k)
    k.label("vpm")
    k.mov(NULL, MUTEX)
    for vector, registers in enumerate(own):
        if vector:
            k.mov(NULL, DMA_STORE_WAIT)
        k.load(VPM_WRITE_SETUP, vpm_write_columns(LANES * vector))
        results.write_high(k, registers)
        for piece in range(PIECES):
            k.mov(R0, UNIFORM, set_flags=True)
            k.mov(R2, UNIFORM)
            k.op("add", R5_ALL, r.places, UNIFORM)
            k.branch(f"stored{vector}{piece}", "all_zs")
            k.label(f"piece{vector}{piece}")
            k.mov(NULL, DMA_STORE_WAIT)
            k.mov(VPM_WRITE_SETUP, R0)
            k.mov(VPM_WRITE_SETUP, R2)
            k.mov(DMA_STORE_ADDRESS, R5)
            k.label(f"stored{vector}{piece}")
    k.mov(MUTEX_RELEASE, 0)
