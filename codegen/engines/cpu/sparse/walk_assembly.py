"""Assembly of AArch64 that walks a pattern, in an order for a core that issues in order: loads among products.

On a Cortex-A53 no vector load issues beside a product of four floats, nor four cycles behind one
(`blocked/cyclic_schedule.py`). An operand comes in halves: the upper one into a general register beside a product, the
lower one as a vector in a cycle in which the upper half of another operand is inserted. Every four cycles have two
products and two operands, as many as the path of 64 bits to the first cache lets through. Operands of an entry are
loaded behind the products of the entry before, over the ends of rows too.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from codegen.engines.cpu.blocked.tile_results import Results
from codegen.engines.cpu.sparse.pattern import ENTRY_WORDS

MOST_VECTORS = 14  # sums and operands: what the weight and two limits leave of 32 registers
VECTOR_BYTES = 16
LINE_BYTES = 64
ENTRY_BYTES = 4 * (ENTRY_WORDS + 1)
ENTRIES_FETCHED = 48  # ahead of those that are read: longer than memory takes
CHANNELS = 4  # of a block of the channel-blocked layout, of which a result has one
WEIGHT, HIGH, LOW = 31, 30, 29
UPPER = ("x9", "x10", "x11", "x12")  # halves on their way
NEXT, LATER, FETCHED = "x13", "x14", "x16"  # the entry behind this one; a later one; where its operands lie
ROW, ENTRIES, PLACE = "x15", "x17", "x8"


@dataclass(frozen=True)
class WalkShape:
    """`vectors` of pixels of an output in registers, of which `results` are stored. `fetches`: operands are fetched
    into the first cache an entry before they are loaded. `blocks`: how often rows are walked; in between their sums are
    in memory.
    """

    vectors: int
    fetches: bool
    blocks: int
    results: Results

    @property
    def ahead(self) -> int:
        """Entries that are read before they are walked."""
        return 3 + self.fetches

    @property
    def operands(self) -> range:
        """Their registers, behind those of the sums."""
        return range(self.vectors, 2 * self.vectors)


def walk_assembly(shape: WalkShape) -> list[str]:
    """Instructions that walk the rows of a block.

    Operands: `x`, operands of the tile; `heads` and `e`, of rows and entries; `rows`, how many; `next`, any; `bias`;
    `y`, results of the tile, `plane` bytes from channel to channel; of several blocks `sums`, and `first` and `last`,
    whether it is. `e` ends `ahead` entries behind the last, which are read and have no effect.
    """
    return [
        *_limits(shape.results),
        *_first_entry(shape),
        "1:",
        f"ldp w{ROW[1:]}, w{ENTRIES[1:]}, [%[heads]], #8",
        *_starts(shape),
        f"cbz {ENTRIES}, 3f",
        "2:",
        *_entry(shape),
        f"cbnz {ENTRIES}, 2b",
        "3:",
        *_ends(shape),
        "sub %[rows], %[rows], #1",
        "cbnz %[rows], 1b",
    ]


def transposition_assembly(pixels: int) -> list[str]:
    """Instructions that store a block of channels of so many pixels at `x` channel by channel at `to`; what lies at
    `fetch`, as much, is fetched into the first cache.

    All three are read; a load that nobody waits for fetches.
    """
    lines: list[str] = []
    stores: list[str] = []
    for group in range(pixels // CHANNELS):
        first = group * CHANNELS % 24
        place = group * CHANNELS * VECTOR_BYTES
        lines.append(f"ld4 {{v{first}.4s-v{first + CHANNELS - 1}.4s}}, [%[x]], #{CHANNELS * VECTOR_BYTES}")
        lines += [f"ldr xzr, [%[fetch], #{place}]", *stores]
        places = (4 * pixels * channel + group * VECTOR_BYTES for channel in range(CHANNELS))
        stores = [f"str q{first + channel}, [%[to], #{at}]" for channel, at in enumerate(places)]
    return [*lines, *stores]


def walk_clobbers() -> tuple[str, ...]:
    """What the instructions change, operands apart."""
    general = (*UPPER, NEXT, LATER, FETCHED, ROW, ENTRIES, PLACE)
    return (*(f"v{number}" for number in range(WEIGHT + 1)), *general, "cc", "memory")


def _entry(shape: WalkShape) -> list[str]:
    """Its products, and operands of the next one; a branch issues beside the last instruction."""
    lines, last = [], shape.vectors - 1
    for vector, operand in enumerate(shape.operands):
        lines += [f"fmla v{vector}.4s, v{operand}.4s, v{WEIGHT}.s[1]", _upper(vector)]
        if vector % 2:
            counted = f"sub {ENTRIES}, {ENTRIES}, #1"
            lines += [_lower(shape, vector - 1), _inserted(shape, vector - 2) if vector > 1 else counted]
            lines += [_lower(shape, vector), _inserted(shape, vector - 1)]
    weight = f"fmov d{WEIGHT}, {NEXT}"
    if shape.vectors % 2:
        before = _inserted(shape, last - 1) if last else f"sub {ENTRIES}, {ENTRIES}, #1"
        lines += [before, weight, _lower(shape, last)]
    else:
        lines += [_inserted(shape, last), weight]
    lines += _advance(shape)
    return [*lines[:-1], _inserted(shape, last), lines[-1]] if shape.vectors % 2 else lines


def _advance(shape: WalkShape) -> list[str]:
    """The entry behind the next one, and where its operands lie."""
    stream = f"prfm pldl1strm, [%[e], #{ENTRIES_FETCHED * ENTRY_BYTES}]"
    later = f"ldr {LATER}, [%[e]], #{ENTRY_BYTES}"
    if not shape.fetches:
        return [f"mov {NEXT}, {LATER}", f"add %[next], %[x], w{NEXT[1:]}, uxtw", stream, later]
    size = shape.vectors * VECTOR_BYTES
    places = list(range(LINE_BYTES, size, LINE_BYTES))
    latest = LINE_BYTES - math.gcd(
        size, LINE_BYTES
    )  # bytes from a line to the operands, which lie `size` apart
    if -(-(latest + size) // LINE_BYTES) > 1 + len(places):
        places.append(size - VECTOR_BYTES // 2)
    return [
        f"ldr {NEXT}, [%[e], #{-2 * ENTRY_BYTES}]",
        f"mov %[next], {FETCHED}",
        stream,
        f"add {FETCHED}, %[x], w{LATER[1:]}, uxtw",
        later,
        f"ldr xzr, [{FETCHED}]",
        *(f"prfm pldl1keep, [{FETCHED}, #{place}]" for place in places),
    ]


def _upper(vector: int) -> str:
    return f"ldr {UPPER[vector % 4]}, [%[next], #{vector * VECTOR_BYTES + VECTOR_BYTES // 2}]"


def _lower(shape: WalkShape, vector: int) -> str:
    return f"ldr d{shape.operands[vector]}, [%[next], #{vector * VECTOR_BYTES}]"


def _inserted(shape: WalkShape, vector: int) -> str:
    return f"ins v{shape.operands[vector]}.d[1], {UPPER[vector % 4]}"


def _first_entry(shape: WalkShape) -> list[str]:
    """Its weight and operands; the next entries are on their way."""
    place = f"add {{}}, %[x], w{NEXT[1:]}, uxtw"
    taken = f"ldr {NEXT}, [%[e]], #{ENTRY_BYTES}"
    lines = [taken, place.format("%[next]"), f"fmov d{WEIGHT}, {NEXT}"]
    lines += [f"ldr q{operand}, [%[next], #{i * VECTOR_BYTES}]" for i, operand in enumerate(shape.operands)]
    lines += [taken, place.format("%[next]"), f"ldr {LATER}, [%[e]], #{ENTRY_BYTES}"]
    if shape.fetches:
        lines += [f"add {FETCHED}, %[x], w{LATER[1:]}, uxtw", f"ldr {LATER}, [%[e]], #{ENTRY_BYTES}"]
    return lines


def _limits(results: Results) -> list[str]:
    lines = []
    for value, register in ((results.low, LOW), (results.high, HIGH)):
        if value is not None:
            (bits,) = struct.unpack("<I", struct.pack("<f", value))
            lines += [f"mov w{PLACE[1:]}, #{bits & 0xFFFF}", f"movk w{PLACE[1:]}, #{bits >> 16}, lsl #16"]
            lines.append(f"dup v{register}.4s, w{PLACE[1:]}")
    return lines


def _starts(shape: WalkShape) -> list[str]:
    """Sums begin with the bias, or with what they were at the end of the block before."""
    begun = [
        f"add {PLACE}, %[bias], {ROW}, lsl #2",
        f"ld1r {{v0.4s}}, [{PLACE}]",
        *(f"mov v{vector}.16b, v0.16b" for vector in range(1, shape.vectors)),
    ]
    if shape.blocks == 1:
        return begun
    kept = [*_kept(shape), *(f"ldr q{i}, [{PLACE}, #{i * VECTOR_BYTES}]" for i in range(shape.vectors))]
    return ["cbnz %w[first], 6f", *kept, "b 7f", "6:", *begun, "7:"]


def _ends(shape: WalkShape) -> list[str]:
    if shape.blocks == 1:
        return _results(shape)
    kept = [*_kept(shape), *(f"str q{i}, [{PLACE}, #{i * VECTOR_BYTES}]" for i in range(shape.vectors))]
    return ["cbnz %w[last], 6f", *kept, "b 7f", "6:", *_results(shape), "7:"]


def _kept(shape: WalkShape) -> list[str]:
    """Where a row's sums are between two blocks."""
    return [f"mov {UPPER[0]}, #{shape.vectors * VECTOR_BYTES}", f"madd {PLACE}, {ROW}, {UPPER[0]}, %[sums]"]


def _results(shape: WalkShape) -> list[str]:
    vectors, lines = range(shape.vectors), []
    if shape.results.low is not None:
        lines += [f"fmax v{i}.4s, v{i}.4s, v{LOW}.4s" for i in vectors]
    if shape.results.high is not None:
        lines += [f"fmin v{i}.4s, v{i}.4s, v{HIGH}.4s" for i in vectors]
    place = f"madd {PLACE}, {ROW}, %[plane], %[y]"
    return [*lines, place, *(f"str q{i}, [{PLACE}, #{i * VECTOR_BYTES}]" for i in vectors)]
