"""Code that issues as many instructions between its accesses as another program does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.registers import NULL, Register
from codegen.errors import AssemblyError
from microbench.suite.loops import wait


class PacedAssembler(Assembler):
    """One item an instruction, in order. A section is filled with instructions that do nothing up to its length."""

    def __init__(self) -> None:
        super().__init__()
        self.verbatim("start")

    def mark(self, name: str) -> None:
        """Names the next instruction; what follows keeps its order too."""
        self.verbatim(name)

    @property
    def issued(self) -> int:
        """Instructions so far, branches included."""
        return sum(len(block.items) + (block.jump is not None) for block in self._blocks)

    @contextmanager
    def section(self, instructions: int, at_end: int = 0) -> Iterator[None]:
        """What is written inside takes `instructions`, with the idle ones behind it, and `at_end` after those.

        Raises AssemblyError for a section that is longer already.
        """
        begun = self.issued
        yield
        idle = instructions - at_end - (self.issued - begun)
        if idle < 0:
            raise AssemblyError(f"a section of {instructions} instructions has {-idle} too many")
        wait(self, idle)

    def loop(self, label: str, condition: str, name_after: str) -> None:
        """Branches back, or on, with the last three instructions in the delay slots."""
        self.branch(label, condition)
        self.mark(name_after)

    def discard(self, source: Register) -> None:
        """Reads a register-mapped input for its effect."""
        self.mov(NULL, source)
