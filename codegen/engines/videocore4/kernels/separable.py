"""A depthwise convolution and the pointwise one that reads it: what lies between them stays in registers.

A tile is `rows` rows of up to 14 output pixels by `channels` outputs of the pointwise convolution, all accumulators in
registers. Of each input channel its few lines are loaded once; every weight is used for all rows of the tile. Lanes are
pixels side by side. A 3x3 window's columns come by rotating sums instead of lines: those of the left taps move by one
lane, those of the middle taps join them, all move by one lane again, and those of the right taps join in. So results
lie two lanes behind the first pixel's left tap. With stride 2 odd and even columns are lines of their own, and sums
move once.

Of each input channel's weights 16 are uniforms, one line of the stream: the depthwise bias, nine taps and the first of
the pointwise weights, all through port A, each used again for the second row as the port's last value (see `relayed`).
The others are lanes of vectors, which rotation sends to r5. Behind word 14 of a line of uniforms, where the FIFO asks
for the next one, stand the products of these, so that uniforms hardly keep a QPU waiting. Beside the first product of
each the add ALU has nothing to add: there stand the requests of lines and the counter.

The loop's order: the depthwise sums of a channel, while whose last steps take place the next channel's lines are
received; its pointwise products, in whose free slots the lines after next and the next vectors are asked for. Lines are
asked for up to two channels behind the last: nobody reads what they hold. The lines of lanes outside the input are
zeros; a plane of them lies with the vectors.

The kernel's block: address of the first tile's words, the depthwise clamp's upper end. Words of a tile:
    first lane's input column, input columns, bytes from one block of the input to the next less those of a line,
    the input's address and that of the zeros (both `first_request`), for each input row its first pixel or `OUTSIDE`,
    for each plane of vectors its address (`first_vector`), the address of the stream;
    (in step) 1 for the QPU that gathers the others, else 0, and 1 in tiles of odd numbers, else 0;
    (residual) the last pixel's number in a row of the tile, bytes from one block of the output to the next less those
    of a line, the residual's address at the tile's first channel, for each row its first pixel;
    low, high (where no epilogue is `coded`); for each part that is stored for each of its two pieces: setup of the
    store's stride, of the store, address; 1 where a tile follows, else 0.
The stream: padding, the pointwise biases, `first_offset`, and from a line's start on 16 words of each input channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.kernels.pieces import (
    VPM_ROWS,
    advance,
    lane_bytes,
    stream_from,
    vpm_write_rows,
)
from codegen.engines.videocore4.kernels.results import Results
from codegen.engines.videocore4.kernels.tile import add_lines
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
    R5,
    R5_ALL,
    RELAY_A,
    TMU_S,
    UNIFORM,
    UNIFORM_A,
    VPM_WRITE_SETUP,
    Register,
)
from codegen.errors import ScheduleError
from codegen.expression import Expression

TAPS = 3  # of a row and of a column of the window
PIXELS = LANES - 2  # of a row of a tile
FIRST_LANE = 2  # of the results
STREAMED = LANES  # uniforms of an input channel: one line
THROUGH_UNIFORMS = STREAMED - TAPS * TAPS - 1  # pointwise weights among them
MOST_ROWS = 2
MOST_LINES = 6  # of an input channel: they and the next vectors are under way at the same time
MOST_VECTORS = 2
PIECES = 2  # of a row of a tile: those in one block of the output, and those in the next
STEP_WORDS = 2
ARRIVE, DEPART = 0, (1, 2)  # semaphores; the linker's are others
OUTSIDE = -(1 << 26)  # a pixel number: no sum with a column reaches 0
_SUMS = (R1, R2)


@dataclass(frozen=True)
class Form:
    """What tells one kernel from another. `low`: the depthwise clamp's lower end, a small immediate, or None;
    `in_step`: how many QPUs begin their tiles together, or 0.
    """

    rows: int
    channels: int
    stride: int
    low: float | None
    in_step: int = 0

    @property
    def input_rows(self) -> int:
        return (self.rows - 1) * self.stride + TAPS

    @property
    def lines(self) -> int:
        """Of an input channel."""
        return self.input_rows * self.stride

    @property
    def rotated(self) -> int:
        """Pointwise weights of an input channel that are lanes of vectors."""
        return self.channels - THROUGH_UNIFORMS

    @property
    def vectors(self) -> int:
        return -(-self.rotated // LANES)

    @property
    def planes(self) -> int:
        """Of vectors, a lane of the last of which is zero."""
        return self.rotated // LANES + 1

    @property
    def parts(self) -> tuple[tuple[int, range], ...]:
        """What is stored together: (row, channels)."""
        if self.rows > 1:
            return tuple((row, range(self.channels)) for row in range(self.rows))
        half = self.channels // 2
        return (0, range(half)), (0, range(half, self.channels))

    def words_before_stream(self) -> int:
        return STEP_WORDS * (self.in_step > 0) + 5 + self.input_rows + self.vectors + 1

    def words_behind_stream(self, *, clamped: bool, residual: bool) -> int:
        return (3 + self.rows) * residual + 2 * clamped + 3 * PIECES * len(self.parts) + 1


def first_offset(input_channels: int) -> int:
    """What the counter starts with: bytes, up to 0 in the loop."""
    return -LINE_BYTES * input_channels


def first_request(input_channels: int) -> int:
    """Bytes that an address of input lines lies behind its first one: the counter and one channel before use."""
    return LINE_BYTES * (input_channels + 1)


def first_vector(input_channels: int) -> int:
    """The same of vectors."""
    return LINE_BYTES * input_channels


@dataclass
class _Registers:
    sums: list[list[Register]]  # [row][channel]
    lines: list[Register]
    addresses: list[Register]
    vectors: list[Register]
    offset: Register
    step: Register
    tile: Register
    high: Register
    rest: list[Register]

    @staticmethod
    def of(form: Form) -> _Registers:
        """Raises ScheduleError where registers lack."""
        pool = RegisterPool()
        lines = [pool.take("b") for _ in range(form.lines)]  # they meet uniforms, which come through port A
        sums = [[pool.take("b") for _ in range(THROUGH_UNIFORMS)] for _ in range(form.rows)]
        addresses = [pool.take("b") for _ in range(form.lines)]  # they meet the counter
        vectors = [pool.take("b") for _ in range(form.vectors)]
        offset, step = pool.take("a"), pool.take("b")
        # The last row's are added beside rotations into r5, which goes through file B.
        sums[-1] += [pool.take("a") for _ in range(form.rotated)]
        for row in sums[:-1]:
            row += [pool.take() for _ in range(form.rotated)]
        tile, high = pool.take(), pool.take()
        return _Registers(sums, lines, addresses, vectors, offset, step, tile, high, pool.rest())

    @property
    def free_at_store(self) -> list[Register]:
        return [*self.rest, *self.addresses, *self.lines, *self.vectors, self.offset]

    @property
    def results(self) -> list[Register]:
        return [register for row in self.sums for register in row]


@cache
def separable_kernel(form: Form, epilogue: Expression | None = None, *, residual: bool = False) -> Assembler:
    """Code for a form; raises ScheduleError where registers, rows of the VPM or the TMUs' queues lack."""
    if not 1 <= form.rows <= MOST_ROWS or form.lines > MOST_LINES or form.vectors > MOST_VECTORS:
        raise ScheduleError(
            f"{form.rows} rows of {form.channels} channels: at most {MOST_ROWS} rows, whose inputs are at most "
            f"{MOST_LINES} lines of a channel, and {THROUGH_UNIFORMS + MOST_VECTORS * LANES} channels"
        )
    if form.channels <= THROUGH_UNIFORMS or form.rows * form.channels > VPM_ROWS:
        raise ScheduleError(
            f"{form.rows} rows of {form.channels} channels: a tile has more than {THROUGH_UNIFORMS} channels, and at "
            f"most {VPM_ROWS} lines"
        )
    r = _Registers.of(form)
    results = Results.of(r.results, epilogue, (UNIFORM, UNIFORM), r.free_at_store, residual=residual)
    k = Assembler()
    k.mov(r.tile, UNIFORM)
    k.mov(r.high, UNIFORM)
    k.load(r.step, LINE_BYTES)
    k.label("tile")
    _start(k, r, form)
    k.verbatim("channels")
    _Channel(k, r, form).emit()
    k.branch("channels", "any_ns")
    k.label("drain")
    for number in range(form.lines + form.vectors):
        k.load_tmu(number % 2)
    results.load_constants(k)
    k.label("store")
    stream_from(k, r.tile)
    advance(k, r.tile, form.words_behind_stream(clamped=bool(results.bounds), residual=residual))
    results.compute(k)
    if residual:
        _add_residual(k, r, form)
    results.compute_low(k)
    _store(k, r, form, results)
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _meet(k: Assembler, qpus: int) -> None:
    """Waits for all QPUs, as the linker's barrier does: tiles of even and of odd numbers have tokens of their own."""
    gathers, odd = R1, R2
    k.label("meet")
    k.mov(NULL, gathers, set_flags=True)
    k.branch("gathers", "any_zc")
    k.label("arrives")
    k.release(ARRIVE)
    k.mov(NULL, odd, set_flags=True)
    k.branch("odd", "any_zc")
    k.acquire(DEPART[0])
    k.branch("met")
    k.label("odd")
    k.acquire(DEPART[1])
    k.branch("met")
    k.label("gathers")
    for _ in range(qpus - 1):
        k.acquire(ARRIVE)
    k.mov(NULL, odd, set_flags=True)
    k.branch("gathers_odd", "any_zc")
    for _ in range(qpus - 1):
        k.release(DEPART[0])
    k.branch("met")
    k.label("gathers_odd")
    for _ in range(qpus - 1):
        k.release(DEPART[1])
    k.label("met")


