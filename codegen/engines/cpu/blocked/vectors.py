"""C text for vectors of a block of channels, by the vector extensions that gcc and clang share."""

from __future__ import annotations

from codegen.engines.cpu.expression_text import vector_text
from codegen.engines.cpu.machine import FLOAT_BYTES, GUARDS
from codegen.engines.cpu.source import fill, float_literal
from codegen.engines.cpu.vector_math import math_prologue
from codegen.expression import RESULT, Expression, as_clamp, is_clamp

NEON_LANES = 4


def vector_prologue(lanes: int, *epilogues: Expression) -> str:
    """`vec<lanes>`, `_larger` of two, `_least` and `_most` against a scalar, and what the epilogues call. May stand in
    a file several times.

    The type may be loaded from any multiple of 4 bytes and shares memory with floats. Where registers are narrower
    compilers split it. In C clamps choose by bits: it has no vector conditional, and gcc -O3 takes loops over the
    elements apart into scalar code where there are many.
    """
    functions = "" if all(map(is_clamp, epilogues)) else math_prologue(lanes)
    return functions + fill(
        """
        #ifndef EXPLORE_VEC$lanes
        #define EXPLORE_VEC$lanes
        typedef float vec$lanes __attribute__((vector_size($bytes), aligned(4), may_alias));
        typedef int mask$lanes __attribute__((vector_size($bytes), aligned(4), may_alias));
        $comparisons
        #endif
        """,
        lanes=lanes,
        bytes=FLOAT_BYTES * lanes,
        comparisons=_comparisons(lanes),
    )


def _comparisons(lanes: int) -> str:
    """`_larger`, `_least` and `_most`: an instruction each of NEON, which compilers do not take for comparisons, and of
    AVX, where gcc needs more than three times as long to find them.

    clang has NEON's as a function, and places it better than assembly, whose length it does not know.
    """
    in_c = fill(_COMPARISONS, lanes=lanes)
    if lanes in _AVX:
        return f"#if defined({_AVX[lanes]})\n{fill(_AVX_INSTRUCTIONS, lanes=lanes)}#else\n{in_c}#endif"
    if lanes != NEON_LANES:
        return in_c
    wide = fill(_INSTRUCTIONS, larger="fmax %0.4s, %1.4s, %2.4s", smaller="fmin %0.4s, %1.4s, %2.4s")
    narrow = fill(_INSTRUCTIONS, larger="vmax.f32 %q0, %q1, %q2", smaller="vmin.f32 %q0, %q1, %q2")
    return (
        f"{_ASK_FOR_FUNCTIONS}#if defined(EXPLORE_HAS_MAXIMUM)\n{_FUNCTIONS}#elif defined(__aarch64__)\n{wide}"
        f"#elif {GUARDS['neon']}\n{narrow}#else\n{in_c}#endif"
    )


def vector(lanes: int, address: str) -> str:
    """The lvalue of the block of channels at an address."""
    return f"*(vec{lanes} *)({address})"


def constant_vector(lanes: int, address: str) -> str:
    """The block of channels at an address that is not written."""
    return f"*(const vec{lanes} *)({address})"


def vector_epilogue(lanes: int, value: str, epilogue: Expression, *others: str) -> str:
    """A C expression of vector type behind an epilogue, whose further operands are `others`."""
    clamped, low, high = as_clamp(epilogue)
    if clamped != RESULT:
        names = ", ".join(f"v{i} = {text}" for i, text in enumerate((value, *others)))
        lane = "[0]" if lanes == 1 else ""  # text of one lane is of floats
        text = vector_text(lanes, epilogue, [f"v{i}{lane}" for i in range(1 + len(others))])
        result = f"(vec1){{{text}}}" if lanes == 1 else f"(vec{lanes}){text}"
        return f"({{ const vec{lanes} {names}; {result}; }})"
    if low is not None:
        value = f"vec{lanes}_least({value}, {float_literal(low)})"
    if high is not None:
        value = f"vec{lanes}_most({value}, {float_literal(high)})"
    return value


