"""Assembly of AArch64 for the register tile of a pointwise convolution, scheduled for a core that issues in order.

On a Cortex-A53 a multiply-add of four floats takes a cycle and no vector load issues beside it, or four cycles behind
one; a load of 128 bits takes two cycles. A register of four floats is therefore loaded in halves: the lower by a vector
load, the upper by a general one, beside a multiply-add, and then inserted beside the lower half of the next register.
Such pairs stand behind every third multiply-add, so that the one four cycles before a load is another load (cycles and
their sources: the model of the core in microbench/emulation/cores/cortex-a53.toml).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from codegen.engines.cpu.blocked.tile_results import RESULT_CLOBBERS, Results, result_lines
from codegen.engines.cpu.machine import FLOAT_BYTES
from codegen.engines.cpu.partial_sums import Parts
from codegen.engines.cpu.source import fill

REGISTERS = 32
CHANNELS = 4  # of a block: elements of a register that products take one of
REGISTER_BYTES = 16
GAP = 3  # multiply-adds between loads
GROUP = (
    4  # pixels that products go over before the next channel: longer than a sum takes to be added to again
)
MOST_OFFSET = 4096  # bytes: of halves of registers from their base
MOST_PREFETCH = 32760
LINE_BYTES = 64
WEIGHT_STEPS = 4  # that weights are fetched ahead: longer than memory takes
TEMPORARIES = ("x9", "x10")
NOP = "nop"


@dataclass(frozen=True)
class TileShape:
    """`pixels` by `blocks` of sums; inputs lie `stride` bytes apart, their blocks of channels `step` bytes."""

    pixels: int
    blocks: int
    stride: int
    step: int

    @property
    def registers(self) -> int:
        """Sums, the weights of one block of inputs, and inputs."""
        return self.pixels * self.blocks + CHANNELS * self.blocks + self.pixels

    @property
    def loads(self) -> int:
        """Registers that a block of inputs loads."""
        return self.pixels + CHANNELS * self.blocks

    def total(self, pixel: int, block: int) -> int:
        """Register of a sum."""
        return pixel * self.blocks + block

    def weight(self, channel: int, block: int) -> int:
        """Register of the weights from one channel of inputs to a block of outputs."""
        return self.pixels * self.blocks + channel * self.blocks + block

    def input(self, pixel: int) -> int:
        """Register of a pixel's block of inputs."""
        return (self.pixels + CHANNELS) * self.blocks + pixel


@cache
def can_schedule(shape: TileShape) -> bool:
    """Whether registers suffice, offsets fit instructions, and every load has a place between products."""
    if shape.registers > REGISTERS or shape.pixels * shape.stride > MOST_OFFSET:
        return False
    products = _products(shape)
    gap = _gap(shape, products)
    return gap > 0 and _placed(products, _loads(shape, products), gap) is not None


@dataclass(frozen=True)
class _Product:
    total: int
    weight: int
    input: int
    channel: int

    @property
    def text(self) -> str:
        return f"fmla v{self.total}.4s, v{self.weight}.4s, v{self.input}.s[{self.channel}]"


@dataclass(frozen=True)
class _Load:
    """A register that product `last` of a step reads last, and product `first` of the next step first."""

    register: int
    base: str
    offset: int
    first: int
    last: int


@dataclass(frozen=True)
class _Placed:
    """A load behind so many products of a step; `ahead`: it is for the next step."""

    load: _Load
    place: int
    ahead: bool

    def address(self, shape: TileShape, half: int) -> str:
        offset = self.load.offset + half * REGISTER_BYTES // 2
        if self.load.base == "x":
            return f"[%[{'next' if self.ahead else 'x'}], #{offset}]"
        return f"[%[w], #{offset + self.ahead * _weight_bytes(shape)}]"


def tile_assembly(shape: TileShape, parts: Parts, results: Results | None = None) -> list[str]:
    """Instructions from the bias to sums in memory, those of each part behind those of the part before; or of the only
    part to results at `to`.

    Operands: `x` and `next`, the first two blocks of inputs; `w`; `steps`, blocks of inputs of the first part, less one
    where it is the last; `parts`, those behind the first; `sums`; `step`, bytes from block to block; `bias`. All but
    the last two are changed.
    """
    products = _products(shape)
    gap = _gap(shape, products)
    placed = _placed(products, _loads(shape, products), gap)
    assert placed is not None, "ask can_schedule first"
    before = [one for one in placed if one.ahead]
    lines = [f"ldr q{one.load.register}, {_Placed(one.load, 0, False).address(shape, 0)}" for one in before]
    lines += _starts(shape)
    lines += ["cbz %[steps], 2f", "1:", *_step(shape, products, placed, gap, is_last=False)]
    lines += ["subs %[steps], %[steps], #1", "b.ne 1b", *_next_part(shape, parts)]
    lines += ["2:", *_step(shape, products, placed, gap, is_last=True)]
    if results is None:
        return [*lines, *_stores(shape)]
    return [*lines, *result_lines(shape.pixels, shape.blocks, results)]


