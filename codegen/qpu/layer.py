"""A layer lowered to QPU code, before the linker gives it addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Base = Literal["input", "output", "weights", "next", "zero"]


@dataclass(frozen=True)
class Address:
    """A bus address known only to the linker: the start of a buffer plus bytes."""

    base: Base
    offset_bytes: int = 0
    index: int = 0  # which input


Uniform = int | float | Address  # ints are taken modulo 2**32; floats are stored as float32


@dataclass(frozen=True)
class QpuLayer:
    """Kernel code and data of one layer.

    `code` holds encoded instructions, position independent; it is entered with the uniform stream at the QPU's
    own block and must leave by the linker's epilogue (see `codegen.qpu.link`). `uniforms(q)` is the block of QPU
    q, or None for a QPU without work in this layer.
    `reads_by_uniform` says whether activations are read as uniforms, whose prefetch reaches past their end.
    """

    code: tuple[int, ...]
    weights: NDArray[np.uint32]
    uniforms: Callable[[int], tuple[Uniform, ...] | None]
    output_bytes: int
