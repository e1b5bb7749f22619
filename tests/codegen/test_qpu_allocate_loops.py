"""Random programs with loops, conditions and virtual registers compute on the virtual GPU what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.isa import decode
from codegen.engines.videocore4.registers import (
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    NULL,
    UNIFORM,
    VPM_WRITE,
    VPM_WRITE_SETUP,
    Register,
)
from tests.codegen.qpu_machine import MASK, compute
from tests.microbench.qpu_programs import run

VALUES = 6


@dataclass(frozen=True)
class Step:
    """`values[target] = values[left] name (values[right] or the constant)`."""

    name: str
    target: int
    left: int
    right: int | None
    constant: int
    condition: str
    set_flags: bool


@dataclass(frozen=True)
class Program:
    """Steps before a loop, in it, in a loop inside it, behind that, and behind both."""

    before: list[Step]
    outer: list[Step]
    inner: list[Step]
    rest: list[Step]
    after: list[Step]
    rounds: tuple[int, int]
    skips: bool  # the inner loop is left out in rounds in which value 0 is odd


@st.composite
def steps(draw: st.DrawFn) -> Step:
    name = draw(st.sampled_from(["add", "sub", "xor", "mul24"]))
    index = st.integers(0, VALUES - 1)
    return Step(
        name,
        draw(index),
        draw(index),
        draw(st.one_of(st.none(), index)),
        draw(st.integers(-16, 15)),
        draw(st.sampled_from(["always", "always", "zs", "zc", "ns", "nc"])),
        name != "mul24" and draw(st.booleans()),
    )


SOME = st.lists(steps(), max_size=7)
PROGRAMS = st.builds(
    Program, SOME, SOME, SOME, SOME, SOME, st.tuples(st.integers(1, 3), st.integers(1, 3)), st.booleans()
)


class Interpreter:
    def __init__(self) -> None:
        self.values = [3 * number + 1 for number in range(VALUES)]
        self.zero = self.negative = False

    def do(self, steps: list[Step]) -> None:
        for s in steps:
            passes = {"always": True, "zs": self.zero, "zc": not self.zero, "ns": self.negative}
            if not passes.get(s.condition, not self.negative):
                continue
            right = s.constant & MASK if s.right is None else self.values[s.right]
            result = compute(s.name, self.values[s.left], right)
            self.values[s.target] = result
            if s.set_flags:
                self.flag(result)

    def flag(self, result: int) -> None:
        self.zero, self.negative = result == 0, bool(result >> 31)

    def run(self, program: Program) -> list[int]:
        self.flag(VALUES)
        self.do(program.before)
        for left in range(program.rounds[0] - 1, -1, -1):
            self.do(program.outer)
            skip = program.skips and self.values[0] & 1
            if program.skips:
                self.flag(self.values[0] & 1)
            for again in () if skip else range(program.rounds[1] - 1, -1, -1):
                self.do(program.inner)
                self.flag(again)
            self.do(program.rest)
            self.flag(left)
        self.do(program.after)
        return self.values


def assemble(program: Program) -> tuple[int, ...]:
    k = Assembler(effort=10)
    values = [k.register(f"v{number}") for number in range(VALUES)]
    outer, inner = k.register("outer"), k.register("inner")

    def emit(steps: list[Step]) -> None:
        for s in steps:
            right: Register | int = s.constant if s.right is None else values[s.right]
            k.op(
                s.name, values[s.target], values[s.left], right, condition=s.condition, set_flags=s.set_flags
            )

    for number, value in enumerate(values):
        k.load(value, 3 * number + 1)
    k.mov(outer, program.rounds[0])
    k.mov(NULL, VALUES, set_flags=True)
    emit(program.before)
    k.label("outer")
    emit(program.outer)
    k.mov(inner, program.rounds[1])
    if program.skips:
        k.and_(NULL, values[0], 1, set_flags=True)
        k.branch("rest", "any_zc")
    k.label("inner")
    emit(program.inner)
    k.sub(inner, inner, 1, set_flags=True)
    k.branch("inner", "any_zc")
    k.label("rest")
    emit(program.rest)
    k.sub(outer, outer, 1, set_flags=True)
    k.branch("outer", "any_zc")
    emit(program.after)
    k.load(VPM_WRITE_SETUP, 1 << 12 | 1 << 11 | 2 << 8)
    for value in values:
        k.mov(VPM_WRITE, value)
    k.load(VPM_WRITE_SETUP, 2 << 30 | VALUES << 23 | 16 << 16 | 1 << 14)
    k.load(VPM_WRITE_SETUP, 3 << 30)
    k.mov(DMA_STORE_ADDRESS, UNIFORM)
    k.mov(NULL, DMA_STORE_WAIT)
    k.thread_end()
    return k.assemble(whole=True)


def check(program: Program) -> None:
    code = [decode(word) for word in assemble(program)]
    done = run(code, uniforms=[-1], end=False)
    rows = done.data[: VALUES * 16].reshape(VALUES, 16)
    assert np.array_equal(rows[:, 0], np.array(Interpreter().run(program), np.uint32))
    assert (rows == rows[:, :1]).all()


@settings(max_examples=30, deadline=None)
@given(PROGRAMS)
def test_loops_keep_their_values(program: Program) -> None:
    check(program)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(PROGRAMS)
def test_many_loops_keep_their_values(program: Program) -> None:
    check(program)
