"""Rules of the hardware that a sequence of instructions must keep (guide p.18 to 25 and 37; addendum)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from codegen.errors import AssemblyError
from codegen.qpu.isa import (
    CONDITIONS,
    MUX_A,
    MUX_B,
    NOP_ADDRESS,
    SIGNALS,
    Alu,
    Branch,
    Instruction,
    Semaphore,
)

_SFU = range(52, 56)
_TMU = range(56, 64)
_VPM = (48, 49, 50)
_LOAD_TMU = (SIGNALS["load_tmu0"], SIGNALS["load_tmu1"])
_UNIFORMS_ADDRESS = 40
_UNIFORM = 32


def validate(code: Sequence[Instruction]) -> None:
    """Raises AssemblyError naming rule, place and remedy for the first rule that straight-line code breaks.

    Follows fall-through order; the assembler checks the edges of branches by `reads_after_write`.
    """
    for index, instruction in enumerate(code):
        for message in (*_single(instruction), *_history(code, index)):
            raise AssemblyError(f"instruction {index} ({instruction.encode():#018x}): {message}")


def reads_after_write(before: Instruction, after: Instruction) -> bool:
    """Whether `after` reads a register-file location that `before`, just ahead of it, writes."""
    return bool(file_writes(before) & file_reads(after))


def too_close(code: Sequence[Instruction], last: int, following: int) -> bool:
    """Whether `following`, executed right after `last`, comes too soon after what was written before it."""
    if reads_after_write(code[last], code[following]):
        return True
    for gap in range(min(last + 1, 2)):
        moves_stream = _UNIFORMS_ADDRESS in _write_addresses(code[last - gap])
        if moves_stream and any(_reads(i, _UNIFORM) for i in code[following : following + 2 - gap]):
            return True
    return False


def file_writes(instruction: Instruction) -> set[tuple[str, int]]:
    """Locations of the register files an instruction writes."""
    add_file, mul_file = ("b", "a") if instruction.write_swap else ("a", "b")
    written = set()
    if instruction.waddr_add < 32:
        written.add((add_file, instruction.waddr_add))
    if instruction.waddr_mul < 32:
        written.add((mul_file, instruction.waddr_mul))
    return written


def file_reads(instruction: Instruction) -> set[tuple[str, int]]:
    """Locations of the register files an instruction reads."""
    if isinstance(instruction, Branch):
        return {("a", instruction.raddr_a)} if instruction.use_register else set()
    if not isinstance(instruction, Alu):
        return set()
    read = {("a", instruction.raddr_a)} if instruction.raddr_a < 32 else set()
    if instruction.raddr_b < 32 and instruction.signal != SIGNALS["small_immediate"]:
        read.add(("b", instruction.raddr_b))
    return read


def _write_addresses(instruction: Instruction) -> tuple[int, int]:
    return instruction.waddr_add, instruction.waddr_mul


def _reads(instruction: Instruction, address: int) -> bool:
    if not isinstance(instruction, Alu):
        return False
    on_b = instruction.raddr_b == address and instruction.signal != SIGNALS["small_immediate"]
    return instruction.raddr_a == address or on_b


def _peripheral_accesses(instruction: Instruction) -> int:
    writes = sum(
        a in _SFU or a in _TMU or a in (*_VPM, 51) or (44 <= a <= 47) for a in _write_addresses(instruction)
    )
    reads = sum(_reads(instruction, address) for address in (48, 49, 50, 51))
    loads = isinstance(instruction, Alu) and instruction.signal in _LOAD_TMU
    return writes + reads + loads + isinstance(instruction, Semaphore)


def _single(instruction: Instruction) -> Iterator[str]:
    if _peripheral_accesses(instruction) > 1:
        yield "more than one peripheral access in one instruction; split it"
    if not isinstance(instruction, Alu):
        return
    if instruction.waddr_add in _TMU and instruction.cond_add not in (CONDITIONS["always"],):
        yield "conditional write to a TMU register fires anyway; write it unconditionally"
    if instruction.set_flags and instruction.op_add == 0 and instruction.op_mul == 0:
        yield "set_flags without an operation; drop it"
    if not instruction.op_add and instruction.waddr_add != NOP_ADDRESS:
        yield "the add ALU writes without an operation"
    uses_b = MUX_B in (instruction.add_a, instruction.add_b, instruction.mul_a, instruction.mul_b)
    if instruction.signal == SIGNALS["small_immediate"] and not uses_b and instruction.raddr_b < 48:
        yield "a small immediate that nothing reads"


def _operands(instruction: Alu) -> set[int]:
    """Multiplexer inputs that the instruction's operations use."""
    add = (instruction.add_a, instruction.add_b) if instruction.op_add else ()
    mul = (instruction.mul_a, instruction.mul_b) if instruction.op_mul else ()
    return {*add, *mul}


