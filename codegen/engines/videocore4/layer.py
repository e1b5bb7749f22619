"""A layer lowered to QPU code, before the linker gives it addresses; and what kernel and linker agree on.

Convention: a kernel is entered with the uniform stream just behind the linker's own words of the QPU's block.
Register A30 holds the address of the linker's epilogue and A31 that of the QPU's next block: a kernel must not
write them, and leaves by `leave()`. No TMU request may be outstanding then, and the VPM mutex must be free.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.registers import UNIFORM_ADDRESS, A, B, Register
from codegen.errors import ScheduleError

EPILOGUE, NEXT_BLOCK = A(30), A(31)

Base = Literal["input", "output", "weights", "block", "scratch"]


@dataclass(frozen=True)
class Address:
    """A bus address known only to the linker: the start of a buffer plus bytes.

    "block" is the start of the kernel's own part of the QPU's uniform block, "scratch" that of the layer's own memory,
    which both of its phases know.
    """

    base: Base
    offset_bytes: int = 0
    index: int = 0  # which input or output


Uniform = int | float | Address  # ints are taken modulo 2**32; floats are stored as float32


@dataclass(frozen=True, eq=False)
class QpuLayer:
    """Kernel code and data of one layer.

    `code`: encoded instructions, position independent. `weights`: 32-bit words, loaded 64-byte aligned.
    `blocks[q]`: the uniform words of QPU q, or None for a QPU without work. `more`: further such blocks, with each of
    which a QPU goes through the kernel again, without waiting for the others. `then`: what runs when all QPUs have done
    this, as its second phase; `scratch_bytes`: memory that the first writes and the second reads. `apart`: bytes from
    the weights' begin to the first input's, modulo a way of the L2; None where it does not matter. `others`: more
    kernels that QPUs run in the same phase; `runs[q]`: for QPU q's blocks in turn the number of the kernel that goes
    through it, 0 for `code` and from 1 on for `others`; none where `code` goes through all.
    """

    code: tuple[int, ...]
    weights: NDArray[np.uint32]
    blocks: tuple[tuple[Uniform, ...] | None, ...]
    more: tuple[tuple[tuple[Uniform, ...] | None, ...], ...] = ()
    then: QpuLayer | None = None
    scratch_bytes: int = 0
    apart: int | None = None
    others: tuple[tuple[int, ...], ...] = ()
    runs: tuple[tuple[int, ...], ...] = ()

    @property
    def codes(self) -> tuple[tuple[int, ...], ...]:
        """Every kernel of the phase."""
        return (self.code, *self.others)

    def code_of(self, number: int, turn: int) -> tuple[int, ...]:
        """The kernel that goes through a block of a QPU's, as `of_qpu` counts them."""
        return self.codes[self.runs[number][turn]] if self.runs else self.code

    def of_qpu(self, number: int) -> list[tuple[Uniform, ...]]:
        """A QPU's blocks in turn; none for a QPU without work."""
        rounds = (self.blocks, *self.more)
        return [block for blocks in rounds for block in blocks[number : number + 1] if block is not None]


def leave(k: Assembler) -> None:
    """The end of every kernel: the stream moves to the QPU's next block, control to the epilogue."""
    k.mov(UNIFORM_ADDRESS, NEXT_BLOCK)
    k.branch_register(EPILOGUE)


class RegisterPool:
    """Hands out file registers that a kernel may use; what the linker owns is not among them."""

    def __init__(self) -> None:
        self._free = {"a": list(range(29, -1, -1)), "b": list(range(31, -1, -1))}

    def take(self, file: Literal["a", "b"] | None = None) -> Register:
        """A free register of a file, or of the emptier one; raises ScheduleError when none is left."""
        chosen = file or ("a" if len(self._free["a"]) >= len(self._free["b"]) else "b")
        if not self._free[chosen]:
            raise ScheduleError(f"the tile needs more registers than file {chosen} has; take a smaller one")
        index = self._free[chosen].pop()
        return A(index) if chosen == "a" else B(index)

    def rest(self) -> list[Register]:
        """Every register that is left, of both files in turn; they stay free."""
        by_file = [[A(i) for i in reversed(self._free["a"])], [B(i) for i in reversed(self._free["b"])]]
        return [r for pair in zip_longest(*by_file) for r in pair if r is not None]
