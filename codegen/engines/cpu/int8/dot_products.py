"""C text of products of integers of 8 bits by AArch64's `sdot`: four in each lane, of quads of several pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codegen.engines.cpu.int8.products import QUAD, Products
from codegen.engines.cpu.int8.vectors import types_text
from codegen.engines.cpu.source import fill
from codegen.operators.quantized_conv2d import BYTES

HELD = 4  # quads of a register of inputs


@dataclass(frozen=True)
class DotProducts(Products):
    """Both sides signed: of unsigned inputs the highest bit is exchanged, and sums begin with what that takes away.

    A register has the quads of four pixels; a product takes one of them with the weights of a block.
    """

    @property
    def tag(self) -> str:
        return f"{self.lanes}_dot_{self.dtype}"

    @property
    def offset(self) -> int:
        return -128 if self.dtype == "uint8" else 0

    @property
    def is_signed(self) -> bool:
        return True

    def packed(self, quads: NDArray[np.int8]) -> NDArray[np.int8]:
        return quads

    def updates(self, places: Mapping[int, int | None], pads: str, blocks: int) -> list[str]:
        """Statements as `Products` has them, with pixels loaded four at a time where their quads are neighbours."""
        lines = []
        for loaded, pixels in _registers(places, pads, self.tag):
            sums = [
                f"a{pixel}_{b} = dot_{self.tag}(a{pixel}_{b}, v, w{b}, {element});"
                for pixel, element in pixels.items()
                for b in range(blocks)
            ]
            lines.append(f"{{ const x_{self.tag} v = {loaded}; {' '.join(sums)} }}")
        return lines

    @property
    def prologue(self) -> str:
        """The types `sum4`, `x_<tag>` and `w_<tag>`, `one_<tag>` of one quad, `four_<tag>` of four neighbours,
        `weights_<tag>`, and `dot_<tag>` with the place of the quad that is multiplied; may stand in a file several
        times.
        """
        assert self.dtype in BYTES and self.lanes == QUAD
        return types_text(self.lanes) + fill(
            _PRODUCTS,
            tag=self.tag,
            guard=self.tag.upper(),
            flip=128 if self.is_flipped else 0,
            flipped="veorq_s8(v, vdupq_n_s8(-128))" if self.is_flipped else "v",
        )


def _registers(places: Mapping[int, int | None], pads: str, tag: str) -> Iterator[tuple[str, dict[int, int]]]:
    """What registers of inputs are loaded with, and of each the pixels and where in it their quads are.

    Of a run of neighbours that no registers fill, the last one begins with pixels that the one before has too.
    """
    for run in _runs(places):
        if len(run) < HELD:
            for pixel in run:
                source = pads if places[pixel] is None else f"row + {places[pixel]}"
                yield f"one_{tag}({source})", {pixel: 0}
            continue
        for first in range(0, len(run), HELD):
            start = min(first, len(run) - HELD)
            pixels = {run[i]: i - start for i in range(first, min(first + HELD, len(run)))}
            yield f"four_{tag}(row + {places[run[start]]})", pixels


def _runs(places: Mapping[int, int | None]) -> list[list[int]]:
    """Pixels whose quads lie behind each other."""
    runs: list[list[int]] = []
    before: int | None = None
    for pixel, place in places.items():
        if place is not None and before is not None and place == before + QUAD:
            runs[-1].append(pixel)
        else:
            runs.append([pixel])
        before = place
    return runs


_PRODUCTS = """
    #ifndef EXPLORE_INT8_$guard
    #define EXPLORE_INT8_$guard
    #if defined(__aarch64__)
    #if !defined(__ARM_FEATURE_DOTPROD)
    #error "compiled for a core without sdot: give flags with it, as -march=armv8.2-a+dotprod or -mcpu=cortex-a76"
    #endif
    typedef int8x16_t x_$tag, w_$tag;

    INT8_INLINE int8x16_t flipped_$tag(int8x16_t v)
    {
        return $flipped;
    }

    INT8_INLINE x_$tag one_$tag(const void *p)
    {
        int8x16_t v; /* loaded where it is multiplied: kept from tap to tap it would fill registers */
        __asm__ volatile("ldr %s0, %1" : "=w"(v) : "m"(*(const char(*)[4])p));
        return flipped_$tag(v);
    }

    INT8_INLINE x_$tag four_$tag(const void *p)
    {
        return flipped_$tag(vld1q_s8((const int8_t *)p));
    }

    INT8_INLINE w_$tag weights_$tag(const int8_t *p)
    {
        return vld1q_s8(p);
    }

    #define dot_$tag(s, x, w, i) (sum4)vdotq_laneq_s32((int32x4_t)(s), w, x, i) /* i: an immediate */
    #else
    typedef struct {
        int8_t of[16];
    } x_$tag, w_$tag;

    INT8_INLINE x_$tag four_$tag(const void *p)
    {
        x_$tag x;
        for (int i = 0; i < 16; ++i)
            x.of[i] = (int8_t)(((const uint8_t *)p)[i] ^ $flip);
        return x;
    }

    INT8_INLINE x_$tag one_$tag(const void *p)
    {
        x_$tag x;
        for (int i = 0; i < 16; ++i)
            x.of[i] = (int8_t)((i < 4 ? ((const uint8_t *)p)[i] : 0) ^ $flip);
        return x;
    }

    INT8_INLINE w_$tag weights_$tag(const int8_t *p)
    {
        w_$tag w;
        memcpy(w.of, p, 16);
        return w;
    }

    INT8_INLINE sum4 dot_$tag(sum4 s, x_$tag x, w_$tag w, int i)
    {
        for (int l = 0; l < 4; ++l)
            for (int j = 0; j < 4; ++j)
                s[l] += x.of[4 * i + j] * w.of[4 * l + j];
        return s;
    }
    #endif
    #endif
"""