def tile_statements(
    shape: TileShape, parts: Parts, x: str, bias: str, only_to: str = "", results: Results | None = None
) -> str:
    """C statements that leave the sums of each part in an array `sums`, or those of the only part at `only_to`, where
    they may be results; inputs lie at `x`, weights at `w`, which both are changed, and the first part begins with
    vectors at `bias`.
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
              [sums] "+&r"(to)
            : [step] "r"(${step}l), [bias] "r"($bias)$inputs
            : $clobbers);
        """,
        sums=f"vec4 *to = (vec4 *){only_to}" if only_to else f"vec4 sums[{count}], *to = sums",
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
    return tuple(dict.fromkeys((*clobbers(shape), *(RESULT_CLOBBERS if results else ()))))


def clobbers(shape: TileShape) -> tuple[str, ...]:
    """What the instructions change, operands apart."""
    return (*(f"v{number}" for number in range(shape.registers)), *TEMPORARIES, "cc", "memory")


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


def _products(shape: TileShape) -> list[_Product]:
    """Those of one block of inputs: groups of pixels, of each all channels, of each all pixels and blocks."""
    groups = max(1, round(shape.pixels / GROUP))
    edges = [shape.pixels * i // groups for i in range(groups + 1)]
    return [
        _Product(shape.total(pixel, block), shape.weight(channel, block), shape.input(pixel), channel)
        for first, end in pairwise(edges)
        for channel in range(CHANNELS)
        for pixel in range(first, end)
        for block in range(shape.blocks)
    ]


def _loads(shape: TileShape, products: list[_Product]) -> list[_Load]:
    sources = [("x", pixel * shape.stride, shape.input(pixel)) for pixel in range(shape.pixels)]
    sources += [
        ("w", (channel * shape.blocks + block) * REGISTER_BYTES, shape.weight(channel, block))
        for channel in range(CHANNELS)
        for block in range(shape.blocks)
    ]
    loads = []
    for base, offset, register in sources:
        uses = [i for i, product in enumerate(products) if register in (product.weight, product.input)]
        loads.append(_Load(register, base, offset, uses[0], uses[-1]))
    return loads


def _gap(shape: TileShape, products: list[_Product]) -> int:
    """How many products stand between loads; 0: there are fewer than loads."""
    return next((gap for gap in range(GAP, 0, -1) if len(_places(products, gap)) >= shape.loads), 0)


def _places(products: list[_Product], gap: int) -> range:
    """Where a load may stand; the insertion of the last has one more place behind it."""
    return range(gap, len(products) - gap + 1, gap)


def _placed(products: list[_Product], loads: list[_Load], gap: int) -> list[_Placed] | None:
    """Each load at the first place where its register is free and none that is wanted sooner waits; None where one
    would come after the product that wants it.

    Places are tried over two steps: what finds one in the second stands in the step that wants it.
    """
    length, places = len(products), _places(products, gap)
    waiting = sorted(loads, key=lambda load: load.first)
    taken: dict[int, _Placed] = {}
    for round_ in range(2):
        for place in places:
            found = [load for load in waiting if load.last < place + round_ * length]
            if found and place not in taken:
                taken[place] = _Placed(found[0], place, ahead=round_ == 0)
                waiting.remove(found[0])
    in_time = all(one.place + gap <= one.load.first + one.ahead * length for one in taken.values())
    return [taken[place] for place in sorted(taken)] if in_time and not waiting else None


def _step(
    shape: TileShape, products: list[_Product], placed: list[_Placed], gap: int, is_last: bool
) -> list[str]:
    """The products of one block of inputs and what stands between them; the last has no loads for a next."""
    kept = {
        one.place: (one, TEMPORARIES[i % 2]) for i, one in enumerate(placed) if not (is_last and one.ahead)
    }
    beside = {place - 1: f"ldr {name}, {one.address(shape, 1)}" for place, (one, name) in kept.items()}
    moves = [] if is_last else _moves(shape)
    prefetches = [] if is_last else _prefetches(shape)
    free = (number for number in range(len(products) - gap) if number not in beside)
    beside |= dict(zip(free, prefetches, strict=False))
    beside |= dict(zip(range(len(products) - gap, len(products)), moves, strict=False))
    lines = []
    for number, product in enumerate(products):
        if number and number + gap in kept and number not in kept and number - gap not in kept:
            lines += [
                NOP,
                NOP,
            ]  # a cycle without a product four before a load; one alone stands beside a product
        lines.append(product.text)
        if number in beside:
            lines.append(beside[number])
        place = number + 1
        if place in kept:
            one, _ = kept[place]
            lines.append(f"ldr d{one.load.register}, {one.address(shape, 0)}")
        if place - gap in kept:
            one, name = kept[place - gap]
            lines.append(f"ins v{one.load.register}.d[1], {name}")
    return [*lines, *moves[gap:]]


def _moves(shape: TileShape) -> list[str]:
    """The bases of the next step, for behind the last load."""
    return [
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
    further = shape.step if shape.step + end <= MOST_PREFETCH else 0
    inputs = [f"prfm pldl1keep, [%[next], #{further + offset}]" for offset in offsets]
    return [*weights, *inputs]


def _weight_bytes(shape: TileShape) -> int:
    return CHANNELS * shape.blocks * REGISTER_BYTES
