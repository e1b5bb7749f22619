"""What tells one kernel of an expansion and its depthwise convolution from another, and the steps that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from codegen.engines.videocore4.kernels.pieces import VPM_ROWS
from codegen.engines.videocore4.kernels.window import QUEUE_DEPTH
from codegen.engines.videocore4.layout import LANES

TAPS = 3  # of a row and of a column of the window
KEPT_BY = 1  # the TMU that reads what is kept
KEPT_ROW = LANES  # of the VPM, behind the columns of results
KEPT_ROWS = 4  # of a QPU
WRITES, STORES, OUTPUT, KEPT, NEXT_TASK = range(5)  # words of a task that a line has
SUMS = 4  # T_0 to T_3
MOST_ROWS = VPM_ROWS // LANES
MOST_PIXELS = LANES
LEAST_CHANNELS, MOST_CHANNELS = 5, 2 * LANES
_LOOP_INSTRUCTIONS = 330
_PERIODS = (4, 8, LANES)


@dataclass(frozen=True)
class Vector:
    """Input channels that a lane gathers: `channels` from `first` on, repeated every `period` lanes."""

    first: int
    channels: int

    @property
    def period(self) -> int:
        return min(p for p in _PERIODS if p >= self.channels)

    @property
    def rotations(self) -> int:
        """Of the vector, by 4 lanes each, the one by none among them."""
        return self.period // SUMS

    def channel(self, lane: int) -> int:
        """That of a lane; of those without one the last."""
        return self.first + min(lane % self.period, self.channels - 1)


def vectors_of(channels: int) -> tuple[Vector, ...]:
    """Of so many input channels."""
    return tuple(Vector(first, min(LANES, channels - first)) for first in range(0, channels, LANES))


def input_rows(rows: int, stride: int) -> int:
    """Of a band of so many output rows."""
    return (rows - 1) * stride + TAPS


@dataclass(frozen=True)
class Pixel:
    """One that a step expands: its row among the band's input rows, and its column among those of the step."""

    row: int
    column: int


@dataclass(frozen=True)
class Tap:
    """What a pixel's expansion is multiplied by (`weight`, row-major), and the sum of an output row that it goes to.

    `sum`: 0 the one that is finished in this step, then those that need one step more each. `first`: it is this step's
    first of the sum, which until then belonged to the step before; `begins`: of the output at all.
    """

    weight: int
    row: int
    sum: int
    first: bool
    begins: bool


@dataclass(frozen=True)
class Form:
    """What tells one kernel from another. `tmus`: of each of a band's input rows which TMU gathers each vector. `own`:
    whether every QPU has columns of the VPM of its own, in bands of one row.
    """

    channels: int
    stride: int
    rows: int
    pixels: int
    tmus: tuple[tuple[int, ...], ...]
    own: bool = False
    once: bool = False

    @cached_property
    def vectors(self) -> tuple[Vector, ...]:
        return vectors_of(self.channels)

    @property
    def weights(self) -> tuple[tuple[int, int, int], ...]:
        """Of the expansion: (vector, q, s), in the order in which they lie in memory."""
        return tuple(
            (v, q, s)
            for v, vector in enumerate(self.vectors)
            for q in range(vector.rotations)
            for s in range(SUMS)
        )

    @cached_property
    def turns(self) -> tuple[tuple[int, int], ...]:
        """(vector, q), in order."""
        return tuple((v, q) for v, vector in enumerate(self.vectors) for q in range(vector.rotations))

    @property
    def turn_of_taps(self) -> int:
        """The number of the turn behind whose rotation the window's products of the pixel before stand."""
        return min(2, len(self.turns) - 1)

    @property
    def free_slots(self) -> tuple[tuple[int, int], ...]:
        """Turns behind that one that begin with a rotation, beside whose first product there is no addition."""
        return tuple((v, q) for v, q in self.turns[self.turn_of_taps + 1 :] if q)

    @property
    def input_rows(self) -> int:
        return input_rows(self.rows, self.stride)

    @property
    def rows_stored(self) -> int:
        """Of a band."""
        return 1 if self.once else self.rows

    @property
    def sums(self) -> int:
        """Of an output row that are under way between steps."""
        return 1 if self.stride > 1 else 2

    @cached_property
    def step(self) -> tuple[Pixel, ...]:
        """Pixels of a step, in order."""
        rows = range(self.stride, 2 * self.stride) if self.once else range(self.input_rows)
        return tuple(Pixel(row, column) for row in rows for column in range(self.stride))

    def taps(self, pixel: Pixel) -> list[Tap]:
        """Those of a pixel, in an order in which no sum is written before it has been read."""
        found = []
        for column in reversed(range(pixel.column, TAPS, self.stride)):
            for row in range(self.rows):
                own = pixel.row - self.stride * row
                if 0 <= own < TAPS:
                    late = (TAPS - 1 - column + pixel.column) // self.stride
                    top = self.stride if self.once and row == 0 else 0
                    begins = own == top and column == 0
                    first = own == top and column != 1 if self.stride > 1 else own == 0
                    found.append(Tap(TAPS * own + column, row, late, first, begins))
        return found

    def gathered_by(self, number: int) -> tuple[int, ...]:
        """Which TMU gathers each vector of a pixel of a step."""
        return self.tmus[self.step[number % len(self.step)].row]

    @property
    def requested_in(self) -> tuple[tuple[int, int], ...]:
        """Of each vector of the pixel `ahead` the turn in which it is asked for."""
        if len(self.free_slots) >= len(self.vectors):
            return self.free_slots[: len(self.vectors)]
        return (self.turns[self.turn_of_taps],) * len(self.vectors)

    @cached_property
    def ahead(self) -> int:
        """How much further the pixel is that is asked for: so that no TMU gathers more than its queue has room for."""
        return max(
            ahead
            for ahead in range(1 + (len(self.step) if self.once else 2 * QUEUE_DEPTH))
            if self._most_under_way(ahead) <= QUEUE_DEPTH - self.once
        )

    def _most_under_way(self, ahead: int) -> int:
        """Gathered by a TMU at the same time."""
        most = 0
        for number in range(len(self.step)):
            between = [self.gathered_by(number + further) for further in range(1, ahead)]
            asked = self.gathered_by(number + ahead)
            for v, (received, _) in enumerate(self.requested_in):
                tmus = [tmu for tmus in between for tmu in tmus]
                tmus += [*self.gathered_by(number)[received + 1 :], *asked[: v + 1]]
                most = max(most, tmus.count(asked[v]))
        return most

    @property
    def asks_kept(self) -> int:
        """The pixel of a step in which what is kept for the next one is asked for, to be received with its first."""
        return -self.ahead % len(self.step)

    @property
    def unrolled(self) -> int:
        """Steps of a pass of the loop."""
        fits = 2 * step_instructions(self) <= _LOOP_INSTRUCTIONS and self.pixels % 2 == 0 and not self.once
        return 2 if fits else 1


def step_instructions(form: Form) -> int:
    """Of a step, where nothing but products and rotations counts."""
    rotations = sum(vector.rotations - 1 for vector in form.vectors) + 3
    return len(form.step) * (len(form.weights) + rotations) + TAPS * TAPS * (1 if form.once else form.rows)
