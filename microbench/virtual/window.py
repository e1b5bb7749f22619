"""The instructions around the one a launch was stopped at, as text."""

from __future__ import annotations

from collections.abc import Callable

from codegen.engines.videocore4.disassembler import instruction_text
from codegen.engines.videocore4.isa import decode
from codegen.errors import AssemblyError

BEFORE, AFTER = 4, 3
BYTES = 8

ReadWord = Callable[[int], int | None]


def instruction_line(word: int) -> str:
    """One word's text, or why there is none."""
    try:
        return instruction_text(decode(word))
    except AssemblyError as error:
        return f"; {error}"


def window(read: ReadWord, bus: int, first_bus: int) -> str:
    """Lines for the instructions around the one at `bus`, which is marked; indices count from `first_bus`.

    `read` gives the 64-bit word at a bus address, None outside the allocations: such lines are left out.
    """
    lines = []
    for address in range(bus - BEFORE * BYTES, bus + (AFTER + 1) * BYTES, BYTES):
        word = read(address) if address >= 0 else None
        if word is not None:
            mark, index = ">" if address == bus else " ", (address - first_bus) // BYTES
            lines.append(f"{mark}{index:6d}  {address:#010x}  {word:#018x}  {instruction_line(word)}")
    return "\n".join(lines)
