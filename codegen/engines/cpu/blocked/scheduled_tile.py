"""Assembly of AArch64 for the register tile of a pointwise convolution, scheduled for a core that issues in order:
its loads stand among its products as `cyclic_schedule` puts them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from codegen.engines.cpu.blocked.cyclic_schedule import Operation, Schedule, Value, schedule
from codegen.engines.cpu.blocked.tile_results import RESULT_CLOBBERS, Results, result_lines
from codegen.engines.cpu.machine import FLOAT_BYTES
from codegen.engines.cpu.partial_sums import Parts
from codegen.engines.cpu.source import fill

REGISTERS = 32
CHANNELS = 4  # of a block: elements of a register that products take one of
REGISTER_BYTES = 16
GROUP = (
    4  # pixels that products go over before the next channel: longer than a sum takes to be added to again
)
MOST_OFFSET = 4096  # bytes: of halves of registers from their base
MOST_PREFETCH = 32760
LINE_BYTES = 64
WEIGHT_STEPS = 4  # that weights are fetched ahead: longer than memory takes
TEMPORARIES = ("x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17")


@dataclass(frozen=True)
class TileShape:
    """`pixels` by `blocks` of sums; inputs lie `stride` bytes apart, their blocks of channels `step` bytes. `fetched`
    bytes that a later tile reads are fetched beside each block of inputs; 0: weights of blocks to come.
    """

    pixels: int
    blocks: int
    stride: int
    step: int
    fetched: int = 0

    @property
    def sums(self) -> int:
        return self.pixels * self.blocks

    def total(self, pixel: int, block: int) -> int:
        """Register of a sum."""
        return pixel * self.blocks + block


def can_schedule(shape: TileShape) -> bool:
    """Whether registers suffice, offsets fit instructions, and every load has a place between products."""
    return shape.pixels * shape.stride <= MOST_OFFSET and _scheduled(shape) is not None


@cache
def _scheduled(shape: TileShape) -> Schedule | None:
    if shape.sums >= REGISTERS:
        return None
    weights = [
        Value("%[w]", offset, "%[w]", offset + _weight_bytes(shape))
        for offset in range(0, _weight_bytes(shape), REGISTER_BYTES)
    ]
    inputs = [
        Value("%[x]", offset, "%[next]", offset)
        for offset in range(0, shape.pixels * shape.stride, shape.stride)
    ]
    return schedule(
        _products(shape),
        [*weights, *inputs],
        range(shape.sums, REGISTERS),
        _prefetches(shape),
        _moves(shape),
        TEMPORARIES,
    )


def tile_assembly(shape: TileShape, parts: Parts, results: Results | None = None) -> list[str]:
    """Instructions from the bias to sums in memory, those of each part behind those of the part before; or of the only
    part to results at `to`.

    Operands: `x` and `next`, the first two blocks of inputs; `w`; `fetch`, what a later tile reads; `steps`, blocks of
    inputs of the first part, less one where it is the last; `parts`, those behind the first; `sums`; `step`, bytes from
    block to block; `bias`. All but the last two are changed.
    """
    found = _scheduled(shape)
    assert found is not None, "ask can_schedule first"
    lines = [*found.before, *_starts(shape)]
    lines += ["cbz %[steps], 2f", "1:", *found.body, "cbnz %[steps], 1b", *_next_part(shape, parts)]
    lines += ["2:", *found.last]
    if results is None:
        return [*lines, *_stores(shape)]
    return [*lines, *result_lines(shape.pixels, shape.blocks, results)]


def tile_statements(
    shape: TileShape,
    parts: Parts,
    x: str,
    bias: str,
    only_to: str = "",
    results: Results | None = None,
) -> str:
    """C statements that leave the sums of each part in an array `sums`, or those of the only part at `only_to`, where
    they may be results; inputs lie at `x`, weights at `w`, which both are changed, and the first part begins with
    vectors at `bias`. What is fetched for a later tile lies at `fetch`, which is changed too.
    """
    count = parts.count * shape.pixels * shape.blocks
    return fill(
        """
        $sums;
        const float *next = $x + $block;
        long steps = $steps, parts = $parts;
        __asm__ volatile(
            $instructions
            : [x] "+&r"($x), [next] "+&r"(next), [w] "+&r"(w), [steps] "+&r"(steps), [parts] "+&r"(parts),
              [sums] "+&r"(to)$fetch
            : [step] "r"(${step}l), [bias] "r"($bias)$inputs
            : $clobbers);
        """,
        sums=f"vec4 *to = (vec4 *){only_to}" if only_to else f"vec4 sums[{count}], *to = sums",
        fetch=', [fetch] "+&r"(fetch)' if shape.fetched else "",
        x=x,
        block=shape.step // FLOAT_BYTES,
        steps=parts.steps - 1 if parts.count == 1 else parts.span,
        parts=parts.count - 1,
        instructions="\n    ".join(f'"{line}\\n"' for line in tile_assembly(shape, parts, results)),
        step=shape.step,
        bias=bias,
        clobbers=", ".join(f'"{name}"' for name in _changed(shape, results)),
        inputs="".join(f', [{name}] "r"({value})' for name, value in (results.operands if results else ())),
    ).strip()


def part_sums(shape: TileShape, parts: Parts, total: int) -> str:
    """The C expression of a sum of all parts."""
    return " + ".join(f"sums[{part * shape.pixels * shape.blocks + total}]" for part in range(parts.count))


def _changed(shape: TileShape, results: Results | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*clobbers(), *(RESULT_CLOBBERS if results else ()))))


def clobbers() -> tuple[str, ...]:
    """What the instructions change, operands apart."""
    return (*(f"v{number}" for number in range(REGISTERS)), *TEMPORARIES, "cc", "memory")


def _starts(shape: TileShape) -> list[str]:
    lines = [
        f"ldr q{shape.total(0, block)}, [%[bias], #{block * REGISTER_BYTES}]" for block in range(shape.blocks)
    ]
    for pixel in range(1, shape.pixels):
        for block in range(shape.blocks):
            lines.append(f"mov v{shape.total(pixel, block)}.16b, v{shape.total(0, block)}.16b")
    return lines


def _next_part(shape: TileShape, parts: Parts) -> list[str]:
    """Stores the sums and begins them anew, where there is a part behind; the step of the last part's last block is
    not in the loop.
    """
    if parts.count == 1:
        return []
    totals = shape.pixels * shape.blocks
    return [
        "cbz %[parts], 2f",
        *_stores(shape),
        f"add %[sums], %[sums], #{totals * REGISTER_BYTES}",
        *(f"movi v{i}.4s, #0" for i in range(totals)),
        "sub %[parts], %[parts], #1",
        f"mov %[steps], #{parts.span}",
        "cbnz %[parts], 1b",
        f"mov %[steps], #{parts.last - 1}",
        "cbnz %[steps], 1b",
    ]


def _stores(shape: TileShape) -> list[str]:
    return [f"str q{i}, [%[sums], #{i * REGISTER_BYTES}]" for i in range(shape.pixels * shape.blocks)]


def _products(shape: TileShape) -> list[Operation]:
    """Those of one block of inputs: groups of pixels, of each all channels, of each all pixels and blocks. Weights are
    the first values, inputs those behind them.
    """
    groups = max(1, round(shape.pixels / GROUP))
    edges = [shape.pixels * i // groups for i in range(groups + 1)]
    return [
        Operation(
            f"fmla v{shape.total(pixel, block)}.4s, v{{0}}.4s, v{{1}}.s[{channel}]",
            (channel * shape.blocks + block, CHANNELS * shape.blocks + pixel),
        )
        for first, end in pairwise(edges)
        for channel in range(CHANNELS)
        for pixel in range(first, end)
        for block in range(shape.blocks)
    ]


def _moves(shape: TileShape) -> list[str]:
    """The bases of the next step, for behind the last load."""
    return [
        *([f"add %[fetch], %[fetch], #{shape.fetched}"] if shape.fetched else []),
        "sub %[steps], %[steps], #1",
        f"add %[w], %[w], #{_weight_bytes(shape)}",
        "add %[next], %[next], %[step]",
        "add %[x], %[x], %[step]",
    ]


def _prefetches(shape: TileShape) -> list[str]:
    """Lines of weights that are wanted later, and of the block of inputs after the next; of the next where that one
    lies further away than an instruction says.
    """
    end = (shape.pixels - 1) * shape.stride + REGISTER_BYTES
    offsets = [*range(0, end, LINE_BYTES), end - REGISTER_BYTES // 2]
    first = WEIGHT_STEPS * _weight_bytes(shape)
    weights = [
        f"prfm pldl1keep, [%[w], #{first + line}]" for line in range(0, _weight_bytes(shape), LINE_BYTES)
    ]
    if shape.fetched:  # a load that nobody waits for shows where the base is, as in `row_tile`
        weights = [f"ldr xzr, [%[fetch], #{line}]" for line in range(0, shape.fetched, LINE_BYTES)]
    further = shape.step if shape.step + end <= MOST_PREFETCH else 0
    inputs = [f"prfm pldl1keep, [%[next], #{further + offset}]" for offset in offsets]
    return [*weights, *inputs]


def _weight_bytes(shape: TileShape) -> int:
    return CHANNELS * shape.blocks * REGISTER_BYTES
