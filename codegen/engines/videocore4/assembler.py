"""An assembler that reads like assembly: one method call an operation, labels and branches between blocks."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Literal

from codegen.engines.videocore4.allocate import DEFAULT_EFFORT, allocate, scheduled
from codegen.engines.videocore4.blocks import Block, Jump, requests_in_flight
from codegen.engines.videocore4.flow import DELAY_SLOTS
from codegen.engines.videocore4.isa import BRANCH_CONDITIONS, NOP, SIGNALS, Alu, Branch, Instruction
from codegen.engines.videocore4.mnemonics import Issued, Mnemonic, mnemonic, move, operation
from codegen.engines.videocore4.modulo import pipelined
from codegen.engines.videocore4.operation import Bundle, Immediate, Item, Operation, SemaphoreStep, Source
from codegen.engines.videocore4.registers import NULL, Register, virtual
from codegen.engines.videocore4.text import lane_bits
from codegen.engines.videocore4.validate import reads_after_write, too_close, validate
from codegen.errors import AssemblyError

__all__ = ["Assembler", "move", "operation", "word_of"]


def word_of(value: int | float) -> int:
    """The 32 bits of an int (modulo 2**32) or of a float as float32; raises AssemblyError beyond float32."""
    if isinstance(value, float):
        try:
            return int(struct.unpack("<I", struct.pack("<f", value))[0])
        except OverflowError as error:
            raise AssemblyError(f"{value} is beyond float32") from error
    return value & 0xFFFFFFFF


class Assembler:
    """Collects a kernel's operations and assembles them into validated 64-bit words.

    Operations stand in straight order, as if each took effect before the next; the scheduler pairs them and
    keeps the hardware's distances. Every operation of the ISA is a method, named as there (`and_`, `or_`, `not_`);
    what is chained behind one issues in the same instruction. Registers may be virtual (`register`): the
    allocator places them, and keeps the places in `reserved` free.
    """

    def __init__(self, reserved: Sequence[Register] = (), effort: int = DEFAULT_EFFORT) -> None:
        self._blocks = [Block()]
        self._reserved = tuple(reserved)
        self._effort = effort
        self._names: set[str] = set()

    # Operations ---------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Mnemonic:
        return mnemonic(name, self._operation)

    def register(self, name: str, files: str = "abr") -> Register:
        """A virtual register, a place of which the allocator chooses: file A ("a"), B ("b") or r0 to r3 ("r")."""
        if name in self._names:
            raise AssemblyError(f"virtual register {name!r} exists already")
        self._names.add(name)
        return virtual(name, files)

    def op(
        self,
        name: str,
        destination: Register,
        *sources: Source,
        condition: str = "always",
        set_flags: bool = False,
    ) -> Issued:
        """An operation by its name in the ISA."""
        return self._operation(
            operation(name, destination, *sources, condition=condition, set_flags=set_flags)
        )

    def mov(
        self, destination: Register, source: Source, condition: str = "always", set_flags: bool = False
    ) -> Issued:
        """A copy by whichever ALU is free."""
        return self._operation(move(destination, source, condition, set_flags))

    def rotate(self, destination: Register, source: Register, lanes: int | Register) -> None:
        """Lane i of the result is lane (i - lanes) mod 16 of an accumulator r0 to r3; `lanes` may be r5."""
        if isinstance(lanes, Register) and lanes.name != "r5":
            raise AssemblyError(f"rotation by {lanes}: lanes are a number or r5")
        by: int | Literal["r5"] = "r5" if isinstance(lanes, Register) else lanes
        if not source.virtual and (source.mux is None or source.mux > 3):
            raise AssemblyError(f"rotation of {source}: only r0 to r3 rotate through all lanes")
        self._item(Bundle((operation("mov", destination, source, rotate=by),)))

    def together(self, *operations: Operation, signal: str = "none") -> None:
        """Operations that must issue in one instruction (two reads of one uniform, say)."""
        self._item(Bundle(operations, signal))

    def load(self, destination: Register, value: int | float) -> None:
        """Any 32-bit constant into a register, all lanes; raises AssemblyError for what does not fit."""
        if isinstance(value, int) and not -(1 << 31) <= value < 1 << 32:
            raise AssemblyError(f"load: {value} does not fit 32 bits")
        self._item(Immediate(destination, word_of(value)))

    def load_lanes(self, destination: Register, values: Sequence[int]) -> None:
        """A constant of its own for each of the 16 lanes: all of -2 to 1, or all of 0 to 3."""
        low, mode = (-2, 1) if min(values, default=0) < 0 else (0, 3)
        self._item(Immediate(destination, lane_bits(list(values), low, low + 3), mode))

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
            self._blocks.append(Block())
        self._blocks[-1].labels.append(name)

    def verbatim(self, name: str) -> None:
        """Names the next instruction and keeps the order up to the next label or branch: one item an instruction."""
        self.label(name)
        self._blocks[-1].verbatim = True

    def pipelined_loop(self, name: str, items: Sequence[Bundle], condition: str) -> None:
        """A loop by modulo scheduling (see `pipelined`), with real registers, that goes on under a condition.

        An iteration's flags are those of the one item that sets some.
        """
        self.verbatim(name)
        first, second = requests_in_flight(self._blocks)[-1]
        if first is None or second is None:
            raise AssemblyError(f"loop {name!r}: ways to it have different numbers of TMU requests under way")
        for item in pipelined(items, (first, second)):
            self._item(item)
        self.branch(name, condition)

    def branch(self, label: str, condition: str = "always", link: Register | None = None) -> None:
        """Jumps to a label; the scheduler fills the three delay slots with what stands before.

        `link`, where given, is a register that gets the address behind the delay slots, if the branch is taken.
        """
        if link is not None and link.virtual:
            raise AssemblyError(
                f"link {link}: what the subroutine uses is unknown here; name a register itself"
            )
        self._jump(Jump(condition, label, None, link))

    def branch_register(self, register: Register) -> None:
        """Jumps to the bus address in lane 15 of a register of file A."""
        if register.virtual:
            raise AssemblyError(f"branch target {register}: name an even register of file A itself")
        if register.read_ports != "a" or register.read_address is None or register.read_address > 31:
            raise AssemblyError(f"branch target {register} must be a register of file A")
        if register.read_address % 2:
            raise AssemblyError(f"branch target {register}: an odd register would set the flags")
        self._jump(Jump("always", None, register))

    def thread_end(self) -> None:
        """Ends the program: signal and two delay slots."""
        self._blocks[-1].end = True
        self._blocks.append(Block())

    def _operation(self, added: Operation) -> Issued:
        self._item(Bundle((added,)))
        return Issued(self._blocks[-1].items)

    def _item(self, item: Item) -> None:
        self._blocks[-1].items.append(item)

    def _jump(self, jump: Jump) -> None:
        if jump.condition not in BRANCH_CONDITIONS:
            raise AssemblyError(f"unknown branch condition {jump.condition!r}")
        self._blocks[-1].jump = jump
        self._blocks.append(Block())

    # Assembly -----------------------------------------------------------------------------------------------

    @cached_property
    def words(self) -> tuple[int, ...]:
        """What `assemble` gives, once; nothing may be added afterwards."""
        return self.assemble()

    def assemble(self, whole: bool = False) -> tuple[int, ...]:
        """Encoded 64-bit words, position independent.

        A `whole` program is checked as one that a launch starts. Raises AssemblyError for rules broken or labels
        missing, RegisterError where the virtual registers do not fit.
        """
        blocks = self._blocks
        if self._names:
            blocks = allocate(blocks, self._reserved, self._effort)
        bodies = scheduled(blocks, patient=bool(self._names))
        while True:
            code, edges = self._lay_out(bodies)
            conflicts = {block for block, last, following in edges if too_close(code, last, following)}
            if not conflicts:
                break
            for block in conflicts:
                bodies[block] = [*bodies[block], NOP]
        validate(code, whole)
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


def _with_branch(body: list[Instruction], jump: Jump) -> tuple[list[Instruction], int]:
    """The block with its branch so early that three instructions follow it, and the branch's place."""
    at = max(len(body) - DELAY_SLOTS, _flags_ready(body, jump), _register_ready(body, jump), 0)
    link = jump.link or NULL
    if link.write_address is None:
        raise AssemblyError(f"link {link} cannot be written")
    branch = Branch(
        BRANCH_CONDITIONS[jump.condition],
        use_register=int(jump.register is not None),
        raddr_a=(jump.register.read_address or 0) if jump.register is not None else 0,
        write_swap=int("a" not in link.write_files),
        waddr_add=link.write_address,
    )
    before = [*body[:at], *[NOP] * (at - len(body))]
    after = [*body[at:], *[NOP] * (DELAY_SLOTS - len(body[at:]))]
    return [*before, branch, *after], at


def _flags_ready(body: list[Instruction], jump: Jump) -> int:
    if jump.condition == "always":
        return 0
    setters = [i for i, instruction in enumerate(body) if getattr(instruction, "set_flags", 0)]
    return setters[-1] + 1 if setters else 0


def _register_ready(body: list[Instruction], jump: Jump) -> int:
    if jump.register is None:
        return 0
    for i in range(len(body) - 1, -1, -1):
        if reads_after_write(body[i], _reader(jump.register)):
            return i + 2
    return 0


def _reader(register: Register) -> Branch:
    return Branch(use_register=1, raddr_a=register.read_address or 0)
