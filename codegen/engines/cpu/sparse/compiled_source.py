"""A pattern as instructions: what is not zero is in the code, its values are one stream, sums never leave registers.

For x86-64 with AVX-512 and the System V calling convention: a multiply-add broadcasts its weight from memory. As
assembly, since compilers take long over such code and spill.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from codegen.engines.cpu.blocked.vectors import constant_vector, vector, vector_epilogue
from codegen.engines.cpu.machine import FLOAT_BYTES, vector_lanes
from codegen.engines.cpu.source import fill
from codegen.expression import Expression
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
class Group:
    """Outputs [first, end) as a function, whose biases and weights lie from element `start` of the stream on."""

    first: int
    end: int
    start: int


@dataclass(frozen=True, eq=False)
class CompiledPattern:
    """C text of the functions and `<entry>_groups`, their table; and the stream that they read."""

    text: str
    stream: FloatArray
    groups: tuple[Group, ...]


def group_count(outputs: int) -> int:
    """How many functions compute so many outputs."""
    return -(-outputs // GROUP)


def compiled_pattern(entry: str, matrix: FloatArray, bias: FloatArray, operand_bytes: int) -> CompiledPattern:
    """Of weights (outputs, operands), an operand lying `operand_bytes` behind the one before it."""
    outputs, count = matrix.shape[0], group_count(matrix.shape[0])
    bounds = [number * outputs // count for number in range(count + 1)]
    lines, streams, groups, start = [], [], [], 0
    for number, (first, end) in enumerate(pairwise(bounds)):
        own = matrix[first:end]
        operands, rows = np.nonzero(own.T)
        streams.append(np.concatenate([bias[first:end], own[rows, operands]]).astype(np.float32))
        lines += _function(f"{entry}_group{number}", end - first, operands, rows, operand_bytes)
        groups.append(Group(first, end, start))
        start += streams[-1].size
    return CompiledPattern(_text(entry, lines, groups), np.concatenate(streams), tuple(groups))


def finish_text(entry: str, plane: int, epilogue: Expression) -> str:
    """`<entry>_finish(sums, outputs, y, count)`: the epilogue of a group; `count` pixels are stored."""
    return fill(
        _FINISH,
        entry=entry,
        lanes=LANES,
        plane=plane,
        value=vector_epilogue(LANES, constant_vector(LANES, f"sums + o * {LANES}"), epilogue),
        store=vector(LANES, "y"),
    )


def _function(
    name: str, outputs: int, operands: np.ndarray, rows: np.ndarray, operand_bytes: int
) -> list[str]:
    """x in rdi, the stream in rsi, sums in rdx."""
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

    lines += [f"vbroadcastss {weight()}(%rsi),%zmm{row}" for row in range(outputs)]
    for operand, row in zip(operands.tolist(), rows.tolist(), strict=True):
        if operand != loaded:
            loaded, register = operand, GROUP + (register + 1) % OPERAND_REGISTERS
            lines.append(f"operand {operand * operand_bytes},{register}")
        lines.append(f"madd {weight()},{register},{row}")
    lines += [f"vmovups %zmm{row},{row * LANES * FLOAT_BYTES}(%rdx)" for row in range(outputs)]
    return [*lines, "vzeroupper", "ret"]


def _text(entry: str, lines: list[str], groups: list[Group]) -> str:
    functions = "".join(
        f'void {entry}_group{i}(const float *, const float *, float *) __attribute__((visibility("hidden")));\n'
        for i, _ in enumerate(groups)
    )
    rows = ", ".join(
        f"{{{entry}_group{i}, {group.start}, {group.first}, {group.end}}}" for i, group in enumerate(groups)
    )
    body = "\n".join(f'"{line}\\n"' for line in lines)
    return (
        f"__asm__({_BEGIN}\n{body}\n{_END});\n{functions}"
        f"static const struct {{ void (*code)(const float *, const float *, float *); int start, first, end; }}\n"
        f"{entry}_groups[] = {{{rows}}};\n"
    )


# Macros keep the text short: most of its lines are multiply-adds.
_BEGIN = (
    r'".pushsection .text\n"'
    r'".macro madd weight,operand,sum\nvfmadd231ps \\weight(%rsi){1to16},%zmm\\operand,%zmm\\sum\n.endm\n"'
    r'".macro operand place,register\nvmovups \\place(%rdi),%zmm\\register\n.endm\n"'
)
_END = r'".purgem madd\n.purgem operand\n.popsection\n"'

_FINISH = """
    static void ${entry}_finish(const float *restrict sums, int outputs, float *restrict y, int count)
    {
        for (int o = 0; o < outputs; ++o, y += $plane) {
            const vec$lanes v = $value;
            if (count >= $lanes)
                $store = v;
            else
                memcpy(y, &v, (size_t)count * sizeof *y);
        }
    }
"""
