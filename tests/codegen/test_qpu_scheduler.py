"""Scheduling keeps the meaning of straight-line code, and the distances of the hardware."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.qpu.assembler import Assembler, move, operation
from codegen.qpu.isa import ADD_OPS, MUL_OPS, SIGNALS, Alu, Branch, decode
from codegen.qpu.operation import Bundle, Operation
from codegen.qpu.registers import R0, R1, R2, R3, UNIFORM, A, B
from codegen.qpu.scheduler import schedule
from codegen.qpu.validate import reads_after_write

MASK = 0xFFFFFFFF
REGISTERS = [A(0), A(1), A(2), B(0), B(1), B(2), R0, R1, R2, R3]
NAMES = {code: name for name, code in ADD_OPS.items()}
MUL_NAMES = {code: name for name, code in MUL_OPS.items()}


def compute(name: str, x: int, y: int) -> int:
    """The integer operations the tests use, one lane."""
    match name:
        case "add":
            return (x + y) & MASK
        case "sub":
            return (x - y) & MASK
        case "xor":
            return x ^ y
        case "mul24":
            return ((x & 0xFFFFFF) * (y & 0xFFFFFF)) & MASK
        case "mov" | "or" | "v8min":  # with equal operands
            return x
    raise NotImplementedError(name)


def run_sequentially(operations: Sequence[Operation], uniforms: Sequence[int]) -> dict[str, int]:
    state = {register.name: 7 * i + 1 for i, register in enumerate(REGISTERS)}
    stream = iter(uniforms)
    for o in operations:
        read = {UNIFORM.name: next(stream)} if UNIFORM in o.sources else {}
        x, y = ([s if isinstance(s, int) else {**state, **read}[s.name] for s in o.sources] * 2)[:2]
        state[o.destination.name] = compute(o.name, x & MASK, y & MASK)
    return state


class Machine:
    """Executes encoded instructions; a file register written is visible two instructions later."""

    def __init__(self, uniforms: Sequence[int]) -> None:
        self.state = {register.name: 7 * i + 1 for i, register in enumerate(REGISTERS)}
        self.arriving: dict[str, int] = {}
        self.stream = iter(uniforms)

    def step(self, i: Alu) -> None:
        immediate = i.signal == SIGNALS["small_immediate"]
        uniform = next(self.stream) if 32 in (i.raddr_a, *(() if immediate else (i.raddr_b,))) else None

        def port(file: str, address: int) -> int:
            if file == "b" and immediate:
                return (address if address < 16 else address - 32) & MASK
            return (
                uniform if address == 32 and uniform is not None else self.state.get(f"r{file}{address}", 0)
            )

        def source(mux: int) -> int:
            if mux < 4:
                return self.state[f"r{mux}"]
            return port("a", i.raddr_a) if mux == 6 else port("b", i.raddr_b)

        results = []
        if i.op_add:
            results.append(
                (
                    i.waddr_add,
                    "ba"[1 - i.write_swap],
                    compute(NAMES[i.op_add], source(i.add_a), source(i.add_b)),
                )
            )
        if i.op_mul:
            results.append(
                (
                    i.waddr_mul,
                    "ba"[i.write_swap],
                    compute(MUL_NAMES[i.op_mul], source(i.mul_a), source(i.mul_b)),
                )
            )
        self.state |= self.arriving
        self.arriving = {}
        for address, file, value in results:
            if address < 32:
                self.arriving[f"r{file}{address}"] = value
            elif address < 36:
                self.state[f"r{address - 32}"] = value


sources = st.one_of(st.sampled_from([*REGISTERS, UNIFORM]), st.integers(-16, 15))


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    target = draw(st.sampled_from(REGISTERS))
    name = draw(st.sampled_from(["add", "sub", "xor", "mul24", "mov"]))
    if name == "mov":
        return move(target, draw(sources))
    first = draw(st.sampled_from([R0, R1, R2, R3]))  # an accumulator never competes for a port
    return operation(name, target, first, draw(sources))


@settings(max_examples=300, deadline=None)
@given(st.lists(operations(), min_size=1, max_size=25))
def test_scheduled_code_computes_what_straight_code_computes(program: list[Operation]) -> None:
    uniforms = [1000 + i for i in range(sum(UNIFORM in o.sources for o in program))]
    expected = run_sequentially(program, uniforms)
    machine = Machine(uniforms)
    for instruction in schedule([Bundle((o,)) for o in program]):
        assert isinstance(instruction, Alu)
        machine.step(instruction)
    machine.state |= machine.arriving
    assert machine.state == expected


def test_independent_operations_are_paired() -> None:
    items = [Bundle((operation("fadd", R0, R1, R2),)), Bundle((operation("fmul", R3, R1, R2),))]
    assert len(schedule(items)) == 1


def test_file_register_is_not_read_by_the_next_instruction() -> None:
    items = [Bundle((move(A(0), R0),)), Bundle((operation("add", R1, A(0), R2),))]
    assert len(schedule(items)) == 3


def test_loop_branch_has_its_delay_slots_filled() -> None:
    k = Assembler()
    k.label("loop")
    k.op("sub", A(0), A(0), 1, set_flags=True)
    for register in (R0, R1, R2, R3):
        k.op("fadd", register, register, register)
    k.branch("loop", "any_zc")
    code = [decode(word) for word in k.assemble()]
    assert len(code) == 6
    assert [type(i).__name__ for i in code] == ["Alu", "Alu", "Branch", "Alu", "Alu", "Alu"]
    assert code[2].immediate == -48 & MASK  # from the fourth instruction after the branch back to the first


def test_taken_branch_does_not_run_into_a_fresh_register() -> None:
    k = Assembler()
    k.label("loop")
    k.op("add", R0, A(1), R1)  # first of the loop
    k.op("add", R2, R0, R1)
    k.op("add", R3, R2, R1)
    k.mov(A(1), R3)  # would fill the last delay slot
    k.branch("loop", "any_zc")
    code = [decode(word) for word in k.assemble()]
    branch = next(i for i, x in enumerate(code) if isinstance(x, Branch))
    assert not reads_after_write(code[branch + 3], code[0])
    assert len(code) == 6  # one NOP more than the four operations and the branch
