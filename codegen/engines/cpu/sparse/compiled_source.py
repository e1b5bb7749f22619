"""A pattern as instructions: what is not zero is in the code, its values are one stream, sums never leave registers.

For x86-64 with AVX-512 and the System V calling convention: a multiply-add broadcasts its weight from memory. As
assembly, since compilers take long over such code and spill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from codegen.engines.cpu.blocked.vectors import constant_vector, vector, vector_epilogue
from codegen.engines.cpu.machine import FLOAT_BYTES, vector_lanes
from codegen.engines.cpu.source import fill
from codegen.expression import Expression, as_clamp, is_clamp
from codegen.target import Target
from codegen.tensor import FloatArray

LANES = 16
GROUP = 28  # outputs whose sums are in registers
OPERAND_REGISTERS = 32 - GROUP  # taken in turn
REACH = 128  # elements that a short displacement of a broadcast reaches, either way


def has_instructions(target: Target) -> bool:
    """Whether the target executes them."""
    return vector_lanes(target) == LANES


@dataclass(frozen=True)
class Stored:
    """Where results go: planes of `plane` pixels, behind an epilogue. `gaps`: some pixels of a vector are none."""

    plane: int
    epilogue: Expression
    gaps: bool = False

    @property
    def is_clamped(self) -> bool:
        """Whether instructions store results; else C does, from sums."""
        return is_clamp(self.epilogue)

    @property
    def clamps(self) -> tuple[tuple[str, float], ...]:
        """Instructions and limits; a second operand that is no number is the result."""
        if not self.is_clamped:
            return ()
        _, low, high = as_clamp(self.epilogue)
        limits = (("vmaxps", low), ("vminps", high))
        return tuple((name, limit) for name, limit in limits if limit is not None)


@dataclass(frozen=True, eq=False)
class CompiledPattern:
    """C text of `<entry>_group(g, b, x, pattern, sums, y, pixels, count)`, the stream of constants that it reads from
    `pattern` on, and how many groups of outputs there are.

    Block `b` of the operands at `x` is added to what `sums` (`SUMS` elements, for one vector of pixels) has; the last
    block makes results of them, of which `count` pixels are stored in planes, the first of them at `y`. `pixels` are
    bits: of the pixels that are stored, and where there are gaps, 16 bits higher, of those of the vector that they are.
    """

    text: str
    stream: FloatArray
    groups: int


SUMS = GROUP * LANES


def group_count(outputs: int) -> int:
    """How many functions compute so many outputs."""
    return -(-outputs // GROUP)


def compiled_pattern(
    entry: str, matrix: FloatArray, bias: FloatArray, places: Sequence[int], block: int, stored: Stored
) -> CompiledPattern:
    """Of weights (outputs, operands), whose operands lie at `places`, bytes from the first of a vector of pixels;
    `block` operands at a time.
    """
    outputs, count = matrix.shape[0], group_count(matrix.shape[0])
    bounds = [number * outputs // count for number in range(count + 1)]
    starts = range(0, matrix.shape[1], block)
    lines: list[str] = []
    streams: list[FloatArray] = []
    functions: list[tuple[str, int]] = []
    size = 0
    for first, end in pairwise(bounds):
        for start in starts:
            name = f"{entry}_code{len(functions)}"
            operands, rows = np.nonzero(matrix[first:end, start : start + block].T)
            products = [(places[start + o], r) for o, r in zip(operands.tolist(), rows.tolist(), strict=True)]
            is_first, is_last = start == 0, start == starts[-1]
            lines += _function(name, end - first, products, is_first, stored if is_last else None)
            values = matrix[first:end, start : start + block][rows, operands]
            limits = [limit for _, limit in stored.clamps] if is_last else []
            streams.append(
                np.concatenate([bias[first:end] if is_first else [], values, limits]).astype(np.float32)
            )
            functions.append((name, size))
            size += streams[-1].size
    body = "\n".join(f'"{line}\\n"' for line in lines)
    text = fill(
        _TEXT,
        entry=entry,
        parameters=_PARAMETERS,
        instructions=f"__asm__({_BEGIN}\n{body}\n{_END});",
        declarations="\n".join(
            f'void {name}({_PARAMETERS}) __attribute__((visibility("hidden")));' for name, _ in functions
        ),
        functions=", ".join(f"{{{name}, {start}}}" for name, start in functions),
        bounds=", ".join(map(str, bounds)),
        blocks=len(starts),
        plane=stored.plane,
        finish="" if stored.is_clamped else _finish(stored, len(starts)),
    )
    return CompiledPattern(text, np.concatenate(streams), count)


def _finish(stored: Stored, blocks: int) -> str:
    sums = constant_vector(LANES, f"sums + o * {LANES}")
    return fill(
        _FINISH,
        last=blocks - 1,
        lanes=LANES,
        plane=stored.plane,
        value=vector_epilogue(LANES, sums, stored.epilogue),
        store=vector(LANES, "y"),
    )


def _function(
    name: str, outputs: int, products: Sequence[tuple[int, int]], is_first: bool, stored: Stored | None
) -> list[str]:
    """x in rdi, the stream in rsi, results in rdx, bits of pixels in ecx, sums in r8. `products`: of each weight that
    is not zero the place of its operand, and its output; `stored`: in the last block.
    """
    lines = [".p2align 6", f"{name}:", f"add ${REACH * FLOAT_BYTES},%rsi"]
    place = -REACH
    loaded, register = -1, 0

    def weight() -> int:
        nonlocal place
        if place == REACH:
            lines.append(f"add ${2 * REACH * FLOAT_BYTES},%rsi")
            place = -REACH
        place += 1
        return (place - 1) * FLOAT_BYTES

    totals = range(outputs)
    for row in totals:
        lines.append(
            f"vbroadcastss {weight()}(%rsi),%zmm{row}" if is_first else f"vmovups {_sum(row)},%zmm{row}"
        )
    for operand, row in products:
        if operand != loaded:
            loaded, register = operand, GROUP + (register + 1) % OPERAND_REGISTERS
            lines.append(f"operand {operand},{register}")
        lines.append(f"madd {weight()},{register},{row}")
    for number, (instruction, _) in enumerate(stored.clamps if stored else ()):
        limit = GROUP + number
        lines.append(f"vbroadcastss {weight()}(%rsi),%zmm{limit}")
        lines += [f"{instruction} %zmm{row},%zmm{limit},%zmm{row}" for row in totals]
    if stored:
        lines.append("kmovw %ecx,%k1")
        if stored.gaps:
            lines += ["shr $16,%ecx", "kmovw %ecx,%k2"]
            lines += [f"vcompressps %zmm{row},%zmm{row}{{%k2}}{{z}}" for row in totals]
    if stored and stored.is_clamped:
        step = stored.plane * FLOAT_BYTES
        lines += [f"vmovups %zmm{row},{row * step}(%rdx){{%k1}}" for row in totals]
    else:
        lines += [f"vmovups %zmm{row},{_sum(row)}" for row in totals]
    return [*lines, "vzeroupper", "ret"]


def _sum(row: int) -> str:
    return f"{row * LANES * FLOAT_BYTES}(%r8)"


_PARAMETERS = "const float *, const float *, float *, unsigned, float *"

# Macros keep the text short: most of its lines are multiply-adds.
_BEGIN = (
    r'".pushsection .text\n"'
    r'".macro madd weight,operand,sum\nvfmadd231ps \\weight(%rsi){1to16},%zmm\\operand,%zmm\\sum\n.endm\n"'
    r'".macro operand place,register\nvmovups \\place(%rdi),%zmm\\register\n.endm\n"'
)
_END = r'".purgem madd\n.purgem operand\n.popsection\n"'

_TEXT = """
    $instructions
    $declarations
    static const struct {
        void (*code)($parameters);
        int start;
    } ${entry}_functions[] = {$functions};

    static void ${entry}_group(int g, int b, const float *x, const float *pattern, float *restrict sums,
                               float *restrict y, unsigned pixels, int count)
    {
        static const int bounds[] = {$bounds};
        const int function = g * $blocks + b;
        y += (size_t)bounds[g] * $plane;
        ${entry}_functions[function].code(x, pattern + ${entry}_functions[function].start, y, pixels, sums);
        (void)count;
        $finish
    }
