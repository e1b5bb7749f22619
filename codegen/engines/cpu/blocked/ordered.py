"""Products for 32-bit ARM in inline assembly, an instruction each: their order stays, registers are the compiler's.

What is kept in registers is then known before a compiler sees the text: sums, the inputs of a tile and few weights.
Compilers left to themselves load and broadcast more at once than the 16 vector registers of NEON, or the 32 single
ones of VFP, hold, and spill sums. NEON's multiply-adds take one element of a register below q8 (`t` among constraints);
loads advance their pointers. VFP loads four weights at once, into registers that follow each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from codegen.engines.cpu.machine import FLOAT_BYTES, GUARDS, ORDERED_LANES, OrderedForm
from codegen.engines.cpu.source import fill

REGISTER_BYTES = ORDERED_LANES * FLOAT_BYTES
AHEAD_BYTES = 3072
MOST_OFFSET = 1020  # bytes, of a load of VFP from its base
_WEIGHTS = "s28", "s29", "s30", "s31"


class Read(NamedTuple):
    """A pixel whose channels lie where a C pointer points, and the bytes that the pointer then moves on."""

    pixel: int
    pointer: str
    advance: int | str


class Place(NamedTuple):
    """A pixel's input: so many elements behind a C pointer."""

    pixel: int
    pointer: str
    offset: int


def ordered_prologue(form: OrderedForm) -> str:
    """The statements as macros. May stand in a file several times."""
    return {"": "", "neon": _NEON_PROLOGUE, "vfp": _VFP_PROLOGUE}[form]


def either(form: OrderedForm, ordered: str, in_c: str) -> str:
    """The text with assembly where it is for the compiler's target, and what is C elsewhere."""
    return f"#if {GUARDS[form]}\n{ordered}\n#else\n{in_c}\n#endif"


def ordered_starts(form: OrderedForm, pixels: int, blocks: int, starts: Sequence[str]) -> str:
    """Declarations of the sums, of which those of a block begin with a C expression of type vec4."""
    vectors = "\n".join(f"const vec4 s{b} = {start};" for b, start in enumerate(starts))
    sums = [(p, b) for p in range(pixels) for b in range(blocks)]
    if form == "neon":
        return f"{vectors}\nvec4 {', '.join(f'a{p}_{b} = s{b}' for p, b in sums)};"
    names = (f"a{p}_{b}_{i} = s{b}[{i}]" for p, b in sums for i in range(ORDERED_LANES))
    return f"{vectors}\nfloat {', '.join(names)};"


def ordered_sums(form: OrderedForm, pixels: int, blocks: int) -> tuple[str, list[str]]:
    """The C type and the names of the sums."""
    names = [f"a{p}_{b}" for p in range(pixels) for b in range(blocks)]
    if form == "neon":
        return "vec4", names
    return "float", [f"{name}_{i}" for name in names for i in range(ORDERED_LANES)]


def ordered_ends(form: OrderedForm, pixels: int, blocks: int) -> str:
    """Makes the sums vectors where they are not."""
    if form == "neon":
        return ""
    parts = []
    for p in range(pixels):
        for b in range(blocks):
            values = ", ".join(f"a{p}_{b}_{i}" for i in range(ORDERED_LANES))
            parts.append(f"a{p}_{b} = {{{values}}}")
    return f"const vec4 {', '.join(parts)};"


def chained(pointer: str, places: Sequence[tuple[int, int]], then: int) -> list[Read]:
    """Reads of (pixel, element) places by one pointer, which is at the first and ends at element `then`."""
    ends = [*(offset for _, offset in places), then]
    steps = (FLOAT_BYTES * (after - before) for before, after in pairwise(ends))
    return [Read(pixel, pointer, step) for (pixel, _), step in zip(places, steps, strict=True)]


def neon_products(
    reads: Sequence[Read], blocks: int, channels: int, weights: str, gap: int, then: int
) -> Iterator[str]:
    """Statements: `channels` (up to four) of each read times the weights of as many blocks, added to the sums.

    The pointer `weights` moves on by `gap` elements from the last block of a channel to the first of the next, and by
    `then` behind the last channel's. Weights are loaded one ahead of their use.
    """
    order = [(c, b) for c in range(channels) for b in range(blocks)]
    steps = [REGISTER_BYTES + (gap * FLOAT_BYTES if b == blocks - 1 else 0) for _, b in order]
    steps[-1] = REGISTER_BYTES + then * FLOAT_BYTES
    names = [f"w{c}_{b}" for c, b in order]
    takes = [taken(name, weights, step) for name, step in zip(names, steps, strict=True)]
    yield f"vec4 {', '.join((*(f'v{read.pixel}' for read in reads), *names))};"
    yield takes[0]
    yield from (taken(f"v{read.pixel}", read.pointer, read.advance, is_input=True) for read in reads)
    for (c, b), name, following in zip(order, names, [*takes[1:], ""], strict=True):
        yield following
        yield " ".join(added(f"a{read.pixel}_{b}", name, f"v{read.pixel}", c) for read in reads)


