"""Rules that one instruction can break alone."""

from __future__ import annotations

from collections.abc import Iterator

from codegen.engines.videocore4 import rules
from codegen.engines.videocore4.effects import (
    FILE_SIZE,
    HOST,
    MUTEX,
    R5,
    READ_UNITS,
    TMU_S,
    UNIFORM,
    VPM,
    WRITE_UNITS,
    Effects,
    is_semaphore,
)
from codegen.engines.videocore4.isa import (
    ADD_OPS,
    CONDITIONS,
    MUL_OPS,
    MUX_A,
    MUX_B,
    NOP_ADDRESS,
    ROTATE_BY_R5,
    SIGNALS,
    Alu,
    Branch,
    Instruction,
    LoadImmediate,
)
from codegen.engines.videocore4.syntax import write_name
from codegen.engines.videocore4.tables import SIGNAL_TABLE

_COUPLED = ("tmu", "sfu", "tile buffer")
_SHADERS = ("tile buffer", "shader")
_SIGNALS = {signal.code: signal for signal in SIGNAL_TABLE}
_NOSWAP = 36
_ACCUMULATORS = range(32, 36)
_OPPOSITE = tuple(
    pair
    for one, other in (("zs", "zc"), ("ns", "nc"), ("cs", "cc"))
    for pair in ((CONDITIONS[one], CONDITIONS[other]), (CONDITIONS[other], CONDITIONS[one]))
)
_ADD_MOVES = tuple(ADD_OPS[name] for name in ("or", "and", "min", "max"))
_MUL_MOVES = tuple(MUL_OPS[name] for name in ("v8min", "v8max"))

Broken = tuple[rules.Rule, str]


def single(instruction: Instruction, e: Effects) -> Iterator[Broken]:
    """The rules that an instruction of these effects breaks, each with what breaks it."""
    yield from _accesses(instruction, e)
    yield from _outputs(instruction, e)
    yield from _shader(instruction, e)
    if e.unmapped:
        yield rules.UNMAPPED_READ, ", ".join(f"address {address}" for address in e.unmapped)
    if isinstance(instruction, Alu):
        yield from _idle(instruction, e)
        yield from _rotation(instruction)
    if isinstance(instruction, Branch):
        if instruction.raddr_a % 2:
            yield rules.ODD_BRANCH_REGISTER, f"ra{instruction.raddr_a}"
    else:
        yield from _packing(instruction, e)


def _coupled(address: int) -> bool:
    return WRITE_UNITS[address] in _COUPLED and address != _NOSWAP


def _accesses(instruction: Instruction, e: Effects) -> Iterator[Broken]:
    signal = _SIGNALS[instruction.signal] if isinstance(instruction, Alu) else None
    loads_tmu = signal is not None and signal.name.startswith("load_tmu")
    semaphore = is_semaphore(instruction)  # what it writes besides has a rule of its own
    coupled = [write_name(0, address) for address in e.outputs if _coupled(address) and not semaphore]
    coupled += [signal.name] if signal is not None and signal.to_r4 else []
    coupled += ["mutex"] if MUTEX in e.inputs else []
    multisample = signal is not None and signal.name == "load_color" and "tlb_color_ms" in coupled
    if len(coupled) > (2 if multisample else 1):
        yield rules.PERIPHERALS, " and ".join(coupled)
    reads = [address for address in e.inputs if READ_UNITS[address] == "vpm"]
    writes = [address for address in e.outputs if WRITE_UNITS[address] == "vpm"]
    together = reads == [VPM] and writes == [VPM]
    if len(reads) + len(writes) > 1 and not together:
        yield rules.VPM_ALONE, f"{len(reads)} reads and {len(writes)} writes"
    elif loads_tmu and reads + writes:
        yield rules.VPM_ALONE, "with a TMU load"


def _outputs(instruction: Instruction, e: Effects) -> Iterator[Broken]:
    yield from _same_result(instruction, e)
    for write in e.writes:
        if write.address >= _NOSWAP and write.address not in (R5, HOST):
            if write.condition != CONDITIONS["always"]:
                yield rules.CONDITIONAL_OUTPUT, write_name(write.file, write.address)
            if is_semaphore(instruction) and _coupled(write.address):
                yield rules.SEMAPHORE_OUTPUT, write_name(write.file, write.address)
    textures = [a for a in e.outputs if WRITE_UNITS[a] == "tmu" and a not in (*TMU_S, _NOSWAP)]
    if textures and UNIFORM in e.inputs:
        yield rules.TEXTURE_UNIFORM, write_name(0, textures[0])