def _start(k: Assembler, r: _Registers, form: Form) -> None:
    stream_from(k, r.tile)
    advance(k, r.tile, form.words_before_stream())
    columns = _columns(k, r, form)
    gap, base, outside = r.results[3:6]
    for register in (gap, base, outside):
        k.mov(register, UNIFORM)
    addresses = iter(r.addresses)
    for _ in range(form.input_rows):
        k.mov(R3, UNIFORM)
        for column in columns:
            address = next(addresses)
            k.op("add", R0, R3, column, set_flags=True)
            _line_address(k, R0, gap, base, address)
            k.mov(address, outside, condition="ns")
    lane_bytes(k, R0)
    for vector in r.vectors:
        k.op("add", vector, R0, UNIFORM)
    k.mov(R3, UNIFORM)
    if form.in_step:
        k.mov(R1, UNIFORM)
        k.mov(R2, UNIFORM)
    stream_from(k, R3)
    for sums in zip(*r.sums, strict=True):
        k.mov(R0, UNIFORM)
        for register in sums:
            k.mov(register, R0)
    k.mov(r.offset, UNIFORM)
    k.op("sub", R0, r.offset, r.step)
    for number, address in enumerate(r.addresses):
        k.op("add", TMU_S[number % 2], R0, address)
    for number, (line, address) in enumerate(zip(r.lines, r.addresses, strict=True)):
        k.load_tmu(number % 2)
        k.mov(line, R4)
        k.op("add", TMU_S[number % 2], r.offset, address)
    for number, vector in enumerate(r.vectors, form.lines):
        k.op("add", TMU_S[number % 2], r.offset, vector)
    if form.in_step:
        _meet(k, form.in_step)