def ahead(form: OrderedForm, pointer: str, line: int) -> str:
    """A statement that fetches the memory behind a pointer, of which `line` elements are fetched already."""
    if form == "vfp":  # which has no instruction for that to rely on
        return ""
    return f"EXPLORE_AHEAD({pointer}, {AHEAD_BYTES + line * FLOAT_BYTES});"


def taken(name: str, pointer: str, step: int | str, *, is_input: bool = False) -> str:
    """A load of NEON, behind which the pointer moves on by so many bytes."""
    kind = "EXPLORE_INPUT" if is_input else "EXPLORE_TAKE"
    return (
        f"{kind}({name}, {pointer});" if step == REGISTER_BYTES else f"{kind}_BY({name}, {pointer}, {step});"
    )


def added(total: str, weight: str, source: str, lane: int) -> str:
    """A multiply-add of NEON by one element of `source`."""
    return f'EXPLORE_ADD({total}, {weight}, {source}, "{"ef"[lane // 2]}", "{lane % 2}");'


def vfp_products(places: Sequence[Place], blocks: int, weights: str) -> Iterator[str]:
    """Statements: one channel of each place times the weights of as many blocks, added to the sums; `weights` moves on
    behind them.
    """
    registers = ", ".join(f'w{i} __asm__("{name}")' for i, name in enumerate(_WEIGHTS))
    yield f"register float {registers};"
    yield f"float {', '.join(f'v{place.pixel}' for place in places)};"
    loads = [_loaded(place) for place in places]
    for b in range(blocks):
        yield f"EXPLORE_TAKE4(w0, w1, w2, w3, {weights});"
        if b == 0:
            yield loads[0]
        for place, following in zip(places, [*loads[1:], ""], strict=True):
            if b == 0:
                yield following
            yield " ".join(
                f"EXPLORE_ADD(a{place.pixel}_{b}_{i}, w{i}, v{place.pixel});" for i in range(ORDERED_LANES)
            )


def _loaded(place: Place) -> str:
    pointer, offset = place.pointer, place.offset * FLOAT_BYTES
    if abs(offset) > MOST_OFFSET:
        pointer, offset = f"{pointer} + {place.offset}", 0
    return f"EXPLORE_LOAD(v{place.pixel}, {pointer}, {offset});"


_NEON_PROLOGUE = fill(
    r"""
    #if defined(__arm__) && defined(__ARM_NEON) && !defined(EXPLORE_TAKE)
    #define EXPLORE_TAKE(v, p) \
        __asm__ volatile("vld1.32 {%e0, %f0}, [%1]!" : "=w"(v), "+r"(p) : : "memory")
    #define EXPLORE_TAKE_BY(v, p, bytes) \
        __asm__ volatile("vld1.32 {%e0, %f0}, [%1], %2" : "=w"(v), "+r"(p) : "r"(bytes) : "memory")
    #define EXPLORE_AT(v, p) __asm__ volatile("vld1.32 {%e0, %f0}, [%1]" : "=w"(v) : "r"(p) : "memory")
    #define EXPLORE_MULTIPLIED(a, w, v) __asm__ volatile("vmla.f32 %q0, %q1, %q2" : "+w"(a) : "w"(w), "w"(v))
    #define EXPLORE_SUM(a, b) __asm__ volatile("vadd.f32 %q0, %q0, %q1" : "+w"(a) : "w"(b))
    #define EXPLORE_AHEAD(p, bytes) __asm__ volatile("pld [%0, %1]" : : "r"(p), "i"(bytes))
    #define EXPLORE_INPUT(v, p) \
        __asm__ volatile("vld1.32 {%e0, %f0}, [%1]!" : "=t"(v), "+r"(p) : : "memory")
    #define EXPLORE_INPUT_BY(v, p, bytes) \
        __asm__ volatile("vld1.32 {%e0, %f0}, [%1], %2" : "=t"(v), "+r"(p) : "r"(bytes) : "memory")
    #define EXPLORE_ADD(a, w, v, half, lane) \
        __asm__ volatile("vmla.f32 %q0, %q1, %" half "2[" lane "]" : "+w"(a) : "w"(w), "t"(v))
    #endif
    """
)
_VFP_PROLOGUE = fill(
    r"""
    #if defined(__arm__) && defined(__ARM_FP) && !defined(EXPLORE_TAKE4)
    #define EXPLORE_TAKE4(w0, w1, w2, w3, p) \
        __asm__ volatile("vldmia %4!, {%0-%3}" \
                         : "=t"(w0), "=t"(w1), "=t"(w2), "=t"(w3), "+r"(p) : : "memory")
    #define EXPLORE_LOAD(v, p, bytes) \
        __asm__ volatile("vldr %0, [%1, %2]" : "=t"(v) : "r"(p), "i"(bytes) : "memory")
    #define EXPLORE_ADD(a, w, v) __asm__ volatile("vmla.f32 %0, %1, %2" : "+t"(a) : "t"(w), "t"(v))
    #endif
    """
)