def _same_result(instruction: Instruction, e: Effects) -> Iterator[Broken]:
    if len(e.outputs) != 2 or e.outputs[0] != e.outputs[1]:
        return
    conditions = tuple(write.condition for write in e.writes)
    if e.outputs[0] not in _ACCUMULATORS:
        yield rules.SAME_RESULT, write_name(0, e.outputs[0])
    elif conditions not in _OPPOSITE:
        rule = rules.SAME_VALUE if _moves_one_value(instruction) else rules.SAME_RESULT
        yield rule, write_name(0, e.outputs[0])


def _moves_one_value(i: Instruction) -> bool:
    """Whether both results are the same by the instruction's form: one immediate, or one operand moved by both ALUs."""
    if isinstance(i, Branch):
        return True
    if not isinstance(i, Alu):
        return not i.pack
    moves = i.op_add in _ADD_MOVES and i.op_mul in _MUL_MOVES and not i.pack
    rotates = i.signal == SIGNALS["small_immediate"] and i.raddr_b >= ROTATE_BY_R5
    return moves and not rotates and len({i.add_a, i.add_b, i.mul_a, i.mul_b}) == 1


def _shader(instruction: Instruction, e: Effects) -> Iterator[Broken]:
    if isinstance(instruction, Alu) and not _SIGNALS[instruction.signal].general:
        yield rules.SHADER_ONLY, f"signal {_SIGNALS[instruction.signal].name}"
    units = [READ_UNITS[a] for a in e.inputs] + [WRITE_UNITS[a] for a in e.outputs]
    found = sorted({unit for unit in units if unit in _SHADERS})
    if found:
        yield rules.SHADER_ONLY, " and ".join(f"{unit} register" for unit in found)


def _operands(i: Alu) -> set[int]:
    return {*((i.add_a, i.add_b) if i.op_add else ()), *((i.mul_a, i.mul_b) if i.op_mul else ())}


def _idle(i: Alu, e: Effects) -> Iterator[Broken]:
    if i.set_flags and not i.op_add and not i.op_mul:
        yield rules.IDLE_FLAGS, ""
    if not i.op_add and i.waddr_add != NOP_ADDRESS and i.cond_add != CONDITIONS["never"]:
        yield rules.IDLE_ADD_WRITE, write_name(i.write_swap, i.waddr_add)
    for write in e.writes:
        if write.mul and not i.op_mul:
            yield rules.IDLE_MUL_WRITE, write_name(write.file, write.address)
    if i.signal == SIGNALS["small_immediate"] and i.raddr_b < 48 and MUX_B not in _operands(i):
        yield rules.IDLE_IMMEDIATE, ""


def _rotation(i: Alu) -> Iterator[Broken]:
    rotates = i.signal == SIGNALS["small_immediate"] and i.raddr_b >= 48 and i.op_mul
    if rotates and max(i.mul_a, i.mul_b) > 3:
        yield rules.QUAD_ROTATION, f"rotation code {i.raddr_b}"


def _packing(instruction: Instruction, e: Effects) -> Iterator[Broken]:
    if isinstance(instruction, Branch):
        return
    to_mul = [w for w in e.writes if w.mul]
    to_file_a = [w for w in e.writes if w.file == 0 and w.address < FILE_SIZE]
    if instruction.pack and not (to_mul if instruction.pm else to_file_a):
        yield rules.IDLE_PACK, f"pack mode {instruction.pack}"
    if instruction.pm and 4 <= instruction.pack <= 7 and any(w.address > R5 for w in to_mul):
        yield rules.PACKED_OUTPUT, write_name(to_mul[0].file, to_mul[0].address)
    if isinstance(instruction, LoadImmediate) or not isinstance(instruction, Alu) or not instruction.unpack:
        return
    operands = _operands(instruction)
    through = 4 in operands if instruction.pm else MUX_A in operands and instruction.raddr_a < FILE_SIZE
    if not through:
        yield rules.IDLE_PACK, f"unpack mode {instruction.unpack}"
