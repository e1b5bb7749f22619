"""The rules of the hardware for programs, by number. A number keeps its meaning for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Rule:
    """`source`: pages of the Broadcom guide, or the addendum's section; `remedy`: what to do instead."""

    number: str
    title: str
    source: str
    remedy: str
    severity: Literal["error", "warning"] = "error"


def _rule(
    number: int, title: str, source: str, remedy: str, severity: Literal["error", "warning"] = "error"
) -> Rule:
    return Rule(f"QPU{number:03}", title, source, remedy, severity)


# One instruction --------------------------------------------------------------------------------------------

RESERVED = _rule(
    1, "the word is no instruction", "guide p.26 to 36", "if it is data, keep it out of the program"
)
PERIPHERALS = _rule(
    2,
    "two accesses to TMU, SFU, tile buffer, mutex or semaphores",
    "guide p.25, 37",
    "spread them over two instructions",
)
VPM_ALONE = _rule(
    3,
    "a VPM access beside another one or a TMU load; only one read and one write go together",
    "addendum, Concurrent access to VPM registers",
    "spread them over two instructions",
)
SAME_RESULT = _rule(
    4,
    "both ALUs write the same accumulator, not under opposite conditions, or the same output",
    "guide p.19; addendum, No conditional write to peripheral registers",
    "write one of them an instruction later, or an accumulator under opposite conditions",
)
CONDITIONAL_OUTPUT = _rule(
    5,
    "a conditional write to a peripheral takes place whether or not the condition holds",
    "addendum, No conditional write to peripheral registers",
    "choose the value under the condition, then write it unconditionally",
)
SEMAPHORE_OUTPUT = _rule(
    6,
    "a semaphore instruction writes to tile buffer, TMU or SFU",
    "guide p.33",
    "write in an instruction of its own",
)
TEXTURE_UNIFORM = _rule(
    7,
    "a texture coordinate is written, which takes a uniform, beside a read of a uniform",
    "guide p.23",
    "read the uniform in another instruction",
)
PACKED_OUTPUT = _rule(
    8,
    "the multiplier packs a single byte into a register-mapped output",
    "addendum, MUL ALU pack modes and I/O register targets",
    "pack into an accumulator first",
)
UNMAPPED_READ = _rule(
    9, "an operand comes from an address that has no register to read", "guide p.37, table 14", "read another"
)
SHADER_ONLY = _rule(
    10,
    "a signal or register that only shaders of the 3D pipeline may use",
    "guide p.21 to 24, 47",
    "leave it out: programs started by hand have no tile, varyings or second thread",
)
IDLE_FLAGS = _rule(
    11, "flags are set from no operation", "guide p.28", "drop .sf, or give it to an operation"
)
IDLE_ADD_WRITE = _rule(
    12,
    "the add ALU has a result's place and no operation: it writes nothing",
    "guide p.35; py-videocore's nop() has r0 as its place",
    "give it an operation, or drop the result",
    "warning",
)
IDLE_MUL_WRITE = _rule(
    13,
    "the mul ALU writes without an operation: undocumented, lanes 12 to 15 of its last result",
    "addendum, Secret access to previous MUL ALU result",
    "give it an operation",
    "warning",
)
IDLE_IMMEDIATE = _rule(
    14, "a small immediate that nothing reads", "guide p.29", "drop it; the signal's place gets free"
)
IDLE_PACK = _rule(
    15,
    "a pack or unpack mode that nothing goes through",
    "guide p.30 to 32",
    "pack into register file A, or with .color from the mul ALU; unpack from register file A, or r4",
    "warning",
)
QUAD_ROTATION = _rule(
    16,
    "a rotation of what is not in r0 to r3 stays within each quad of lanes",
    "guide p.20; addendum, Horizontal vector rotation",
    "move the operands to r0 to r3 first, if all lanes are meant",
    "warning",
)
ODD_BRANCH_REGISTER = _rule(
    17,
    "a branch with an odd register number sets the flags",
    "addendum, Branch Instruction - implicit set flags",
    "take an even register",
    "warning",
)

SAME_VALUE = _rule(
    18,
    "both ALUs write one value to the same accumulator",
    "guide p.19; py-videocore's exit() does",
    "drop one of the two",
    "warning",
)

# Instructions that follow one another -----------------------------------------------------------------------