"""

_FINISH = """
    if (b == $last)
        for (int o = 0; o < bounds[g + 1] - bounds[g]; ++o, y += $plane) {
            const vec$lanes v = $value;
            if (count >= $lanes)
                $store = v;
            else
                memcpy(y, &v, (size_t)count * sizeof *y);
        }
"""

# The product of a tile of pixels, for groups [first, end): of operands that `<entry>_columns` puts in order, or of a
# band of rows from planes.
PIXELS_TEXT = """
    $share
    ${entry}_columns(x, weights, 0, $depth, p, count, tile, scratch);
    for (int g = $first; g < $end; ++g)
        for (int b = 0; b < $blocks; ++b)
            for (int v = 0, left = count; left > 0; ++v, left -= $lanes)
                ${entry}_group(g, b, tile + v * $vector, pattern, sums + v * $sums, y + v * $lanes,
                               left < $lanes ? (1u << left) - 1 : (1u << $lanes) - 1, left);
"""

BAND_TEXT = """
    $share
    ${entry}_planes(x, p / $width, count / $width, tile);
    for (int g = $first; g < $end; ++g)
        for (int b = 0; b < $blocks; ++b)
            for (int v = 0, left = count / $width * $pitch; left > 0; ++v, left -= $lanes) {
                const unsigned bits = ${entry}_spots[v].bits & (left < $lanes ? (1u << left) - 1 : ~0u);
                const int several = __builtin_popcount(bits);
                ${entry}_group(g, b, tile + v * $lanes, pattern, sums + v * $sums, y + ${entry}_spots[v].first,
                               bits << 16 | ((1u << several) - 1), several);
            }
"""
