"""The QPU instruction set as tables (Broadcom guide, section 3), and the encoder and decoder they drive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

from codegen.engines.videocore4.tables import (
    ADD,
    BRANCH_CONDITION_TABLE,
    CONDITION_TABLE,
    IMMEDIATE_MODES,
    IO_TABLE,
    MUL,
    PACK_MUL,
    SEMAPHORE_MODE,
    SIGNAL_TABLE,
)
from codegen.errors import AssemblyError

ADD_OPS: Mapping[str, int] = {op.name: op.code for op in ADD}
MUL_OPS: Mapping[str, int] = {op.name: op.code for op in MUL}
SIGNALS: Mapping[str, int] = {signal.name: signal.code for signal in SIGNAL_TABLE}
CONDITIONS: Mapping[str, int] = {condition.name: condition.code for condition in CONDITION_TABLE}
BRANCH_CONDITIONS: Mapping[str, int] = {c.name: c.code for c in BRANCH_CONDITION_TABLE}

# Multiplexer inputs: accumulators r0 to r5, then the two register-file ports.
MUX_A, MUX_B = 6, 7

# Register-mapped input and output (guide table 14), by names that leave the register file open.
_FILES_APART = {37: "r5", 38: "element_or_qpu_number", 39: "nop", 49: "dma_busy", 50: "dma_wait"}
_WRITES_APART = {**_FILES_APART, 49: "vpm_setup", 50: "dma_address"}
WRITE_ADDRESSES: Mapping[str, int] = {
    _WRITES_APART.get(io.address, io.write[0]) if io.address != 38 else io.write[0]: io.address
    for io in IO_TABLE
    if io.write[0]
}
READ_ADDRESSES: Mapping[str, int] = {
    _FILES_APART.get(io.address, io.read[0]): io.address for io in IO_TABLE if io.read[0]
}

NOP_ADDRESS = 39


def small_immediate(value: int | float) -> int | None:
    """The 6-bit code of a small immediate (-16..15, or a power of two from 1/256 to 128.0), None if there is none."""
    if isinstance(value, float):
        floats = {2.0**e: 32 + e for e in range(8)} | {2.0**-e: 48 - e for e in range(1, 9)}
        return floats.get(value)
    if 0 <= value <= 15:
        return value
    return value + 32 if -16 <= value <= -1 else None


def small_immediate_value(code: int) -> int | float:
    """What a small immediate's code gives on port B; a rotation's codes count on from -16 (addendum)."""
    if code < 16:
        return code
    if code < 32:
        return code - 32
    if code < 48:
        return float(2.0 ** (code - 32 if code < 40 else code - 48))
    return code - 64


ROTATE_BY_R5 = 48


def rotation(lanes: int) -> int:
    """The small-immediate code that rotates the multiplier's result up by 1 to 15 lanes."""
    if not 1 <= lanes <= 15:
        raise AssemblyError(f"rotation by {lanes} lanes: must be 1 to 15 (0 is a plain move)")
    return 48 + lanes


class _Format:
    """Fields as (high bit, low bit); subclasses are dataclasses with one int per field."""

    LAYOUT: ClassVar[Mapping[str, tuple[int, int]]]
    FIXED: ClassVar[Mapping[tuple[int, int], int]]

    def reserved(self) -> str | None:
        """Why the hardware has no meaning for these fields, None where it has."""
        return None

    def encode(self) -> int:
        """The 64-bit word; raises AssemblyError for a field out of range or of a reserved value."""
        word = 0
        for (_, low), value in self.FIXED.items():
            word |= value << low
        for name, (high, low) in self.LAYOUT.items():
            value = int(getattr(self, name))
            if not 0 <= value < 1 << (high - low + 1):
                raise AssemblyError(
                    f"{type(self).__name__}.{name} = {value} does not fit {high - low + 1} bits"
                )
            word |= value << low
        reason = self.reserved()
        if reason is not None:
            raise AssemblyError(f"{word:#018x}: {reason}")
        return word


@dataclass(frozen=True)
class Alu(_Format):
    """An add operation and a multiply operation issued together."""

    signal: int = SIGNALS["none"]
    unpack: int = 0
    pm: int = 0
    pack: int = 0
    cond_add: int = 0
    cond_mul: int = 0
    set_flags: int = 0
    write_swap: int = 0
    waddr_add: int = NOP_ADDRESS
    waddr_mul: int = NOP_ADDRESS
    op_mul: int = 0
    op_add: int = 0
    raddr_a: int = NOP_ADDRESS
    raddr_b: int = NOP_ADDRESS
    add_a: int = 0
    add_b: int = 0
    mul_a: int = 0
    mul_b: int = 0

    LAYOUT: ClassVar[Mapping[str, tuple[int, int]]] = {
        "signal": (63, 60), "unpack": (59, 57), "pm": (56, 56), "pack": (55, 52), "cond_add": (51, 49),
        "cond_mul": (48, 46), "set_flags": (45, 45), "write_swap": (44, 44), "waddr_add": (43, 38),
        "waddr_mul": (37, 32), "op_mul": (31, 29), "op_add": (28, 24), "raddr_a": (23, 18), "raddr_b": (17, 12),
        "add_a": (11, 9), "add_b": (8, 6), "mul_a": (5, 3), "mul_b": (2, 0),
    }  # fmt: skip
    FIXED: ClassVar[Mapping[tuple[int, int], int]] = {}

    def reserved(self) -> str | None:
        if self.op_add not in ADD_OPS.values():
            return f"add operation {self.op_add} is reserved"
        if self.signal in (SIGNALS["load_immediate"], SIGNALS["branch"]):
            return f"signal {self.signal} belongs to another format"
        return _reserved_pack(self.pm, self.pack)


