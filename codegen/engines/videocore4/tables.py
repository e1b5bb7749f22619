"""The QPU's instruction set as data (Broadcom guide, section 3): the only place that knows names and codes.

Encoder, decoder, text syntax, validator and the printed reference are all driven by these tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Opcode:
    """An operation of one of the two ALUs. `operands`: how many of its inputs count."""

    code: int
    name: str
    summary: str
    operands: int = 2
    floats: bool = False  # takes float32, which decides what the 16- and 8-bit unpack modes mean


ADD = (
    Opcode(0, "nop", "nothing", 0),
    Opcode(1, "fadd", "a + b, truncated", floats=True),
    Opcode(2, "fsub", "a - b, truncated", floats=True),
    Opcode(3, "fmin", "the smaller", floats=True),
    Opcode(4, "fmax", "the larger", floats=True),
    Opcode(5, "fminabs", "the smaller of the absolute values", floats=True),
    Opcode(6, "fmaxabs", "the larger of the absolute values", floats=True),
    Opcode(7, "ftoi", "float to signed integer, truncated", 1, floats=True),
    Opcode(8, "itof", "signed integer to float", 1),
    Opcode(12, "add", "a + b"),
    Opcode(13, "sub", "a - b"),
    Opcode(14, "shr", "a >> (b & 31), zeros from above"),
    Opcode(15, "asr", "a >> (b & 31), the sign from above"),
    Opcode(16, "ror", "a rotated right by b & 31 bits"),
    Opcode(17, "shl", "a << (b & 31)"),
    Opcode(18, "min", "the smaller, signed"),
    Opcode(19, "max", "the larger, signed"),
    Opcode(20, "and", "bitwise and"),
    Opcode(21, "or", "bitwise or"),
    Opcode(22, "xor", "bitwise exclusive or"),
    Opcode(23, "not", "bitwise complement", 1),
    Opcode(24, "clz", "number of leading zeros", 1),
    Opcode(30, "v8adds", "sum of each of four bytes, saturated"),
    Opcode(31, "v8subs", "difference of each of four bytes, saturated"),
)
MUL = (
    Opcode(0, "nop", "nothing", 0),
    Opcode(1, "fmul", "a * b", floats=True),
    Opcode(2, "mul24", "low 32 bits of the product of the low 24 bits, unsigned"),
    Opcode(3, "v8muld", "product of each of four bytes as shares of 255"),
    Opcode(4, "v8min", "the smaller of each of four bytes"),
    Opcode(5, "v8max", "the larger of each of four bytes"),
    Opcode(6, "v8adds", "sum of each of four bytes, saturated"),
    Opcode(7, "v8subs", "difference of each of four bytes, saturated"),
)


@dataclass(frozen=True)
class Signal:
    """What an instruction tells the hardware around the QPU. `general`: programs started by hand may use it."""

    code: int
    name: str
    summary: str
    to_r4: bool = False
    general: bool = False


SIGNAL_TABLE = (
    Signal(0, "breakpoint", "software breakpoint"),
    Signal(1, "none", "no signal", general=True),
    Signal(2, "thread_switch", "switch to the other thread after two delay slots"),
    Signal(3, "thread_end", "end of the program after two delay slots", general=True),
    Signal(4, "wait_scoreboard", "wait until the tile buffer may be accessed"),
    Signal(5, "unlock_scoreboard", "let the next shader access the tile buffer"),
    Signal(6, "last_thread_switch", "the program's last thread switch"),
    Signal(7, "load_coverage", "coverage from the tile buffer to r4", to_r4=True),
    Signal(8, "load_color", "colour from the tile buffer to r4", to_r4=True),
    Signal(9, "load_color_end", "colour to r4, and end of the program", to_r4=True),
    Signal(10, "load_tmu0", "oldest result of TMU 0 to r4", to_r4=True, general=True),
    Signal(11, "load_tmu1", "oldest result of TMU 1 to r4", to_r4=True, general=True),
    Signal(12, "load_alpha", "alpha mask from the tile buffer to r4", to_r4=True),
    Signal(13, "small_immediate", "port B gives a small immediate; no other signal", general=True),
    Signal(14, "load_immediate", "the format of load-immediate and semaphore instructions", general=True),
    Signal(15, "branch", "the format of branches", general=True),
)


@dataclass(frozen=True)
class Code:
    """A value of a field and what it means."""

    code: int
    name: str
    summary: str


CONDITION_TABLE = (
    Code(0, "never", "no lane"),
    Code(1, "always", "every lane"),
    Code(2, "zs", "lanes whose Z flag is set"),
    Code(3, "zc", "lanes whose Z flag is clear"),
    Code(4, "ns", "lanes whose N flag is set"),
    Code(5, "nc", "lanes whose N flag is clear"),
    Code(6, "cs", "lanes whose C flag is set"),
    Code(7, "cc", "lanes whose C flag is clear"),
)
BRANCH_CONDITION_TABLE = (
    *(
        Code(
            4 * flag + 2 * some + clear,
            f"{('all', 'any')[some]}_{'znc'[flag]}{'sc'[clear]}",
            f"the {'ZNC'[flag]} flag of {('every', 'some')[some]} lane is {('set', 'clear')[clear]}",
        )
        for flag in range(3)
        for some in (0, 1)
        for clear in (0, 1)
    ),
    Code(15, "always", "unconditional"),
)

_BYTE = "an unsigned byte, or a colour (0 to 1.0) where a float operation reads it"
_UNPACKED = (
    Code(0, "", "32 bits as they are"),
    Code(1, "16a", "low half: float16 where a float operation reads it, else a signed integer"),
    Code(2, "16b", "high half, likewise"),
    Code(3, "8dr", "byte 3, replicated to all four bytes"),
    Code(4, "8a", f"byte 0: {_BYTE}"),
    Code(5, "8b", "byte 1, likewise"),
    Code(6, "8c", "byte 2, likewise"),
    Code(7, "8d", "byte 3, likewise"),
)
UNPACK_A = _UNPACKED  # pm 0: what register file A gives
UNPACK_R4 = (  # pm 1: what r4 gives
    *(_UNPACKED[0], Code(1, "16a", "low half, float16 to float32"), Code(2, "16b", "high half, likewise")),
    _UNPACKED[3],
    *(Code(4 + i, f"8{'abcd'[i]}", f"byte {i}: a colour (0 to 1.0) to float32") for i in range(4)),
)
_LANES = (("16a", "low half"), ("16b", "high half"), ("8888", "all four bytes"))
_BYTES = tuple((f"8{'abcd'[i]}", f"byte {i}") for i in range(4))
PACK_A = (  # pm 0: what is written to register file A
    Code(0, "", "32 bits as they are"),
    *(
        Code(1 + i, n, f"{where}, the rest kept; truncated")
        for i, (n, where) in enumerate((*_LANES, *_BYTES))
    ),
    Code(8, "sat", "32 bits, saturated as a signed integer"),
    *(
        Code(9 + i, f"{n}_sat", f"{where}, the rest kept; saturated")
        for i, (n, where) in enumerate((*_LANES, *_BYTES))
    ),
)
PACK_MUL = (  # pm 1: the multiplier's float32 result as a colour; the other codes are reserved
    Code(0, "", "32 bits as they are"),
    Code(3, "color", "0 to 1.0 as a byte, in all four bytes"),
    *(Code(4 + i, f"color_{'abcd'[i]}", f"0 to 1.0 as a byte, in byte {i}; the rest kept") for i in range(4)),
)
IMMEDIATE_MODES = (
    Code(0, "", "32 bits to every lane"),
    Code(1, "signed", "two bits a lane: bit i and, as the sign, bit 16 + i of the immediate"),
    Code(3, "unsigned", "two bits a lane: bit i and, as 2, bit 16 + i of the immediate"),
)
SEMAPHORE_MODE = 4

Hardware = Literal[
    "accumulator",
    "uniform",
    "number",
    "nothing",
    "host",
    "tmu",
    "sfu",
    "vpm",
    "mutex",
    "tile buffer",
    "shader",
]


@dataclass(frozen=True)
class IoRegister:
    """What an address from 32 to 63 of the register files is. Names by file; "" where there is no register."""

    address: int
    unit: Hardware  # of what is written, or else read
    read: tuple[str, str] = ("", "")
    write: tuple[str, str] = ("", "")
    read_unit: Hardware | None = None  # where it differs

    @property
    def reads(self) -> Hardware:
        """The unit behind a read."""
        return self.read_unit or self.unit


def _both(name: str) -> tuple[str, str]:
    return name, name


IO_TABLE = (
    IoRegister(32, "accumulator", _both("uniform"), _both("r0"), "uniform"),
    IoRegister(33, "accumulator", write=_both("r1")),
    IoRegister(34, "accumulator", write=_both("r2")),
    IoRegister(35, "accumulator", _both("varying"), _both("r3"), "shader"),
    IoRegister(36, "tmu", write=_both("tmu_noswap")),
    IoRegister(37, "accumulator", write=("r5_quad", "r5_all")),
    IoRegister(38, "host", ("element", "qpu"), _both("host_interrupt"), "number"),
    IoRegister(39, "nothing", _both("relay"), _both("-")),
    IoRegister(40, "uniform", write=_both("uniforms_address")),
    IoRegister(41, "shader", ("x_pixel", "y_pixel"), ("quad_x", "quad_y")),
    IoRegister(42, "shader", ("ms_flags", "rev_flag"), ("ms_flags", "rev_flag")),
    IoRegister(43, "tile buffer", write=_both("tlb_stencil_setup")),
    IoRegister(44, "tile buffer", write=_both("tlb_z")),
    IoRegister(45, "tile buffer", write=_both("tlb_color_ms")),
    IoRegister(46, "tile buffer", write=_both("tlb_color_all")),
    IoRegister(47, "tile buffer", write=_both("tlb_alpha_mask")),
    IoRegister(48, "vpm", _both("vpm"), _both("vpm")),
    IoRegister(49, "vpm", ("load_busy", "store_busy"), ("vpm_read_setup", "vpm_write_setup")),
    IoRegister(50, "vpm", ("load_wait", "store_wait"), ("dma_load", "dma_store")),
    IoRegister(51, "mutex", _both("mutex"), _both("mutex_release")),
    *(IoRegister(52 + i, "sfu", write=_both(f"sfu_{n}")) for i, n in enumerate(("recip", "rsqrt", "exp2", "log2"))),
    *(IoRegister(56 + i, "tmu", write=_both(f"tmu{i // 4}_{'strb'[i % 4]}")) for i in range(8)),
)  # fmt: skip

IO_SUMMARIES = {
    "uniform": "next word of the uniform stream, to every lane; both ports give the same word",
    "varying": "next varying (fragment shaders)",
    "element": "the lane's number, 0 to 15",
    "qpu": "the QPU's number",
    "relay": "lanes 12 to 15 of the port's last value, for every quad of lanes (undocumented)",
    "vpm": "next vector of the VPM block that was set up",
    "load_busy": "whether a DMA load is under way",
    "store_busy": "whether a DMA store is under way",
    "load_wait": "waits for the DMA load",
    "store_wait": "waits for the DMA store",
    "mutex": "waits for the mutex and takes it",
    "r5_quad": "r5: every lane of a quad gets the quad's first",
    "r5_all": "r5: every lane gets lane 0",
    "host_interrupt": "interrupts the host, where not 0",
    "-": "nothing",
    "uniforms_address": "moves the uniform stream (lane 0)",
    "tmu_noswap": "not 0: QPUs 2 and 3 of a slice do not swap the TMUs",
    "vpm_read_setup": "sets up VPM reads, or a DMA load",
    "vpm_write_setup": "sets up VPM writes, or a DMA store",
    "dma_load": "bus address: starts a DMA load",
    "dma_store": "bus address: starts a DMA store",
    "mutex_release": "gives the mutex back",
    "sfu_recip": "1 / x to r4",
    "sfu_rsqrt": "1 / sqrt(x) to r4",
    "sfu_exp2": "2 to the power of x to r4",
    "sfu_log2": "binary logarithm to r4",
    "tmu0_s": "address of a word for each lane (or s), starts the request",
    "tmu1_s": "address of a word for each lane (or s), starts the request",
}

FIELD_SUMMARIES = {
    "signal": "signal to the hardware", "unpack": "unpack mode", "pm": "0: pack and unpack at register file A, "
    "1: pack at the multiplier, unpack at r4", "pack": "pack mode", "cond_add": "lanes the add ALU writes",
    "cond_mul": "lanes the mul ALU writes", "set_flags": "Z, N and C from the add ALU, or from the mul ALU beside "
    "an add nop", "write_swap": "0: add writes file A and mul file B, 1: the reverse",
    "waddr_add": "where the add ALU writes", "waddr_mul": "where the mul ALU writes", "op_mul": "mul operation",
    "op_add": "add operation", "raddr_a": "what port A reads", "raddr_b": "what port B reads, or the small immediate",
    "add_a": "first input of the add ALU", "add_b": "second input of the add ALU", "mul_a": "first input of the "
    "mul ALU", "mul_b": "second input of the mul ALU", "mode": "form of the immediate", "immediate": "the immediate",
    "unused": "without meaning, kept", "decrement": "0: increment, 1: decrement", "number": "semaphore",
    "condition": "when the branch is taken", "relative": "the target counts from the fourth instruction after",
    "use_register": "the target has lane 15 of a register of file A added",
}  # fmt: skip