def _port(instruction: Instruction, mux: int) -> int:
    """What a port of the register files reads, NOP_ADDRESS where it reads nothing."""
    if not isinstance(instruction, Alu):
        return NOP_ADDRESS
    if mux == MUX_A:
        return instruction.raddr_a
    # An immediate takes port B as a read of a register would.
    return -1 if instruction.signal == SIGNALS["small_immediate"] else instruction.raddr_b


def _relays(code: Sequence[Instruction], index: int) -> Iterator[str]:
    """A NOP address gives the port's last value again: sound where that was a uniform, the same in all lanes."""
    instruction = code[index]
    if not isinstance(instruction, Alu):
        return
    for mux, name in ((MUX_A, "A"), (MUX_B, "B")):
        if mux in _operands(instruction) and _port(instruction, mux) == NOP_ADDRESS:
            before = (_port(code[i], mux) for i in range(index - 1, -1, -1))
            if next((address for address in before if address != NOP_ADDRESS), None) != _UNIFORM:
                yield f"reads port {name} without an address, and its last value was no uniform"


def _history(code: Sequence[Instruction], index: int) -> Iterator[str]:
    instruction = code[index]
    yield from _relays(code, index)
    if index and reads_after_write(code[index - 1], instruction) and not _after_jump(code, index):
        yield "reads a register-file location that the instruction before writes; put one between"
    if _reads(instruction, _UNIFORM):
        for back in range(1, min(index, 2) + 1):
            if _UNIFORMS_ADDRESS in _write_addresses(code[index - back]):
                yield "reads a uniform within two instructions of a write to the uniforms' address"
    if isinstance(instruction, Branch):
        for back in range(1, min(index, 2) + 1):
            if isinstance(code[index - back], Branch):
                yield "two branches need two other instructions between them"
    rotates = isinstance(instruction, Alu) and instruction.signal == SIGNALS["small_immediate"]
    if rotates and isinstance(instruction, Alu) and instruction.raddr_b >= 48 and index:
        sources = {instruction.mul_a, instruction.mul_b}
        written = {a - 32 for a in _write_addresses(code[index - 1]) if 32 <= a <= 35}
        if sources & written:
            yield "rotates an accumulator that the instruction before writes; put one between"
    for back in range(1, min(index, 2) + 1):
        if any(a in _SFU for a in _write_addresses(code[index - back])) and _touches_r4(instruction):
            yield "touches r4 within two instructions of an SFU request"


def _after_jump(code: Sequence[Instruction], index: int) -> bool:
    """Whether an instruction is reached only by branches: it stands behind an unconditional branch's last slot."""
    branch = code[index - 4] if index >= 4 else None
    return isinstance(branch, Branch) and branch.condition == 15


def _touches_r4(instruction: Instruction) -> bool:
    if not isinstance(instruction, Alu):
        return False
    read = 4 in (instruction.add_a, instruction.add_b) and instruction.op_add != 0
    read = read or (4 in (instruction.mul_a, instruction.mul_b) and instruction.op_mul != 0)
    return read or instruction.signal in _LOAD_TMU
