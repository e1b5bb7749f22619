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
from codegen.engines.videocore4.kernels.pieces import write_clamped
from codegen.engines.videocore4.layer import RegisterPool
from codegen.engines.videocore4.registers import R0, R1, R2, R3, VPM_WRITE, Register
from codegen.expression import RESULT, Expression, as_clamp

ACCUMULATORS = (R0, R1, R2, R3)


def coded(epilogue: Expression) -> Expression | None:
    """The epilogue that a kernel has code for: None for clamps, which are a matter of uniforms."""
    return None if as_clamp(epilogue).value == RESULT else epilogue


def epilogue_instructions(epilogue: Expression) -> float:
    """Instructions that an epilogue adds for a vector of results; a clamp is counted with the store."""
    code = coded(epilogue)
    return 0.0 if code is None else instructions(code)


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
    ) -> Results:
        """`bounds` are a clamp's; `free` registers of the files are a coded epilogue's from its constants' load to the
        store. Raises ScheduleError where they lack.
        """
        if epilogue is None:
            return Results(tuple(registers), tuple(bounds), None)
        placement = place(epilogue, [Element((r,), r) for r in registers], [*ACCUMULATORS, *free])
        return Results(tuple(registers), (), placement)

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
        if self.placement is None:
            low, high = self.bounds
            k.mov(R2, low)
            k.mov(R3, high)
            for register in self.registers:
                k.op("fmax", register, register, R2)

    def write_high(self, k: Assembler, registers: Sequence[Register]) -> None:
        """Some of the results, each as one VPM row, after `compute_all`."""
        for register in registers:
            if self.placement is None:
                k.op("fmin", VPM_WRITE, register, R3)
            else:
                k.mov(VPM_WRITE, register)

    def write(self, k: Assembler) -> None:
        """Each as one VPM row, which must have been set up."""
        if self.placement is None:
            low, high = self.bounds
            write_clamped(k, self.registers, low, high)
            return
        for register in self.registers:
            k.mov(VPM_WRITE, register)
