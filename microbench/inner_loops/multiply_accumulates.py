"""Multiply-accumulates in ARM and AArch64 code: fused, chained, and pairs of a product and the sum that takes it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from microbench.inner_loops.disassembly import Instruction

_CONDITION = "(?:eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)?"
_FUSED = re.compile(rf"^(?:fmla|fmls|fn?madd|fn?msub|v(?:n?ml|fn?m)[as]{_CONDITION}\.f32)$")
_DOT = re.compile(r"^[su]dot$")  # four products of bytes in each lane
_PRODUCT = re.compile(rf"^(?:fmul|vmul{_CONDITION}\.f32)$")
_SUM = re.compile(rf"^(?:fadd|fsub|v(?:add|sub){_CONDITION}\.f32)$")
_STORE = re.compile(r"^(?:vstr|st[ur]*r)$")
_COPY = re.compile(r"^(?:vmov(?:\.f32)?|f?mov|vldr|ldu?r)$")
_ARRANGED = re.compile(r"\.(\d+)s$")
_AARCH64_VECTOR = re.compile(r"^[qv](\d+)(?:\.\d*[a-z].*)?$")


def multiply_accumulates(body: Sequence[Instruction]) -> int:
    """Scalar multiply-accumulates of one pass over a loop's body: a 4-lane fmla is 4, a 4-lane sdot 16.

    A product counts with the addition or subtraction that reads it, also where that comes in the next iteration.
    """
    fused = sum(lanes(i) for i in body if _FUSED.match(i.mnemonic))
    dots = sum(4 * lanes(i) for i in body if _DOT.match(i.mnemonic))
    return fused + dots + _pairs(body)


def lanes(instruction: Instruction) -> int:
    """How many floats its result has, from the name of the destination register."""
    destination = operand_list(instruction)[0]
    arranged = _ARRANGED.search(destination)
    if arranged is not None:
        return int(arranged[1])
    if ".f32" in instruction.mnemonic:
        return {"q": 4, "d": 2}.get(destination[:1], 1)
    return 1


def operand_list(instruction: Instruction) -> tuple[str, ...]:
    """Its operands; brackets and braces keep together."""
    return tuple(re.findall(r"\[[^\]]*\]!?|\{[^}]*\}|[^,\s]+(?:\[[^\]]*\])?", instruction.operands)) or ("",)


def _pairs(body: Sequence[Instruction]) -> int:
    """Lanes of the products that are read by a sum, counted on the second of two passes over the body."""
    pending: dict[str, int] = {}
    counted = 0
    for counts in (False, True):
        for instruction in body:
            used = _step(instruction, pending)
            counted += used if counts else 0
    return counted


def _step(instruction: Instruction, pending: dict[str, int]) -> int:
    """Lanes of a product that the instruction adds. `pending`: where products wait, in registers or on the stack."""
    places = tuple(map(_register, operand_list(instruction)))
    if _STORE.match(instruction.mnemonic):
        _move(pending, places[0], places[-1])
        return 0
    destination, *sources = places
    used = 0
    if _SUM.match(instruction.mnemonic):
        used = next((pending.pop(source) for source in sources if source in pending), 0)
    if _COPY.match(instruction.mnemonic):
        _move(pending, sources[-1] if sources else "", destination)
    elif _PRODUCT.match(instruction.mnemonic):
        pending[destination] = lanes(instruction)
    else:
        pending.pop(destination, None)
    return used


def _move(pending: dict[str, int], source: str, destination: str) -> None:
    held = pending.pop(source, None)
    pending.pop(destination, None)
    if held is not None:
        pending[destination] = held


def _register(operand: str) -> str:
    """One name for a register however its lanes are arranged; names of ARM registers stay as they are."""
    match = _AARCH64_VECTOR.match(operand) if operand.startswith("v") else None
    return f"v{match[1]}" if match else operand