READ_AFTER_WRITE = _rule(
    101,
    "a register-file location is read by the instruction right after the one that writes it",
    "guide p.37",
    "put one instruction between, or use an accumulator",
)
SFU_READ = _rule(
    102,
    "r4 is read within two instructions of an SFU request",
    "guide p.23, 37",
    "put two instructions between",
)
SFU_WRITE = _rule(
    103,
    "r4 is written, by a load or another SFU request, within two instructions of an SFU request",
    "guide p.23, 37",
    "put two instructions between",
)
ROTATE_AFTER_WRITE = _rule(
    104,
    "an accumulator is rotated by the instruction right after the one that writes it",
    "guide p.37",
    "put one instruction between",
)
ROTATE_BY_NEW_R5 = _rule(
    105, "a rotation by r5 right after r5 is written", "guide p.37", "put one instruction between"
)
NEW_UNIFORMS = _rule(
    106,
    "a uniform is read within two instructions of a write to the uniforms' address",
    "guide p.22",
    "put two instructions between",
)
NEW_NOSWAP = _rule(
    107,
    "a TMU register is written within two instructions of tmu_noswap",
    "guide p.23, 37",
    "put two instructions between",
)
BRANCH_DISTANCE = _rule(
    108,
    "fewer than two other instructions between branches",
    "addendum, Distance of branch instructions",
    "put two instructions between, or the second branch into the third delay slot",
)
END_WRITES_FILE = _rule(
    109,
    "the instruction that ends the thread writes a register file",
    "guide p.21, 37",
    "write an instruction earlier",
)
END_REGISTER_14 = _rule(
    110,
    "one of the last three instructions touches register 14 of a file",
    "guide p.21, 37",
    "use another register, or do it earlier",
)
END_UNIFORM = _rule(
    111,
    "one of the last three instructions reads a uniform or a varying",
    "guide p.22, 37",
    "read it earlier",
)
END_VPM = _rule(
    112, "one of the last three instructions accesses VPM or DMA", "guide p.37", "access it earlier"
)

ROTATE_AFTER_PART = _rule(
    113,
    "an accumulator is rotated by the instruction right after one that writes some of its lanes: what it wrote must "
    "not move down to a lower quad",
    "addendum, Horizontal vector rotation; py-videocore's matrix products do so",
    "put one instruction between, where it may",
    "warning",
)

# The program ------------------------------------------------------------------------------------------------

RUNS_OFF = _rule(
    201,
    "the program runs past its last word",
    "guide p.21",
    "end it with thread_end and two more instructions, or with a branch and its three delay slots",
)
BAD_TARGET = _rule(
    202,
    "a relative branch leads out of the program or between two instructions",
    "guide p.34",
    "name a label; offsets count bytes from the fourth instruction after the branch",
)
TMU_OVERFLOW = _rule(
    203,
    "more than four requests of one TMU are in flight",
    "guide p.39; addendum, TMU FIFO",
    "load a result before the next request",
)
TMU_EMPTY = _rule(
    204,
    "a TMU load without a request in flight waits for ever",
    "guide p.39",
    "request first, or drop the load",
)
MUTEX_TWICE = _rule(
    205, "the mutex is taken while it is held, which waits for ever", "guide p.24", "release it first"
)
MUTEX_FREE = _rule(
    206, "the mutex is released while it is not held", "guide p.24", "take it first, or drop the release"
)
MUTEX_LEFT = _rule(207, "the thread ends with the mutex held", "guide p.24", "release it before the end")
VPM_UNREADY_READ = _rule(
    208,
    "a VPM read that no read setup covers",
    "guide p.56",
    "set up a block of as many vectors as are read",
)
VPM_SETUP_IGNORED = _rule(
    209,
    "a VPM read setup is ignored while more than one vector of the last is unread",
    "guide p.56; addendum, QPU Reading and Writing of VPM",
    "read the rest first",
)
VPM_UNREADY_WRITE = _rule(210, "a VPM write before any write setup", "guide p.55", "set up the block first")
VPM_LEFT = _rule(
    211, "the thread ends with VPM vectors unread", "guide p.24", "read as many vectors as were set up"
)
FOREIGN_RELAY = _rule(
    212,
    "an operand from a NOP address is the port's last value, and that may be no uniform",
    "addendum, Secret access to previous input values",
    "read a uniform through the same port before, on every way there",
)

DMA_BUSY = _rule(
    213,
    "a DMA transfer is started while the last one of its kind is under way: it waits for that",
    "guide p.56; gpu_fft from 2^18 points on and py-videocore's tests of DMA do so",
    "read load_wait or store_wait, or poll, before",
    "warning",
)

RULES: tuple[Rule, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Rule))


@dataclass(frozen=True)
class Finding:
    """A rule broken by the instruction at `index`; `detail` names what."""

    rule: Rule
    index: int
    detail: str = ""
