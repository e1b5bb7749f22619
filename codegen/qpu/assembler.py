"""An assembler that reads like assembly: one method call an operation, labels and branches between blocks."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace

from codegen.errors import AssemblyError
from codegen.qpu.isa import ADD_OPS, BRANCH_CONDITIONS, NOP, SIGNALS, Alu, Branch, Instruction
from codegen.qpu.operation import Bundle, Immediate, Item, Operation, SemaphoreStep, Source, Unit
from codegen.qpu.registers import Register
from codegen.qpu.scheduler import in_order, schedule
from codegen.qpu.validate import reads_after_write, too_close, validate

DELAY_SLOTS = 3


@dataclass(frozen=True)
class _Jump:
    condition: str
    label: str | None
    register: Register | None


@dataclass
class _Block:
    labels: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    jump: _Jump | None = None
    end: bool = False
    verbatim: bool = False


def word_of(value: int | float) -> int:
    """The 32 bits of an int (modulo 2**32) or of a float as float32."""
    if isinstance(value, float):
        return int(struct.unpack("<I", struct.pack("<f", value))[0])
    return value & 0xFFFFFFFF


class Assembler:
    """Collects a kernel's operations and assembles them into validated 64-bit words.

    Operations stand in straight order, as if each took effect before the next; the scheduler pairs them and
    keeps the hardware's distances.
    """

    def __init__(self) -> None:
        self._blocks = [_Block()]

    # Operations ---------------------------------------------------------------------------------------------

    def op(
        self,
        name: str,
        destination: Register,
        *sources: Source,
        condition: str = "always",
        set_flags: bool = False,
    ) -> None:
        """An operation of the add ALU, or `fmul` and `mul24` of the multiplier; names are the ISA's."""
        self._item(
            Bundle((operation(name, destination, *sources, condition=condition, set_flags=set_flags),))
        )

    def mov(
        self, destination: Register, source: Source, condition: str = "always", set_flags: bool = False
    ) -> None:
        """A copy by whichever ALU is free."""
        self._item(Bundle((move(destination, source, condition, set_flags),)))

    def rotate(self, destination: Register, source: Register, lanes: int) -> None:
        """Lane i of the result is lane (i - lanes) mod 16 of an accumulator r0 to r3."""
        self._item(Bundle((Operation("mov", "mul", destination, (source,), rotate=lanes),)))

    def together(self, *operations: Operation, signal: str = "none") -> None:
        """Operations that must issue in one instruction (two reads of one uniform, say)."""
        self._item(Bundle(operations, signal))

    def load(self, destination: Register, value: int | float) -> None:
        """Any 32-bit constant into a register, all lanes."""
        self._item(Immediate(destination, word_of(value)))

    def load_tmu(self, tmu: int) -> None:
        """Waits for the oldest request of a TMU and moves it to r4."""
        self._item(Bundle(signal=f"load_tmu{tmu}"))

    def acquire(self, semaphore: int) -> None:
        """Decrements a semaphore, waiting while it is 0."""
        self._item(SemaphoreStep(semaphore, decrement=True))

    def release(self, semaphore: int) -> None:
        """Increments a semaphore, waiting while it is 15."""
        self._item(SemaphoreStep(semaphore, decrement=False))

    # Control ------------------------------------------------------------------------------------------------

    def label(self, name: str) -> None:
        """Names the next instruction."""
        if any(name in block.labels for block in self._blocks):
            raise AssemblyError(f"label {name!r} is defined twice")
        last = self._blocks[-1]
        if last.items or last.jump or last.end:
            self._blocks.append(_Block())
        self._blocks[-1].labels.append(name)

    def verbatim(self, name: str) -> None:
        """Names the next instruction and keeps the order up to the next label or branch: one item an instruction."""
        self.label(name)
        self._blocks[-1].verbatim = True

    def branch(self, label: str, condition: str = "always") -> None:
        """Jumps to a label; the scheduler fills the three delay slots with what stands before."""
        self._jump(_Jump(condition, label, None))

    def branch_register(self, register: Register) -> None:
        """Jumps to the bus address in lane 15 of a register of file A."""
        if register.read_ports != "a" or register.read_address is None or register.read_address > 31:
            raise AssemblyError(f"branch target {register} must be a register of file A")
        if register.read_address % 2:
            raise AssemblyError(f"branch target {register}: an odd register would set the flags")
        self._jump(_Jump("always", None, register))

    def thread_end(self) -> None:
        """Ends the program: signal and two delay slots."""
        self._blocks[-1].end = True
        self._blocks.append(_Block())

    def _item(self, item: Item) -> None:
        self._blocks[-1].items.append(item)

    def _jump(self, jump: _Jump) -> None:
        if jump.condition not in BRANCH_CONDITIONS:
            raise AssemblyError(f"unknown branch condition {jump.condition!r}")
        self._blocks[-1].jump = jump
        self._blocks.append(_Block())

    # Assembly -----------------------------------------------------------------------------------------------

    def assemble(self) -> tuple[int, ...]:
        """Encoded 64-bit words, position independent; raises AssemblyError for rules broken or labels missing."""
        bodies = [(in_order if b.verbatim else schedule)(b.items) for b in self._blocks]
        while True:
            code, edges = self._lay_out(bodies)
            conflicts = {block for block, last, following in edges if too_close(code, last, following)}
            if not conflicts:
                break
            for block in conflicts:
                bodies[block] = [*bodies[block], NOP]
        validate(code)
        return tuple(instruction.encode() for instruction in code)

    def _lay_out(
        self, bodies: list[list[Instruction]]
    ) -> tuple[list[Instruction], list[tuple[int, int, int]]]:
        """The code, and the control-flow edges as (block, its last instruction, the one that may follow it)."""
        code: list[Instruction] = []
        labels: dict[str, int] = {}
        branches: list[tuple[int, str, int]] = []
        edges: list[tuple[int, int, int]] = []
        for number, (block, body) in enumerate(zip(self._blocks, bodies, strict=True)):
            start = len(code)
            labels.update(dict.fromkeys(block.labels, start))
            if block.jump is not None:
                placed, at = _with_branch(body, block.jump)
                if block.jump.label is not None:
                    branches.append((start + at, block.jump.label, number))
                code += placed
            else:
                code += body
            falls_through = block.jump is None or block.jump.condition != "always"
            if block.end:
                code += [Alu(signal=SIGNALS["thread_end"]), NOP, NOP]
            elif falls_through and len(code) > start:
                edges.append((number, len(code) - 1, len(code)))
        for at, label, number in branches:
            if label not in labels:
                raise AssemblyError(f"label {label!r} is not defined")
            offset = (labels[label] - (at + 1 + DELAY_SLOTS)) * 8
            branch = code[at]
            if not isinstance(branch, Branch):
                raise AssemblyError(f"instruction {at} should be the branch to {label!r}")
            code[at] = replace(branch, relative=1, immediate=offset & 0xFFFFFFFF)
            edges.append((number, at + DELAY_SLOTS, labels[label]))
        return code, [edge for edge in edges if edge[2] < len(code)]


