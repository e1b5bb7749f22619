"""The QPU instruction set as tables (Broadcom guide, section 3), and the encoder and decoder they drive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

from codegen.errors import AssemblyError

ADD_OPS: Mapping[str, int] = {
    "nop": 0, "fadd": 1, "fsub": 2, "fmin": 3, "fmax": 4, "fminabs": 5, "fmaxabs": 6, "ftoi": 7, "itof": 8,
    "add": 12, "sub": 13, "shr": 14, "asr": 15, "ror": 16, "shl": 17, "min": 18, "max": 19, "and": 20, "or": 21,
    "xor": 22, "not": 23, "clz": 24, "v8adds": 30, "v8subs": 31,
}  # fmt: skip
MUL_OPS: Mapping[str, int] = {
    "nop": 0, "fmul": 1, "mul24": 2, "v8muld": 3, "v8min": 4, "v8max": 5, "v8adds": 6, "v8subs": 7,
}  # fmt: skip
SIGNALS: Mapping[str, int] = {
    "breakpoint": 0, "none": 1, "thread_switch": 2, "thread_end": 3, "wait_scoreboard": 4, "unlock_scoreboard": 5,
    "last_thread_switch": 6, "load_coverage": 7, "load_color": 8, "load_color_end": 9, "load_tmu0": 10,
    "load_tmu1": 11, "load_alpha": 12, "small_immediate": 13, "load_immediate": 14, "branch": 15,
}  # fmt: skip
CONDITIONS: Mapping[str, int] = {
    "never": 0, "always": 1, "zs": 2, "zc": 3, "ns": 4, "nc": 5, "cs": 6, "cc": 7,
}  # fmt: skip
BRANCH_CONDITIONS: Mapping[str, int] = {
    "all_zs": 0, "all_zc": 1, "any_zs": 2, "any_zc": 3, "all_ns": 4, "all_nc": 5, "any_ns": 6, "any_nc": 7,
    "all_cs": 8, "all_cc": 9, "any_cs": 10, "any_cc": 11, "always": 15,
}  # fmt: skip

# Multiplexer inputs: accumulators r0 to r5, then the two register-file ports.
MUX_A, MUX_B = 6, 7

# Register-mapped input and output (guide table 14); numbers of the files' addresses 32 to 63.
WRITE_ADDRESSES: Mapping[str, int] = {
    "r0": 32, "r1": 33, "r2": 34, "r3": 35, "tmu_noswap": 36, "r5": 37, "host_interrupt": 38, "nop": 39,
    "uniforms_address": 40, "vpm": 48, "vpm_setup": 49, "dma_address": 50, "mutex_release": 51,
    "sfu_recip": 52, "sfu_rsqrt": 53, "sfu_exp2": 54, "sfu_log2": 55,
    "tmu0_s": 56, "tmu0_t": 57, "tmu0_r": 58, "tmu0_b": 59, "tmu1_s": 60, "tmu1_t": 61, "tmu1_r": 62, "tmu1_b": 63,
}  # fmt: skip
READ_ADDRESSES: Mapping[str, int] = {
    "uniform": 32, "element_or_qpu_number": 38, "nop": 39, "vpm": 48, "dma_busy": 49, "dma_wait": 50, "mutex": 51,
}  # fmt: skip

NOP_ADDRESS = 39


def small_immediate(value: int | float) -> int | None:
    """The 6-bit code of a small immediate (-16..15, or a power of two from 1/256 to 128.0), None if there is none."""
    if isinstance(value, float):
        floats = {2.0**e: 32 + e for e in range(8)} | {2.0**-e: 48 - e for e in range(1, 9)}
        return floats.get(value)
    if 0 <= value <= 15:
        return value
    return value + 32 if -16 <= value <= -1 else None


def rotation(lanes: int) -> int:
    """The small-immediate code that rotates the multiplier's result up by 1 to 15 lanes."""
    if not 1 <= lanes <= 15:
        raise AssemblyError(f"rotation by {lanes} lanes: must be 1 to 15 (0 is a plain move)")
    return 48 + lanes


class _Format:
    """Fields as (high bit, low bit); subclasses are dataclasses with one int per field."""

    LAYOUT: ClassVar[Mapping[str, tuple[int, int]]]
    FIXED: ClassVar[Mapping[tuple[int, int], int]]

    def encode(self) -> int:
        """The 64-bit word; raises AssemblyError for a field out of range."""
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
    FIXED: ClassVar[Mapping[tuple[int, int], int]] = {(63, 60): SIGNALS["load_immediate"], (59, 57): 4}


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


Instruction = Alu | LoadImmediate | Semaphore | Branch
NOP = Alu()


def _format_of(word: int) -> type[Alu] | type[LoadImmediate] | type[Semaphore] | type[Branch]:
    signal = word >> 60
    if signal == SIGNALS["branch"]:
        return Branch
    if signal != SIGNALS["load_immediate"]:
        return Alu
    mode = (word >> 57) & 7
    if mode == 4:
        return Semaphore
    if mode in (0, 1, 3):
        return LoadImmediate
    raise AssemblyError(f"{word:#018x}: load-immediate mode {mode} is reserved")


def decode(word: int) -> Instruction:
    """The instruction of a 64-bit word; raises AssemblyError with the reason where there is none."""
    if not 0 <= word < 1 << 64:
        raise AssemblyError(f"{word:#x} is no 64-bit word")
    form = _format_of(word)
    bits = {name: (word >> low) & ((1 << (high - low + 1)) - 1) for name, (high, low) in form.LAYOUT.items()}
    instruction = form(**bits)
    if isinstance(instruction, Alu) and instruction.op_add not in ADD_OPS.values():
        raise AssemblyError(f"{word:#018x}: add operation {instruction.op_add} is reserved")
    if isinstance(instruction, Branch) and instruction.condition not in BRANCH_CONDITIONS.values():
        raise AssemblyError(f"{word:#018x}: branch condition {instruction.condition} is reserved")
    return instruction


def field_names(instruction: Instruction) -> tuple[str, ...]:
    """The fields of an instruction's format."""
    return tuple(f.name for f in fields(instruction))