_COMPARISONS = """
    static inline __attribute__((always_inline, unused)) vec$lanes vec${lanes}_larger(vec$lanes a, vec$lanes b)
    {
        for (int i = 0; i < $lanes; ++i) /* one instruction, which choosing by bits is not */
            a[i] = a[i] > b[i] ? a[i] : b[i];
        return a;
    }
    static inline __attribute__((always_inline, unused)) vec$lanes vec${lanes}_least(vec$lanes v, float low)
    {
        const vec$lanes limit = (vec$lanes){0} + low;
        const mask$lanes below = v < limit; /* not where v is no number: it stays */
        return (vec$lanes)((below & (mask$lanes)limit) | (~below & (mask$lanes)v));
    }
    static inline __attribute__((always_inline, unused)) vec$lanes vec${lanes}_most(vec$lanes v, float high)
    {
        const vec$lanes limit = (vec$lanes){0} + high;
        const mask$lanes above = v > limit;
        return (vec$lanes)((above & (mask$lanes)limit) | (~above & (mask$lanes)v));
    }
"""

_AVX = {8: "__AVX__", 16: "__AVX512F__"}  # whose vectors have so many floats

# Where an operand is no number, or both are zeros, the second stays.
_AVX_INSTRUCTIONS = """
    static inline __attribute__((always_inline, unused)) vec$lanes vec${lanes}_larger(vec$lanes a, vec$lanes b)
    {
        vec$lanes larger;
        __asm__("vmaxps %2, %1, %0" : "=v"(larger) : "v"(a), "v"(b));
        return larger;
    }
    static inline __attribute__((always_inline, unused)) vec$lanes vec${lanes}_least(vec$lanes v, float low)
    {
        return vec${lanes}_larger((vec$lanes){0} + low, v);
    }
    static inline __attribute__((always_inline, unused)) vec$lanes vec${lanes}_most(vec$lanes v, float high)
    {
        vec$lanes smaller;
        __asm__("vminps %2, %1, %0" : "=v"(smaller) : "v"((vec$lanes){0} + high), "v"(v));
        return smaller;
    }
"""

# Instructions of NEON, of which what is no number stays. gcc takes vectors of floats apart in 32-bit code.
_ASK_FOR_FUNCTIONS = """\
#if defined(__aarch64__) && defined(__has_builtin)
#if __has_builtin(__builtin_elementwise_maximum)
#define EXPLORE_HAS_MAXIMUM
#endif
#endif
"""

_FUNCTIONS = """\
static inline __attribute__((always_inline, unused)) vec4 vec4_larger(vec4 a, vec4 b)
{
    return __builtin_elementwise_maximum(a, b);
}
static inline __attribute__((always_inline, unused)) vec4 vec4_least(vec4 v, float low)
{
    return __builtin_elementwise_maximum(v, (vec4){low, low, low, low});
}
static inline __attribute__((always_inline, unused)) vec4 vec4_most(vec4 v, float high)
{
    return __builtin_elementwise_minimum(v, (vec4){high, high, high, high});
}
"""

_INSTRUCTIONS = """
    static inline __attribute__((always_inline, unused)) vec4 vec4_larger(vec4 a, vec4 b)
    {
        vec4 larger;
        __asm__("$larger" : "=w"(larger) : "w"(a), "w"(b));
        return larger;
    }
    static inline __attribute__((always_inline, unused)) vec4 vec4_least(vec4 v, float low)
    {
        return vec4_larger(v, (vec4){low, low, low, low});
    }
    static inline __attribute__((always_inline, unused)) vec4 vec4_most(vec4 v, float high)
    {
        vec4 smaller, limit = {high, high, high, high};
        __asm__("$smaller" : "=w"(smaller) : "w"(v), "w"(limit));
        return smaller;
    }
"""
