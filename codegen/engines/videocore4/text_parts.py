"""Pieces of a line of program text: operations with their modifiers, results, numbers."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, replace

from codegen.engines.videocore4.isa import CONDITIONS, NOP_ADDRESS, ROTATE_BY_R5, rotation
from codegen.engines.videocore4.syntax import PACK_A_CODES, PACK_MUL_CODES, WRITES
from codegen.errors import AssemblyError

_DIGITS = "[0-9]{1,64}"  # more make no number that is meant, and Python refuses thousands
INTEGER = re.compile(rf"[+-]?(0[xX][0-9a-fA-F]{{1,64}}|{_DIGITS})")
FLOAT = re.compile(rf"[+-]?({_DIGITS}\.(?:{_DIGITS})?|\.{_DIGITS}|{_DIGITS})([eE][+-]?{_DIGITS})?")


@dataclass(frozen=True)
class Part:
    """Between two semicolons: a name, what follows it behind dots, and operands."""

    name: str
    modifiers: tuple[str, ...]
    operands: tuple[str, ...]

    @staticmethod
    def of(text: str) -> Part:
        head, _, rest = text.strip().partition(" ")
        name, *modifiers = head.split(".")
        if not name:
            raise AssemblyError("an empty operation; write nop")
        rest = rest.strip()
        if rest.endswith("]") and "[" in rest:  # a list is one operand
            before, _, listed = rest.partition("[")
            operands = [*(o.strip() for o in before.split(",") if o.strip()), f"[{listed}"]
        else:
            operands = [o.strip() for o in rest.split(",")] if rest else []
        if "" in operands:
            raise AssemblyError(f"{name}: an operand is missing between commas")
        return Part(name, tuple(modifiers), tuple(operands))


@dataclass(frozen=True)
class Modifiers:
    """Behind an operation's name: codes of condition and rotation, and whether flags are set."""

    condition: int
    set_flags: int = 0
    rotate: int | None = None


def modifiers_of(part: Part, usual: int, *, rotates: bool = False, skip: int = 0) -> Modifiers:
    """Condition, flags and rotation behind an operation's name; raises AssemblyError for others."""
    found = Modifiers(usual)
    for modifier in part.modifiers[skip:]:
        if modifier in CONDITIONS:
            found = replace(found, condition=CONDITIONS[modifier])
        elif modifier == "sf":
            found = replace(found, set_flags=1)
        elif rotates and modifier == "rot_r5":
            found = replace(found, rotate=ROTATE_BY_R5)
        elif rotates and re.fullmatch(r"rot[0-9]{1,2}", modifier):
            found = replace(found, rotate=rotation(int(modifier[3:])))
        elif modifier.startswith("rot"):
            raise AssemblyError(f"{part.name}.{modifier}: only the mul ALU rotates, by 1 to 15 or r5")
        else:
            raise AssemblyError(
                f"{part.name}.{modifier}: no such condition; known: {', '.join(CONDITIONS)}, sf, rot1 to rot15, rot_r5"
            )
    return found


@dataclass(frozen=True)
class Result:
    """Where a result goes, by file (0: A, 1: B), and its pack mode; `pm` is None without one."""

    files: dict[int, int]  # file -> address
    pack: int = 0
    pm: int | None = None


def result_of(text: str) -> Result:
    """The place that a result's text names; raises AssemblyError."""
    name, _, mode = text.partition(".")
    if name not in WRITES:
        raise AssemblyError(
            f"{text!r} cannot be written; results are ra0 to ra31, rb0 to rb31, r0 to r3, -, …"
        )
    files = WRITES[name]
    if not mode:
        return Result(files)
    if mode in PACK_MUL_CODES:
        return Result(files, PACK_MUL_CODES[mode], 1)
    if mode not in PACK_A_CODES:
        raise AssemblyError(
            f"{text}: no such pack mode; known: {', '.join((*PACK_A_CODES, *PACK_MUL_CODES))}"
        )
    if files.get(0, 32) >= 32:
        raise AssemblyError(f"{text}: this pack mode needs a register of file A; the mul ALU packs .color")
    return Result(files, PACK_A_CODES[mode], 0)


def destinations(add: Result, mul: Result) -> dict[str, int]:
    """write_swap, addresses and pack fields of two results."""
    for swap in (0, 1):
        if swap in add.files and 1 - swap in mul.files:
            break
    else:
        raise AssemblyError("both results need the same register file; move one to the other or to r0 to r3")
    packs = [result for result in (add, mul) if result.pm is not None]
    if len(packs) == 2:
        raise AssemblyError("two pack modes: an instruction has one")
    if add.pm == 1:
        raise AssemblyError("only the mul ALU packs colours; swap the operations or take another mode")
    pack = {"pack": packs[0].pack, "pm": packs[0].pm or 0} if packs else {}
    return {
        "write_swap": swap,
        "waddr_add": add.files[swap],
        "waddr_mul": mul.files[1 - swap],
        **pack,
    }


NOWHERE = Result({0: NOP_ADDRESS, 1: NOP_ADDRESS})


def decimal_with_zero(text: str) -> bool:
    """Whether a number could be meant as octal."""
    digits = text.lstrip("+-")
    return len(digits) > 1 and digits[0] == "0" and digits[1] not in "xX"


def integer(text: str) -> int:
    """An integer, decimal or with 0x; raises AssemblyError."""
    if not INTEGER.fullmatch(text) or decimal_with_zero(text):
        raise AssemblyError(f"{text!r} is no integer")
    return int(text, 0)


def fit32(value: int, text: str) -> int:
    """A number as 32 bits, signed or unsigned; raises AssemblyError where it does not fit."""
    if not -(1 << 31) <= value < 1 << 32:
        raise AssemblyError(f"{text} does not fit 32 bits")
    return value & 0xFFFFFFFF


def word32(text: str) -> int:
    """The 32 bits of an integer or, where it has a point or exponent, a float32; raises AssemblyError."""
    if INTEGER.fullmatch(text):
        return fit32(integer(text), text)
    if not FLOAT.fullmatch(text):
        raise AssemblyError(f"{text!r} is no number")
    try:
        return int(struct.unpack("<I", struct.pack("<f", float(text)))[0])
    except OverflowError as error:
        raise AssemblyError(f"{text}: beyond float32's {math.ldexp(1, 128):g}") from error