def _columns(k: Assembler, r: _Registers, form: Form) -> list[Register]:
    """Input columns of the lanes, `OUTSIDE` where there is none: of the left taps, and with stride 2 of the middle."""
    width, *columns = r.results[: form.stride + 1]
    k.mov(R3, ELEMENT)
    if form.stride > 1:
        k.op("add", R3, R3, R3)
    k.op("add", R3, R3, UNIFORM)
    k.mov(width, UNIFORM)
    k.load(R2, OUTSIDE)
    for number, column in enumerate(columns):
        k.op("add", R0, R3, number, set_flags=True)
        k.op("sub", R1, width, R0)
        k.mov(R0, R2, condition="ns")
        k.op("sub", NULL, R1, 1, set_flags=True)
        k.mov(R0, R2, condition="ns")
        k.mov(column, R0)
    return columns


def _line_address(k: Assembler, pixel: Register, gap: Register, base: Register, address: Register) -> None:
    """Four bytes a pixel, and what lies between blocks."""
    k.op("shr", R1, pixel, 4)
    k.op("mul24", R1, R1, gap)
    k.op("shl", R2, pixel, 2)
    k.op("add", R1, R1, R2)
    k.op("add", address, R1, base)


def channel_instructions(form: Form) -> int:
    """Of the loop, with its branch, where the free slots of its sums hold all requests."""
    moved = (TAPS - form.stride) * (form.rows + 1 + (form.rows == 1))
    ends = max(form.lines, max(1 + form.rows, form.lines - 1) + form.rows * (form.low is not None))
    streamed = form.rows * (TAPS * TAPS + THROUGH_UNIFORMS)
    return 1 + streamed + moved + ends + 2 + form.rotated * (form.rows + 1) + 2


