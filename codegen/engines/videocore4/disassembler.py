"""Instructions to text that the assembler of `codegen.engines.videocore4.text` reads back to the same word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.engines.videocore4.isa import (
    ADD_OPS,
    BRANCH_CONDITIONS,
    CONDITIONS,
    MUL_OPS,
    MUX_A,
    MUX_B,
    NOP_ADDRESS,
    SIGNALS,
    Alu,
    Branch,
    Instruction,
    LoadImmediate,
    Semaphore,
    decode,
    field_names,
    small_immediate_value,
)
from codegen.engines.videocore4.syntax import (
    PACK_A_NAMES,
    PACK_MUL_NAMES,
    READS,
    UNPACK_NAMES,
    read_name,
    write_name,
)
from codegen.engines.videocore4.tables import ADD, IMMEDIATE_MODES, MUL
from codegen.engines.videocore4.text import parse_instruction
from codegen.errors import AssemblyError

_ADD = {op.code: op for op in ADD}
_MUL = {op.code: op for op in MUL}
_SIGNALS = {code: name for name, code in SIGNALS.items()}
_CONDITIONS = {code: name for name, code in CONDITIONS.items()}
_BRANCHES = {code: name for name, code in BRANCH_CONDITIONS.items()}
_MODES = {mode.code: mode.name for mode in IMMEDIATE_MODES}
_MOVES = (ADD_OPS["or"], MUL_OPS["v8min"])
_DELAY = 4  # instructions from a branch to what its offset counts from


def signed(word: int) -> int:
    """A 32-bit word as a signed integer."""
    return word - (1 << 32) if word & 1 << 31 else word


def branch_target(index: int, branch: Branch) -> int | None:
    """The place a relative branch at `index` leads to, None where a register or absolute address decides."""
    offset = signed(branch.immediate)
    if not branch.relative or branch.use_register or offset % 8:
        return None
    return index + _DELAY + offset // 8


def instruction_text(instruction: Instruction, label: str | None = None) -> str:
    """One instruction as a line; `label` names the target of a branch. Fields it cannot say follow in braces."""
    text = _plain(instruction, label)
    offset = instruction.immediate if isinstance(instruction, Branch) else 0
    said = parse_instruction(text, lambda _: signed(offset))
    fields = [
        f"{name}={getattr(instruction, name)}"
        for name in field_names(instruction)
        if getattr(said, name) != getattr(instruction, name)
    ]
    return f"{text}  {{{', '.join(fields)}}}" if fields else text


def disassemble(words: Sequence[int]) -> str:
    """A program as text: labels at branch targets, and `.word` with the reason where there is no instruction."""
    lines = [_line(word) for word in words]
    labels: dict[int, str] = {}
    for index, line in enumerate(lines):
        target = branch_target(index, line.instruction) if isinstance(line.instruction, Branch) else None
        if target is not None and 0 <= target <= len(words):
            labels[target] = f"L{target}"
    text = []
    for index, line in enumerate(lines):
        if index in labels:
            text.append(f"{labels[index]}:")
        if line.instruction is None:
            text.append(f"    .word {words[index]:#018x}  # {line.reason}")
            continue
        target = branch_target(index, line.instruction) if isinstance(line.instruction, Branch) else None
        text.append(
            "    " + instruction_text(line.instruction, None if target is None else labels.get(target))
        )
    if len(words) in labels:
        text.append(f"{labels[len(words)]}:")
    return "".join(f"{line}\n" for line in text)


@dataclass(frozen=True)
class _Line:
    instruction: Instruction | None
    reason: str = ""


def _line(word: int) -> _Line:
    try:
        return _Line(decode(word))
    except AssemblyError as error:
        return _Line(None, str(error).partition(": ")[2])


def _plain(instruction: Instruction, label: str | None) -> str:
    if isinstance(instruction, Alu):
        return _alu(instruction)
    if isinstance(instruction, LoadImmediate):
        return _load(instruction)
    if isinstance(instruction, Semaphore):
        return f"{('release', 'acquire')[instruction.decrement]} {instruction.number}"
    return _branch(instruction, label)


def _rotation(i: Alu) -> str:
    if i.signal != SIGNALS["small_immediate"] or i.raddr_b < 48:
        return ""
    return ".rot_r5" if i.raddr_b == 48 else f".rot{i.raddr_b - 48}"


def _alu(i: Alu) -> str:
    rotated = _rotation(i)
    has_mul = bool(i.op_mul or i.cond_mul or rotated or i.waddr_mul != NOP_ADDRESS)
    parts = [_slot(i, mul=False, rotated="")]
    if has_mul:
        parts.append(_slot(i, mul=True, rotated=rotated))
    signal = _SIGNALS[i.signal]
    if signal not in ("none", "small_immediate"):
        parts.append(signal)
    return " ; ".join(parts)


def _slot(i: Alu, *, mul: bool, rotated: str) -> str:
    op = _MUL[i.op_mul] if mul else _ADD[i.op_add]
    condition, address = (i.cond_mul, i.waddr_mul) if mul else (i.cond_add, i.waddr_add)
    first, second = (i.mul_a, i.mul_b) if mul else (i.add_a, i.add_b)
    from_mul = i.op_add == 0 and i.op_mul != 0
    flags = ".sf" if i.set_flags and mul == from_mul else ""
    name, operands = op.name, [first, second] if op.code else []
    if op.code == _MOVES[mul] and first == second:
        name, operands = "mov", [first]
    elif op.operands == 1 and first == second:
        operands = [first]
    usual = CONDITIONS["always"] if op.code else CONDITIONS["never"]
    suffix = ("" if condition == usual else f".{_CONDITIONS[condition]}") + flags + rotated
    if not op.code and address == NOP_ADDRESS:
        return name + suffix
    file = i.write_swap ^ mul
    places = [_result(i, file, address, mul), *(_operand(i, mux) for mux in operands)]
    return f"{name}{suffix} {', '.join(places)}"


def _result(i: Alu | LoadImmediate, file: int, address: int, mul: bool) -> str:
    name = write_name(file, address)
    if i.pm:
        mode = PACK_MUL_NAMES[i.pack] if mul else ""
    else:
        mode = PACK_A_NAMES[i.pack] if file == 0 and address < 32 else ""
    return f"{name}.{mode}" if mode else name


def _operand(i: Alu, mux: int) -> str:
    if mux == MUX_B and i.signal == SIGNALS["small_immediate"]:
        return str(small_immediate_value(i.raddr_b))
    if mux < MUX_A:
        return f"r{mux}.{UNPACK_NAMES[i.unpack]}" if mux == 4 and i.pm and i.unpack else f"r{mux}"
    file = mux - MUX_A
    address = i.raddr_b if file else i.raddr_a
    name = read_name(file, address)
    if address >= 32:
        return f"{name}.b" if file and len(READS[name]) == 2 else name
    return f"{name}.{UNPACK_NAMES[i.unpack]}" if file == 0 and not i.pm and i.unpack else name


def _load(i: LoadImmediate) -> str:
    mode = f".{_MODES[i.mode]}" if i.mode else ""
    if i.mode:
        lanes = [(i.immediate >> k & 1, i.immediate >> (16 + k) & 1) for k in range(16)]
        sign = -2 if i.mode == 1 else 2
        value = "[" + ", ".join(str(low + sign * high) for low, high in lanes) + "]"
    else:
        value = f"{i.immediate:#x}"
    text = f"load{mode}{_condition(i.cond_add, i.waddr_add)}{'.sf' if i.set_flags else ''} "
    text += f"{_result(i, i.write_swap, i.waddr_add, False)}, {value}"
    if i.waddr_mul != NOP_ADDRESS or i.cond_mul:
        text += (
            f" ; load{_condition(i.cond_mul, i.waddr_mul)} {_result(i, 1 - i.write_swap, i.waddr_mul, True)}"
        )
    return text


def _condition(condition: int, address: int) -> str:
    usual = CONDITIONS["never"] if address == NOP_ADDRESS else CONDITIONS["always"]
    return "" if condition == usual else f".{_CONDITIONS[condition]}"


def _branch(i: Branch, label: str | None) -> str:
    name = "branch" if i.relative else "jump"
    condition = "" if i.condition == BRANCH_CONDITIONS["always"] else f".{_BRANCHES[i.condition]}"
    offset = signed(i.immediate)
    if i.use_register:
        sign = "-" if offset < 0 else "+"
        target = f"ra{i.raddr_a}" + (f" {sign} {abs(offset)}" if offset else "")
    elif label is not None:
        target = label
    else:
        target = str(offset) if i.relative else f"{i.immediate:#x}"
    text = f"{name}{condition} {target}"
    if i.waddr_add != NOP_ADDRESS or i.waddr_mul != NOP_ADDRESS:
        text += f" ; link {write_name(i.write_swap, i.waddr_add)}"
    if i.waddr_mul != NOP_ADDRESS:
        text += f" ; link {write_name(1 - i.write_swap, i.waddr_mul)}"
    return text
