"""The loop of `separable`: a tile's registers, and what is done with each input channel, for `modulo` to schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.engines.videocore4.assembler import move, operation
from codegen.engines.videocore4.layer import RegisterPool
from codegen.engines.videocore4.layout import LANES
from codegen.engines.videocore4.operation import Bundle, Operation
from codegen.engines.videocore4.registers import (
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
_SUMS = (R1, R2)
_TEMPORARIES = {1: (R0, R2), 2: (R0,)}  # of products, by rows


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


@dataclass
class Registers:
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
    def of(form: Form) -> Registers:
        """Raises ScheduleError where registers lack."""
        pool = RegisterPool()
        lines = [pool.take("b") for _ in range(form.lines)]  # they meet uniforms, which come through port A
        sums = [[pool.take("b") for _ in range(THROUGH_UNIFORMS)] for _ in range(form.rows - 1)]
        last = [pool.take("b") for _ in range(THROUGH_UNIFORMS - 2)]
        sums.append([pool.take("a"), *last, pool.take("a")])  # beside products of lanes
        addresses = [pool.take("b") for _ in range(form.lines)]  # they meet the counter
        vectors = [pool.take("b") for _ in range(form.vectors)]
        offset, step = pool.take("a"), pool.take("b")
        # The last row's are added beside rotations into r5, which goes through file B, and those of the first row
        # beside products that go to a line's register.
        sums[-1] += [pool.take("a") for _ in range(form.rotated)]
        for row in sums[:-1]:
            beside = {i: pool.take("a") for i in (0, 1, LANES, LANES + 1) if i < form.rotated}
            row += [beside.get(i) or pool.take() for i in range(form.rotated)]
        tile, high = pool.take(), pool.take()
        return Registers(sums, lines, addresses, vectors, offset, step, tile, high, pool.rest())

    @property
    def queued(self) -> list[tuple[int, Register]]:
        """Addresses by their numbers, which tell the TMU, in the order in which a channel's requests are received.

        Lines come behind the vectors, but before a second one of a single row, which is received late.
        """
        lines = list(enumerate(self.addresses))
        vectors = list(enumerate(self.vectors, len(lines)))
        late = 1 if len(self.sums) == 1 else len(vectors)
        return [*vectors[:late], *lines, *vectors[late:]]

    @property
    def free_at_store(self) -> list[Register]:
        return [*self.rest, *self.addresses, *self.lines, *self.vectors, self.offset]

    @property
    def results(self) -> list[Register]:
        return [register for row in self.sums for register in row]


def channel_instructions(form: Form) -> int:
    """Of the loop, with its branch, within a few: either the multiplier is busy or the other ALU."""
    sums = form.rows * (TAPS * TAPS + form.channels)
    moved = (TAPS - form.stride) * form.rows
    copies_and_requests = 3 + 2 * (form.lines + form.vectors)
    clamps = form.rows * (1 + (form.low is not None))
    idle = 1 if form.rows > 1 else 5  # of the multiplier, where sums are clamped
    return 1 + max(sums + moved + form.rotated + idle, sums + clamps + copies_and_requests + 3)


class Channel:
    """What the loop does with a channel, in an order in which it is right; the scheduler overlaps its iterations.

    Products meet their sums through r0, so that they follow each other in this order. Where the add ALU is wanted
    otherwise, a line's register has a product of the second row until the line is received.
    """

    def __init__(self, r: Registers, form: Form) -> None:
        self._r, self._form = r, form
        self._sums = _SUMS[: form.rows]
        self._temporaries = _TEMPORARIES[form.rows]
        self._items: list[Bundle] = []
        self._products = 0

    @property
    def _second_first(self) -> bool:
        """Whether the lanes of the second vector come before those of the first: its first is more than lane 0."""
        return self._form.rows > 1 and self._form.rotated > LANES + 1

    def items(self) -> list[Bundle]:
        self._depthwise()
        self._clamp()
        self._pointwise()
        return self._items

    def _do(self, *operations: Operation, signal: str = "none") -> None:
        self._items.append(Bundle(operations, signal))

    def _do_each(self, operations: Sequence[Operation]) -> None:
        for one in operations:
            self._do(one)

    def _receive(self, tmu: int, *places: Register) -> None:
        self._do(signal=f"load_tmu{tmu % 2}")
        for place in places:
            self._do(move(place, R4))

    def _taps(self) -> list[list[tuple[int, int]]]:
        """By how far the sums have moved, the taps: (line of the first row of the tile, lines to that of the next)."""
        stride = self._form.stride
        if stride == 1:
            return [[(row, 1) for row in range(TAPS)] for _ in range(TAPS)]
        left_and_middle = [(row * stride + column, stride**2) for row in range(TAPS) for column in range(2)]
        return [left_and_middle, [(row * stride, stride**2) for row in range(TAPS)]]

    def _temporary(self) -> Register:
        self._products += 1
        return self._temporaries[self._products % len(self._temporaries)]

    def _depthwise(self) -> None:
        """The first line of vectors is received meanwhile, once the bias in the same register is added."""
        first = True
        for phase, taps in enumerate(self._taps()):
            for line, further in taps:
                moves = phase > 0 and line == taps[0][0]
                for row, register in enumerate(self._sums):
                    place = self._temporary()
                    self._do(
                        operation(
                            "fmul", place, self._r.lines[line + further * row], RELAY_A if row else UNIFORM_A
                        )
                    )
                    if moves and row == 0:
                        for moved in self._sums:
                            self._do(operation("mov", moved, moved, rotate=1))
                    self._do(operation("fadd", register, R3 if first else register, place))
                first = False
            if phase == 0:
                self._receive(self._form.lines + self._second_first, R3)

    def _clamp(self) -> None:
        for register in self._sums:
            self._do(operation("fmin", register, register, self._r.high))
            if self._form.low is not None:
                self._do(operation("fmax", register, register, self._form.low))

    def _pointwise(self) -> None:
        """The weight of a lane comes first, as soon as a row's sum is there. Behind products of uniforms, which leave
        r5 alone, the add ALU has time for those of lane 0, if a product before them is added later.
        """
        form, r = self._form, self._r
        rows, second = form.rows, form.rotated - LANES
        first = 1 if form.rotated > 1 else 0
        by_lane_0 = [(0, R3)][:first]
        if self._second_first:
            first, by_lane_0 = LANES + 1, [(LANES, R3), (0, R4)]
        elif rows > 1 and second == 1:
            by_lane_0.insert(0, (LANES, R4))
        self._do(_broadcast(first % LANES, R3))
        spare = iter(reversed(r.lines))
        for row in range(rows):
            self._product(row, 0, RELAY_A if row else UNIFORM_A)
            self._product(row, THROUGH_UNIFORMS + first, R5, next(spare) if rows > 1 else None)
        streamed = iter(range(1, THROUGH_UNIFORMS))
        for number, (i, vector) in enumerate(by_lane_0, 1):
            if vector == R4:
                self._do(signal=f"load_tmu{(form.lines + i // LANES) % 2}")
            self._do(move(R5_ALL, vector))
            self._streamed(next(streamed))
            for row in range(rows):
                waits = row > 0 and (number < len(by_lane_0) or vector == R4)
                self._product(row, THROUGH_UNIFORMS + i, R5, next(spare) if waits else None)
            if vector == R4 and i == 0:
                self._do(move(R3, R4))
        for j in streamed:
            self._streamed(j)
        done = {first, *(i for i, _ in by_lane_0)}
        rest = [i for i in range(form.rotated) if i not in done]
        vectors, lines = self._requests()
        self._do_each(vectors)
        for number, line in enumerate(r.lines):
            self._receive(number, line)
        self._do_each(lines[: form.lines])
        for i in rest:
            if i == LANES:
                self._receive(form.lines + 1, R5_ALL, R3)
                self._do_each(lines[form.lines :])
            else:
                self._do(_broadcast(i % LANES, R3))
            for row in range(rows):
                self._product(row, THROUGH_UNIFORMS + i, R5)
        self._do(move(R3, UNIFORM))  # the next channel's bias

    def _streamed(self, channel: int) -> None:
        for row in range(self._form.rows):
            self._product(row, channel, RELAY_A if row else UNIFORM_A)

    def _product(self, row: int, channel: int, weight: Register, place: Register | None = None) -> None:
        place = place or self._temporary()
        self._do(operation("fmul", place, self._sums[row], weight))
        self._do(operation("fadd", self._r.sums[row][channel], self._r.sums[row][channel], place))

    def _requests(self) -> tuple[list[Operation], list[Operation]]:
        """The counter and the next channel's vectors, which are received soon; the lines after next, and the rest."""
        r = self._r
        queued = [operation("add", TMU_S[n % 2], r.offset, address) for n, address in r.queued]
        vectors = r.queued.index((0, r.addresses[0]))
        counter = operation("add", r.offset, r.offset, r.step, set_flags=True)
        return [counter, *queued[:vectors]], queued[vectors:]


def _broadcast(lane: int, vector: Register) -> Operation:
    """A lane to all lanes of r5: by rotation into lane 0."""
    return operation("mov", R5_ALL, vector, rotate=LANES - lane) if lane else move(R5_ALL, vector)