@dataclass(frozen=True)
class LoadImmediate(_Format):
    """A 32-bit immediate to both destinations; mode 0 full, 1 signed and 3 unsigned two bits a lane."""

    mode: int = 0
    pm: int = 0
    pack: int = 0
    cond_add: int = 1
    cond_mul: int = 0
    set_flags: int = 0
    write_swap: int = 0
    waddr_add: int = NOP_ADDRESS
    waddr_mul: int = NOP_ADDRESS
    immediate: int = 0

    LAYOUT: ClassVar[Mapping[str, tuple[int, int]]] = {
        "mode": (59, 57), "pm": (56, 56), "pack": (55, 52), "cond_add": (51, 49), "cond_mul": (48, 46),
        "set_flags": (45, 45), "write_swap": (44, 44), "waddr_add": (43, 38), "waddr_mul": (37, 32),
        "immediate": (31, 0),
    }  # fmt: skip
    FIXED: ClassVar[Mapping[tuple[int, int], int]] = {(63, 60): SIGNALS["load_immediate"]}

    def reserved(self) -> str | None:
        if self.mode not in {mode.code for mode in IMMEDIATE_MODES}:
            return f"load-immediate mode {self.mode} is reserved"
        return _reserved_pack(self.pm, self.pack)


@dataclass(frozen=True)
class Semaphore(_Format):
    """Increment (`decrement` 0) or decrement (1) of one of 16 four-bit counters; stalls at the ends."""

    decrement: int
    number: int
    pm: int = 0
    pack: int = 0
    cond_add: int = 0
    cond_mul: int = 0
    set_flags: int = 0
    write_swap: int = 0
    waddr_add: int = NOP_ADDRESS
    waddr_mul: int = NOP_ADDRESS
    unused: int = 0

    LAYOUT: ClassVar[Mapping[str, tuple[int, int]]] = {
        "pm": (56, 56), "pack": (55, 52), "cond_add": (51, 49), "cond_mul": (48, 46), "set_flags": (45, 45),
        "write_swap": (44, 44), "waddr_add": (43, 38), "waddr_mul": (37, 32), "unused": (31, 5),
        "decrement": (4, 4), "number": (3, 0),
    }  # fmt: skip
    FIXED: ClassVar[Mapping[tuple[int, int], int]] = {
        (63, 60): SIGNALS["load_immediate"],
        (59, 57): SEMAPHORE_MODE,
    }

    def reserved(self) -> str | None:
        return _reserved_pack(self.pm, self.pack)


@dataclass(frozen=True)
class Branch(_Format):
    """A branch with three delay slots; relative targets count from the fourth instruction after it."""

    condition: int = BRANCH_CONDITIONS["always"]
    relative: int = 0
    use_register: int = 0
    raddr_a: int = 0
    write_swap: int = 0
    waddr_add: int = NOP_ADDRESS
    waddr_mul: int = NOP_ADDRESS
    immediate: int = 0
    unused: int = 0

    LAYOUT: ClassVar[Mapping[str, tuple[int, int]]] = {
        "unused": (59, 56), "condition": (55, 52), "relative": (51, 51), "use_register": (50, 50),
        "raddr_a": (49, 45), "write_swap": (44, 44), "waddr_add": (43, 38), "waddr_mul": (37, 32),
        "immediate": (31, 0),
    }  # fmt: skip
    FIXED: ClassVar[Mapping[tuple[int, int], int]] = {(63, 60): SIGNALS["branch"]}

    def reserved(self) -> str | None:
        if self.condition not in BRANCH_CONDITIONS.values():
            return f"branch condition {self.condition} is reserved"
        return None


Instruction = Alu | LoadImmediate | Semaphore | Branch
NOP = Alu()


_MUL_PACKS = frozenset(mode.code for mode in PACK_MUL)


def _reserved_pack(pm: int, pack: int) -> str | None:
    return f"pack mode {pack} of the mul ALU is reserved" if pm and pack not in _MUL_PACKS else None


def _format_of(word: int) -> type[Alu] | type[LoadImmediate] | type[Semaphore] | type[Branch]:
    signal = word >> 60
    if signal == SIGNALS["branch"]:
        return Branch
    if signal != SIGNALS["load_immediate"]:
        return Alu
    return Semaphore if (word >> 57) & 7 == SEMAPHORE_MODE else LoadImmediate


def decode(word: int) -> Instruction:
    """The instruction of a 64-bit word; raises AssemblyError with the reason where there is none."""
    if not 0 <= word < 1 << 64:
        raise AssemblyError(f"{word:#x} is no 64-bit word")
    form = _format_of(word)
    bits = {name: (word >> low) & ((1 << (high - low + 1)) - 1) for name, (high, low) in form.LAYOUT.items()}
    instruction = form(**bits)
    reason = instruction.reserved()
    if reason is not None:
        raise AssemblyError(f"{word:#018x}: {reason}")
    return instruction


def field_names(instruction: Instruction) -> tuple[str, ...]:
    """The fields of an instruction's format."""
    return tuple(f.name for f in fields(instruction))
