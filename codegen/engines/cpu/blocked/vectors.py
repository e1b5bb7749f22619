"""C text for vectors of a block of channels, by the vector extensions that gcc and clang share."""

from __future__ import annotations

import math

from codegen.engines.cpu.source import fill, float_literal
from codegen.graph import Activation


def vector_prologue(lanes: int) -> str:
    """`vec<lanes>`, `_larger` of two, `_least` and `_most` against a scalar. May stand in a file several times.

    The type may be loaded from any multiple of 4 bytes and shares memory with floats. Where registers are narrower
    compilers split it. Clamps choose by bits: C has no vector conditional, and gcc -O3 takes loops over the elements
    apart into scalar code where there are many.
    """
    return fill(
        """
        #ifndef EXPLORE_VEC$lanes
        #define EXPLORE_VEC$lanes
        typedef float vec$lanes __attribute__((vector_size($bytes), aligned(4), may_alias));
        typedef int mask$lanes __attribute__((vector_size($bytes), aligned(4), may_alias));
        static inline __attribute__((always_inline, unused)) vec$lanes vec${lanes}_larger(vec$lanes a, vec$lanes b)
        {
            for (int i = 0; i < $lanes; ++i) /* one instruction, which choosing by bits is not */
                a[i] = a[i] > b[i] ? a[i] : b[i];
            return a;
        }
        static inline __attribute__((always_inline, unused)) vec$lanes vec${lanes}_least(vec$lanes v, float low)
        {
            const vec$lanes limit = (vec$lanes){0} + low;
            const mask$lanes above = v > limit;
            return (vec$lanes)((above & (mask$lanes)v) | (~above & (mask$lanes)limit));
        }
        static inline __attribute__((always_inline, unused)) vec$lanes vec${lanes}_most(vec$lanes v, float high)
        {
            const vec$lanes limit = (vec$lanes){0} + high;
            const mask$lanes below = v < limit;
            return (vec$lanes)((below & (mask$lanes)v) | (~below & (mask$lanes)limit));
        }
        #endif
        """,
        lanes=lanes,
        bytes=4 * lanes,
    )


def vector(lanes: int, address: str) -> str:
    """The lvalue of the block of channels at an address."""
    return f"*(vec{lanes} *)({address})"


def constant_vector(lanes: int, address: str) -> str:
    """The block of channels at an address that is not written."""
    return f"*(const vec{lanes} *)({address})"


def clamped_vector(lanes: int, expression: str, activation: Activation) -> str:
    """An expression of vector type, clamped by the activation."""
    low, high = activation.low, activation.high
    if low is not None and math.isfinite(low):
        expression = f"vec{lanes}_least({expression}, {float_literal(low)})"
    if high is not None and math.isfinite(high):
        expression = f"vec{lanes}_most({expression}, {float_literal(high)})"
    return expression
