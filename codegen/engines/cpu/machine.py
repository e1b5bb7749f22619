"""What the CPU kernels assume of a core: how wide its vectors are, its registers, which cache tiles are for."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from codegen.element_type import FLOAT32
from codegen.target import Target

FLOAT_BYTES = FLOAT32.size_bytes  # of the C kernels' `float`s, which they compute in
REGISTERS = 32  # VFPv2 single registers (ARM1176 TRM), AVX-512 and AArch64 vector registers
_ADDRESSES = 12  # of pixels that clang keeps in the general registers of AArch64
_SPARE = 4  # registers that clang moves streamed inputs through, as its code for AArch64 shows
ORDERED_LANES = 4  # of blocks whose products `blocked.ordered` has
IN_ORDER = frozenset(
    {"cortex-a53"}
)  # of the cores that profiles name for AArch64: an A72 issues out of order
MOST_WORKSPACE_BYTES = 32 * 1024 * 1024
OrderedForm = Literal["", "neon", "vfp"]
"""Instructions that products have in an order which compilers keep (`blocked.ordered`): none, NEON's or VFP's."""
GUARDS: Mapping[OrderedForm, str] = {
    "neon": "defined(__arm__) && defined(__ARM_NEON)",
    "vfp": "defined(__arm__) && defined(__ARM_FP)",
}
"""Of the preprocessor: where a compiler's target has them."""


def vector_lanes(target: Target) -> int:
    """Floats of one vector register: 1 for VFP, 4 for NEON and SSE, on this machine what its CPU says it has."""
    if target.cpu.startswith("arm11"):
        return 1
    if target.cpu == "native":
        return _native_lanes()
    return {"x86-64-v4": 16, "x86-64-v3": 8}.get(target.cpu, 4)


def block_lanes(target: Target) -> int:
    """Channels of a block of the channel-blocked layout: a vector register's, or four scalar ones."""
    return max(4, vector_lanes(target))


def block_registers(target: Target, lanes: int) -> int:
    """How many blocks of so many floats the registers hold: `block_lanes` of them, or one."""
    if is_scalar(target):
        return REGISTERS // lanes
    if lanes == 1 and target.compiler[0].startswith("arm"):
        return REGISTERS
    if target.compiler[0].startswith("aarch64") or vector_lanes(target) == 16:
        return REGISTERS
    return 16  # NEON of 32-bit ARM, AVX2, SSE


