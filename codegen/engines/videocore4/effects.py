"""What an instruction reads, writes and asks of the hardware: the facts that rules are stated in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from codegen.engines.videocore4.isa import (
    CONDITIONS,
    MUX_A,
    MUX_B,
    NOP_ADDRESS,
    SIGNALS,
    Alu,
    Branch,
    Instruction,
    LoadImmediate,
    Semaphore,
)
from codegen.engines.videocore4.tables import IO_TABLE, SIGNAL_TABLE, Hardware

FILE_SIZE = 32
UNIFORM, RELAY, NUMBER = 32, NOP_ADDRESS, 38
R5, UNIFORMS_ADDRESS, NOSWAP, HOST = 37, 40, 36, 38
VPM, VPM_SETUP, DMA_ADDRESS, MUTEX = 48, 49, 50, 51
TMU_S = (56, 60)

WRITE_UNITS: dict[int, Hardware] = {io.address: io.unit for io in IO_TABLE}
READ_UNITS: dict[int, Hardware] = {io.address: io.reads for io in IO_TABLE if any(io.read)}
READABLE = tuple(frozenset(io.address for io in IO_TABLE if io.read[file]) for file in (0, 1))
_TO_R4 = frozenset(signal.code for signal in SIGNAL_TABLE if signal.to_r4)
_LOADS_TMU = {SIGNALS["load_tmu0"]: 0, SIGNALS["load_tmu1"]: 1}
_ENDS = (SIGNALS["thread_end"], SIGNALS["load_color_end"])
_NEVER = CONDITIONS["never"]


@dataclass(frozen=True)
class Write:
    """A result's place: file 0 (A) or 1 (B), address, and the condition's code.

    The add ALU without an operation writes nothing, whatever its fields say.
    """

    mul: bool
    file: int
    address: int
    condition: int


@dataclass(frozen=True)
class Effects:
    """Of one instruction. Files are 0 (A) and 1 (B); operands of operations only, inputs of both ports always."""

    writes: tuple[Write, ...]
    file_reads: frozenset[tuple[int, int]]
    file_writes: frozenset[tuple[int, int]]
    inputs: tuple[int, ...]  # addresses from 32 that the ports read, element numbers and NOP left out
    outputs: tuple[int, ...]  # addresses from 32 that are written, NOP left out
    relays: tuple[int, ...]  # files whose NOP address is an operand that matters
    unmapped: tuple[int, ...]  # operands' addresses without a register
    accumulators_read: frozenset[int]
    rotated: frozenset[int]  # accumulators whose values a rotation moves
    rotates_by_r5: bool
    loads_r4: bool
    loads_tmu: int | None
    ports: tuple[int | None, int | None]  # what each port reads, -1 for an immediate, None for nothing
    immediate: int | None  # of a load of 32 bits
    is_branch: bool
    ends: bool  # the thread ends two instructions later

    @property
    def asks_sfu(self) -> bool:
        return any(WRITE_UNITS[address] == "sfu" for address in self.outputs)

    def conditions_of_accumulator(self, number: int) -> tuple[int, ...]:
        """Conditions under which one of r0 to r3 is written; none where it is not."""
        return tuple(write.condition for write in self.writes if write.address == FILE_SIZE + number)


@lru_cache(maxsize=1 << 14)
def effects(instruction: Instruction) -> Effects:
    """The effects of an instruction."""
    writes = tuple(_writes(instruction))
    operands = _operands(instruction) if isinstance(instruction, Alu) else frozenset()
    ports = _operand_ports(instruction, operands)
    alu = instruction if isinstance(instruction, Alu) else None
    rotation = alu.raddr_b if alu and alu.signal == SIGNALS["small_immediate"] and alu.raddr_b >= 48 else None
    rotated = {alu.mul_a, alu.mul_b} if alu and rotation is not None and alu.op_mul else set()
    return Effects(
        writes=writes,
        file_reads=frozenset((file, address) for file, address in ports if address < FILE_SIZE),
        file_writes=frozenset((w.file, w.address) for w in writes if w.address < FILE_SIZE),
        inputs=_inputs(alu) if alu else (),
        outputs=tuple(w.address for w in writes if w.address >= FILE_SIZE),
        relays=_relays(alu) if alu else (),
        unmapped=tuple(a for file, a in ports if a >= FILE_SIZE and a not in READABLE[file]),
        accumulators_read=frozenset(mux for mux in operands if mux < MUX_A),
        rotated=frozenset(mux for mux in rotated if mux < 4),
        rotates_by_r5=rotation == 48,
        loads_r4=alu is not None and alu.signal in _TO_R4,
        loads_tmu=_LOADS_TMU.get(alu.signal) if alu else None,
        ports=_port_reads(alu) if alu else (None, None),
        immediate=_immediate(instruction),
        is_branch=isinstance(instruction, Branch),
        ends=alu is not None and alu.signal in _ENDS,
    )


def _writes(instruction: Instruction) -> list[Write]:
    always = CONDITIONS["always"]
    conditions = (
        (always, always) if isinstance(instruction, Branch) else (instruction.cond_add, instruction.cond_mul)
    )
    addresses = (instruction.waddr_add, instruction.waddr_mul)
    return [
        Write(bool(mul), instruction.write_swap ^ mul, addresses[mul], conditions[mul])
        for mul in ((1,) if _add_is_idle(instruction) else (0, 1))
        if addresses[mul] != NOP_ADDRESS and (conditions[mul] != _NEVER or addresses[mul] > R5)
    ]


def _add_is_idle(instruction: Instruction) -> bool:
    return isinstance(instruction, Alu) and not instruction.op_add


def _operands(i: Alu) -> frozenset[int]:
    add = (i.add_a, i.add_b) if i.op_add else ()
    return frozenset((*add, *((i.mul_a, i.mul_b) if i.op_mul else ())))


def _relays(i: Alu) -> tuple[int, ...]:
    """The mutex is released whatever is written to it, so that an operand of such a write matters to flags alone."""
    add = (i.add_a, i.add_b) if i.op_add and (i.set_flags or i.waddr_add != MUTEX) else ()
    mul = (i.mul_a, i.mul_b) if i.op_mul and (i.set_flags or i.waddr_mul != MUTEX) else ()
    ports = _operand_ports(i, frozenset((*add, *mul)))
    return tuple(file for file, address in ports if address == RELAY)


def _operand_ports(instruction: Instruction, operands: frozenset[int]) -> list[tuple[int, int]]:
    if isinstance(instruction, Branch):
        return [(0, instruction.raddr_a)] if instruction.use_register else []
    if not isinstance(instruction, Alu):
        return []
    ports = [(0, instruction.raddr_a)] if MUX_A in operands else []
    if MUX_B in operands and instruction.signal != SIGNALS["small_immediate"]:
        ports.append((1, instruction.raddr_b))
    return ports


def _inputs(i: Alu) -> tuple[int, ...]:
    ports = (i.raddr_a,) if i.signal == SIGNALS["small_immediate"] else (i.raddr_a, i.raddr_b)
    return tuple(a for a in ports if a in READ_UNITS and a not in (NUMBER, RELAY))


def _port_reads(i: Alu) -> tuple[int | None, int | None]:
    a = None if i.raddr_a == NOP_ADDRESS else i.raddr_a
    if i.signal == SIGNALS["small_immediate"]:
        return a, -1
    return a, None if i.raddr_b == NOP_ADDRESS else i.raddr_b


def _immediate(instruction: Instruction) -> int | None:
    if isinstance(instruction, LoadImmediate) and instruction.mode == 0:
        return instruction.immediate
    return None


def is_semaphore(instruction: Instruction) -> bool:
    """Whether the instruction counts a semaphore."""
    return isinstance(instruction, Semaphore)