class _Channel:
    """The loop's instructions, in order: sums are added one instruction behind their products."""

    def __init__(self, k: Assembler, r: _Registers, form: Form) -> None:
        self._k, self._r, self._form = k, r, form
        self._sums = _SUMS[: form.rows]

    def emit(self) -> None:
        self._together(*(move(register, UNIFORM_A) for register in self._sums))
        pending = self._depthwise()
        self._clamp_and_receive(pending)
        self._pointwise()

    def _together(self, *operations: Operation | None, signal: str = "none") -> None:
        self._k.together(*(o for o in operations if o is not None), signal=signal)

    def _taps(self) -> list[list[tuple[int, int]]]:
        """By how far the sums have moved, the taps: (line of the first row of the tile, lines to that of the next)."""
        stride = self._form.stride
        if stride == 1:
            return [[(row, 1) for row in range(TAPS)] for _ in range(TAPS)]
        left_and_middle = [(row * stride + column, stride**2) for row in range(TAPS) for column in range(2)]
        return [left_and_middle, [(row * stride, stride**2) for row in range(TAPS)]]

    def _depthwise(self) -> Operation | None:
        """Returns the last sum."""
        pending: Operation | None = None
        phases = self._taps()
        for phase, taps in enumerate(phases):
            if phase:
                self._together(pending)
                pending = None
                if len(self._sums) == 1:
                    self._together()  # what is rotated was not written by the instruction before
                for register in self._sums:
                    self._together(operation("mov", register, register, rotate=1))
            for line, further in taps:
                for row, register in enumerate(self._sums):
                    weight = RELAY_A if row else UNIFORM_A
                    product = operation("fmul", R0, self._r.lines[line + further * row], weight)
                    last = phase == len(phases) - 1 and (line, row) == (taps[-1][0], len(self._sums) - 1)
                    self._together(pending, product, signal="load_tmu0" if last else "none")
                    pending = _sum(register)
        return pending

    def _clamp_and_receive(self, pending: Operation | None) -> None:
        """The last sum, both ends of the clamp, and the next channel's lines."""
        r, lines = self._r, self._form.lines
        adds: list[Operation | None] = [pending]
        adds += [operation("fmin", register, register, r.high) for register in self._sums]
        adds += [None] * (lines - 1 - len(adds))  # a small immediate stands where a signal does
        if self._form.low is not None:
            adds += [operation("fmax", register, register, self._form.low) for register in self._sums]
        for number in range(max(lines, len(adds))):
            beside = Operation("mov", "mul", r.lines[number], (R4,)) if number < lines else None
            signal = f"load_tmu{(number + 1) % 2}" if number < lines - 1 else "none"
            self._together(adds[number] if number < len(adds) else None, beside, signal=signal)

    def _requests(self) -> list[Operation]:
        """What the add ALU does in slots without a sum: the counter, the lines after next, the next vectors."""
        r = self._r
        found = [operation("add", r.offset, r.offset, r.step, set_flags=True)]
        for number, address in enumerate((*r.addresses, *r.vectors)):
            found.append(operation("add", TMU_S[number % 2], r.offset, address))
        return found

    def _pointwise(self) -> None:
        form, last_vector = self._form, LANES * (self._form.vectors - 1)
        load = [f"load_tmu{(form.lines + number) % 2}" for number in range(form.vectors)]
        pending: Operation | None = None
        for j in range(THROUGH_UNIFORMS):
            for row, register in enumerate(self._sums):
                product = operation("fmul", R0, register, RELAY_A if row else UNIFORM_A)
                self._together(pending, product, signal=load[0] if (j, row) == (0, 0) else "none")
                pending = _sum(self._r.sums[row][j])
        requests = self._requests()
        for i in range(form.rotated):
            lane = i % LANES
            if i == 0:
                self._together(pending, Operation("mov", "mul", R3, (R4,)))
                pending = None
                self._together(requests.pop(0))
            more = lane == LANES - 1 and i < form.rotated - 1
            self._together(pending, _broadcast(lane))
            free = move(R3, R4) if more else None
            # The queue of the last vector's TMU has room when the one before it is received.
            if free is None and requests and (len(requests) > 1 or i >= last_vector):
                free = requests.pop(0)
            for row, register in enumerate(self._sums):
                receive = row == 0 and lane == LANES - 2 and i < form.rotated - 2
                product = operation("fmul", R0, register, R5)
                self._together(free if row == 0 else pending, product, signal=load[1] if receive else "none")
                pending = _sum(self._r.sums[row][THROUGH_UNIFORMS + i])
            if more and len(self._sums) == 1:
                self._together(pending)
                pending = None
        self._together(pending)
        for request in requests:
            self._together(request)