def _with_branch(body: list[Instruction], jump: _Jump) -> tuple[list[Instruction], int]:
    """The block with its branch so early that three instructions follow it, and the branch's place."""
    at = max(len(body) - DELAY_SLOTS, _flags_ready(body, jump), _register_ready(body, jump), 0)
    branch = Branch(
        BRANCH_CONDITIONS[jump.condition],
        use_register=int(jump.register is not None),
        raddr_a=(jump.register.read_address or 0) if jump.register is not None else 0,
    )
    before = [*body[:at], *[NOP] * (at - len(body))]
    after = [*body[at:], *[NOP] * (DELAY_SLOTS - len(body[at:]))]
    return [*before, branch, *after], at


def _flags_ready(body: list[Instruction], jump: _Jump) -> int:
    if jump.condition == "always":
        return 0
    setters = [i for i, instruction in enumerate(body) if getattr(instruction, "set_flags", 0)]
    return setters[-1] + 1 if setters else 0


def _register_ready(body: list[Instruction], jump: _Jump) -> int:
    if jump.register is None:
        return 0
    for i in range(len(body) - 1, -1, -1):
        if reads_after_write(body[i], _reader(jump.register)):
            return i + 2
    return 0


def _reader(register: Register) -> Alu:
    return Alu(raddr_a=register.read_address or 0)


def operation(
    name: str,
    destination: Register,
    *sources: Source,
    condition: str = "always",
    set_flags: bool = False,
) -> Operation:
    """An operation for `Assembler.together`; the ALU follows from the name."""
    if name == "mov":
        return move(destination, sources[0], condition, set_flags)
    unit: Unit = "mul" if name in ("fmul", "mul24", "v8muld", "v8min", "v8max") else "add"
    if unit == "add" and name not in ADD_OPS:
        raise AssemblyError(f"unknown operation {name!r}")
    return Operation(name, unit, destination, sources, condition, set_flags)


def move(
    destination: Register, source: Source, condition: str = "always", set_flags: bool = False
) -> Operation:
    """A copy by either ALU."""
    return Operation("mov", "any", destination, (source,), condition, set_flags)
