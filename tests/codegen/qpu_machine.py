"""One lane of a QPU in integers: straight-line code by the letter, and encoded instructions with their latencies."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.engines.videocore4.isa import ADD_OPS, MUL_OPS, SIGNALS, Alu
from codegen.engines.videocore4.operation import Operation
from codegen.engines.videocore4.registers import R0, R1, R2, R3, UNIFORM, A, B

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
        known = {**state, **read}
        x, y = ([int(s) if isinstance(s, int | float) else known[s.name] for s in o.sources] * 2)[:2]
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