def _sum(register: Register) -> Operation:
    return operation("fadd", register, register, R0)


def _broadcast(lane: int) -> Operation:
    """A lane of r3 to all lanes of r5: by rotation into lane 0."""
    if lane == 0:
        return Operation("mov", "mul", R5_ALL, (R3,))
    return operation("mov", R5_ALL, R3, rotate=LANES - lane)


def _add_residual(k: Assembler, r: _Registers, form: Form) -> None:
    """Adds what lies at the results' places in another tensor."""
    k.label("residual")
    last, gap, base = r.lines[0], *r.vectors[:1], r.offset
    k.mov(last, UNIFORM)
    k.mov(gap, UNIFORM)
    k.mov(base, UNIFORM)
    k.mov(R3, ELEMENT)
    k.op("sub", R3, R3, FIRST_LANE)
    k.op("max", R3, R3, 0)
    k.op("min", R3, R3, last)
    addresses = r.addresses[: form.rows]
    for address in addresses:
        k.op("add", R0, R3, UNIFORM)
        _line_address(k, R0, gap, base, address)
    add_lines(k, addresses, r.sums)


def _store(k: Assembler, r: _Registers, form: Form, results: Results) -> None:
    """Parts in VPM rows of their own, and the VPM given back once the last DMA has started, as `store_in_parts`."""
    k.label("vpm")
    k.mov(NULL, MUTEX)
    first = 0
    for number, (row, channels) in enumerate(form.parts):
        if number == 1:
            k.mov(NULL, DMA_STORE_WAIT)
        k.load(VPM_WRITE_SETUP, vpm_write_rows(first))
        results.write_high(k, r.sums[row][channels.start : channels.stop])
        for _ in range(PIECES):
            k.mov(NULL, DMA_STORE_WAIT)
            k.mov(VPM_WRITE_SETUP, UNIFORM)
            k.mov(VPM_WRITE_SETUP, UNIFORM)
            k.mov(DMA_STORE_ADDRESS, UNIFORM)
        first += len(channels)
    k.mov(MUTEX_RELEASE, 0)


def stored_rows(form: Form) -> Sequence[tuple[int, int]]:
    """Of each part the first VPM row, and how many."""
    first, found = 0, []
    for _, channels in form.parts:
        found.append((first, len(channels)))
        first += len(channels)
    return found
