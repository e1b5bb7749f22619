"""A kernel's results on their way to the store: an expression of each is computed before the VPM is taken.

A clamp costs nothing beside the copies to the VPM, and its bounds are uniforms: kernels with any clamp are one. Every
other epilogue is code of its own, for which the constants stay in registers as far as the kernel leaves some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.expressions.emission import Element
from codegen.engines.videocore4.expressions.placement import Placement, instructions, place
from codegen.engines.videocore4.layer import RegisterPool
from codegen.engines.videocore4.registers import R0, R1, R2, R3, VPM_WRITE, Register
from codegen.expression import RESULT, Apply, Expression, Operand, as_clamp

ACCUMULATORS = (R0, R1, R2, R3)
RESIDUAL = Operand(1)
_INSTRUCTIONS_OF_RESIDUAL = 3.0  # to ask for a line, to take it and to move on


def adds_residual(epilogue: Expression) -> bool:
    """Whether an epilogue is a sum of something of the result and of the further tensor, clamped or not: the only ones
    of two tensors that kernels compute.
    """
    return _before_residual(epilogue) is not None


def coded(epilogue: Expression) -> Expression | None:
    """The part of an epilogue that a kernel has code for: None for clamps, which are a matter of uniforms; of a sum
    with a residual what is added, None for the result itself.
    """
    before = _before_residual(epilogue)
    if before is not None:
        return None if before == RESULT else before
    return None if as_clamp(epilogue).value == RESULT else epilogue


def is_clamped(epilogue: Expression) -> bool:
    """Whether a kernel clamps last, by bounds that are uniforms."""
    return adds_residual(epilogue) or coded(epilogue) is None


def epilogue_instructions(epilogue: Expression) -> float:
    """Instructions that an epilogue adds for a vector of results; a clamp is counted with the store."""
    code = coded(epilogue)
    residual = _INSTRUCTIONS_OF_RESIDUAL if adds_residual(epilogue) else 0.0
    return residual + (0.0 if code is None else instructions(code))


def _before_residual(epilogue: Expression) -> Expression | None:
    """What the residual is added to."""
    value = as_clamp(epilogue).value
    if isinstance(value, Apply) and value.primitive == "add" and RESIDUAL in value.arguments:
        before = value.arguments[value.arguments[0] == RESIDUAL]
        if before.arity == 1:
            return before
    return None


def take_bounds(pool: RegisterPool, epilogue: Expression | None) -> tuple[Register, ...]:
    """Registers for a clamp's low and high; none for an epilogue that is coded."""
    return (pool.take(), pool.take()) if epilogue is None else ()


@dataclass(frozen=True)
class Results:
    """Registers of results, and how they become what is stored: by a clamp, or by code that leaves them in place."""

    registers: tuple[Register, ...]
    bounds: tuple[Register, ...]
    placement: Placement | None

    @staticmethod
    def of(
        registers: Sequence[Register],
        epilogue: Expression | None,
        bounds: Sequence[Register],
        free: Sequence[Register],
        *,
        residual: bool = False,
    ) -> Results:
        """`bounds` are those of a clamp, which there is without an epilogue that is coded, and behind the addition of a
        residual; `free` registers of the files are a coded epilogue's from its constants' load to the end of
        `compute`. Raises ScheduleError where they lack.
        """
        last = tuple(bounds) if epilogue is None or residual else ()
        if epilogue is None:
            return Results(tuple(registers), last, None)
        placement = place(epilogue, [Element((r,), r) for r in registers], [*ACCUMULATORS, *free])
        return Results(tuple(registers), last, placement)

    def load_constants(self, k: Assembler) -> None:
        """Before the first of several computations."""
        if self.placement is not None:
            self.placement.load(k)

    def compute(self, k: Assembler) -> None:
        """What need not hold up other QPUs that wait for the VPM."""
        if self.placement is not None:
            k.label("epilogue")
            self.placement.apply(k, [Element((register,), register) for register in self.registers])

    def compute_all(self, k: Assembler) -> None:
        """All that the copies to the VPM by `write_high` do not do. A clamp's high bound is in r3 then."""
        self.compute(k)
        self.compute_low(k)

    def compute_low(self, k: Assembler) -> None:
        """The part of `compute_all` behind `compute`: the lower end of a clamp."""
        if self.bounds:
            low, high = self.bounds
            k.mov(R2, low)
            k.mov(R3, high)
            for register in self.registers:
                k.op("fmax", register, register, R2)

    def write_high(self, k: Assembler, registers: Sequence[Register]) -> None:
        """Some of the results, each as one VPM row, after `compute_all`."""
        for register in registers:
            if self.bounds:
                k.op("fmin", VPM_WRITE, register, R3)
            else:
                k.mov(VPM_WRITE, register)