@dataclass(frozen=True)
class TileRegisters:
    """The registers that hold a tile of pixels by blocks of channels, a block each.

    `by_element`: products take one element of a register of inputs, as those of AArch64 do. Compilers then load the
    inputs of every pixel of a tile at once, and what does not fit beside sums and weights is spilled in the innermost
    loop. `ordered`: products are in assembly whose order compilers keep, for 32-bit ARM: with NEON's a tile has its
    inputs and two registers of weights, with VFP's two registers for both. Elsewhere one broadcast at a time is enough.
    `scheduled`: products by element are in assembly for a core that issues in order, which makes more instructions of
    loads than cores that do not care need.
    """

    count: int
    by_element: bool
    ordered: OrderedForm = ""
    scheduled: bool = False

    def pixels(self, blocks: int) -> int:
        """The most pixels by so many blocks of output channels that leave room for weights and inputs; 0: none."""
        if self.by_element:
            return max(0, min(_ADDRESSES, (self.count - 2 - blocks) // (blocks + 1)))
        if self.ordered:
            return max(0, (self.count - 2) // (blocks + (self.ordered == "neon")))
        return max(0, (self.count - 1) // blocks - 1)

    def pointwise_pixels(self, blocks: int) -> int:
        """The same of a pointwise convolution, which on AArch64 holds all weights from a block of inputs."""
        if self.by_element:
            return max(0, (self.count - 4 * blocks) // (blocks + 1))
        return self.pixels(blocks)

    def streamed_pixels(self, blocks: int) -> int:
        """The same where inputs are read once each, in the order of their use."""
        if self.ordered:
            return self.pixels(blocks)
        return max(0, (self.count - 1 - (_SPARE if self.by_element else 0)) // blocks - 1)

    def window_sums(self, taps: int, shared: bool) -> int:
        """The most sums of a window of so many taps, whose weights are held; `shared`: inputs wait for the next sum."""
        if not self.by_element:
            return self.count - 1 - (self.ordered == "neon") - taps  # a limit of the epilogue keeps one too
        return (self.count - _SPARE - taps) // 2 if shared else self.count - 2 * taps - _SPARE


def tile_registers(target: Target, lanes: int) -> TileRegisters:
    """The registers for blocks of so many floats."""
    by_element = target.compiler[0].startswith("aarch64") and lanes > 1
    scheduled = by_element and target.cpu in IN_ORDER
    return TileRegisters(block_registers(target, lanes), by_element, _ordered(target, lanes), scheduled)


def _ordered(target: Target, lanes: int) -> OrderedForm:
    if lanes != ORDERED_LANES or not target.compiler[0].startswith("arm"):
        return ""
    return "vfp" if is_scalar(target) else "neon"


@cache
def instruction_sets() -> frozenset[str]:
    """What this machine's CPU says of itself in /proc/cpuinfo; empty where there is none."""
    try:
        return frozenset(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return frozenset()


@cache
def _native_lanes() -> int:
    """16 with AVX-512, 8 with AVX and FMA, else 4: SSE and NEON."""
    if "avx512f" in instruction_sets():
        return 16
    return 8 if {"avx2", "fma"} <= instruction_sets() else 4


ProductForm = Literal["bytes", "words", "signed"]
"""How products of integers of 8 bits are summed: four unsigned bytes by four signed ones at a time, pairs of words made
of either, or signed bytes in pairs."""


def product_form(target: Target) -> ProductForm:
    """What the core's instructions do best: `bytes` with AVX-512 VNNI, `words` elsewhere on x86 and where a core has
    no vectors, `signed` with NEON.
    """
    if target.cpu == "native" and "avx512_vnni" in instruction_sets() and vector_lanes(target) == 16:
        return "bytes"
    return "signed" if vector_lanes(target) == 4 else "words"


WITH_DOT_PRODUCTS = frozenset(
    {"cortex-a55", "cortex-a75", "cortex-a76", "cortex-a77", "cortex-a78", "cortex-x1", "neoverse-n1"}
)
DOT_PRODUCTS, NATIVE_DOT_PRODUCTS = "dotprod", "asimddp"  # a feature of compilers, a word of /proc/cpuinfo


def has_dot_products(target: Target) -> bool:
    """Whether a core of AArch64 sums four products of bytes at a time (`sdot`, an option of ARMv8.2): one that is known
    to, one whose name says so (`generic+dotprod`), or this machine's.
    """
    if target.cpu == "native":
        is_64_bit = sys.maxsize >> 32 > 0  # 32-bit systems on such cores say that they have them too
        return is_64_bit and NATIVE_DOT_PRODUCTS in instruction_sets()
    core, *features = target.cpu.split("+")
    is_there = core in WITH_DOT_PRODUCTS or DOT_PRODUCTS in features
    return is_there and target.compiler[0].startswith("aarch64")


def is_scalar(target: Target) -> bool:
    """Whether the core computes one float at a time."""
    return vector_lanes(target) == 1


def cache_bytes(target: Target) -> int:
    """Size of the cache that tiles should stay in: the second level where the core has one."""
    return target.cpu_l2_bytes or target.cpu_l1d_bytes


def accumulator_capacity(target: Target) -> int:
    """How many float accumulators and operands fit in registers."""
    lanes = vector_lanes(target)
    return block_registers(target, lanes) * lanes


def tile_rows(target: Target) -> tuple[int, ...]:
    """Candidate heights (output channels) of a register tile."""
    return (2, 4) if is_scalar(target) else (4, 8)


def tile_columns(target: Target) -> tuple[int, ...]:
    """Candidate widths (neighbouring outputs) of a register tile."""
    return {1: (2, 4, 8), 4: (4, 8, 16), 8: (8, 16, 32), 16: (8, 16, 32)}[vector_lanes(target)]
