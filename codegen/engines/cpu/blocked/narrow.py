"""Weights of two bytes, half floats or bfloat16, that kernels widen to the floats which they compute in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codegen.engines.cpu.blocked.vectors import constant_vector
from codegen.engines.cpu.machine import FLOAT_BYTES, instruction_sets, is_scalar
from codegen.engines.cpu.source import element_pointer, fill
from codegen.errors import ScheduleError
from codegen.schedule import Axis
from codegen.stored_weights import bfloat16s, either_axis, nearest_halves
from codegen.target import Target, WeightType
from codegen.tensor import FloatArray

NARROW_BYTES = 2
# Cores that profiles and tests name, and words of /proc/cpuinfo, of what has an instruction for half floats.
WITH_HALVES = frozenset({"cortex-a7", "cortex-a53", "cortex-a72", "x86-64-v3", "x86-64-v4"})
NATIVE_HALVES = frozenset({"f16c", "asimd", "vfpv4"})


def narrow_axis(target: Target, lanes: int) -> tuple[Axis, ...]:
    """How weights of kernels on blocks of so many channels may be stored, where it is asked for."""
    return either_axis(target, narrow_types(target)) if lanes > 1 else ()


def narrow_types(target: Target) -> tuple[WeightType, ...]:
    """What the core widens: bfloat16 every one by a shift, half floats where it has an instruction for them."""
    return ("float16", "bfloat16") if _has_halves(target) else ("bfloat16",)


def _has_halves(target: Target) -> bool:
    if target.cpu == "native":
        return not NATIVE_HALVES.isdisjoint(instruction_sets())
    if is_scalar(target):
        return False
    return target.compiler[0].startswith("aarch64") or target.cpu in WITH_HALVES


@dataclass(frozen=True)
class Stored:
    """Weights of a kernel on blocks of channels as they are stored: what its text, its packing and its work have of it.

    A kernel's weights are floats with its bias behind them; narrow ones take two bytes each, the bias stays as it is.
    """

    kind: WeightType

    @property
    def is_narrow(self) -> bool:
        return self.kind != "float32"

    @property
    def element(self) -> str:
        """The C type of a weight."""
        return "uint16_t" if self.is_narrow else "float"

    @property
    def weights(self) -> str:
        """The C expression of the first one, of a kernel's parameter `weights`."""
        return f"({element_pointer('weights', self.element)})" if self.is_narrow else "weights"

    def saved_bytes(self, count: int) -> int:
        """By how much so many weights are smaller than floats."""
        return (FLOAT_BYTES - NARROW_BYTES) * count if self.is_narrow else 0

    def bias_place(self, count: int) -> int:
        """Where the bias begins behind so many weights, in floats."""
        return count - self.saved_bytes(count) // FLOAT_BYTES

    def vector(self, lanes: int, address: str) -> str:
        """The block of channels at an address, as floats."""
        return f"vec{lanes}_of_{self.kind}({address})" if self.is_narrow else constant_vector(lanes, address)

    def prologue(self, lanes: int) -> str:
        """The function that `vector` calls, behind the vectors' prologue. May stand in a file several times."""
        if not self.is_narrow:
            return ""
        halves = fill(_HALVES, lanes=lanes, bytes=NARROW_BYTES * lanes) + _HALVES_OF[lanes] + _NO_HALVES
        return fill(
            """
            #ifndef EXPLORE_VEC${lanes}_OF_$kind
            #define EXPLORE_VEC${lanes}_OF_$kind
            #include <stdint.h>
            $text
            #endif
            """,
            lanes=lanes,
            kind=self.kind,
            text=halves
            if self.kind == "float16"
            else fill(_BFLOAT16, lanes=lanes, bytes=NARROW_BYTES * lanes),
        )

    def packed(self, floats: FloatArray, count: int) -> FloatArray:
        """Of packed floats the first `count`, an even number, as they are stored, then the others. Raises ScheduleError
        where a weight is too large.
        """
        if not self.is_narrow:
            return floats
        if self.kind == "int8":
            raise ScheduleError("no kernel of the CPU widens weights of int8")
        first = floats[:count]
        narrow = nearest_halves(first).view(np.uint16) if self.kind == "float16" else bfloat16s(first)
        return np.concatenate([narrow.astype("<u2").view("<f4"), floats[count:]])


# In 32-bit ARM compilers know halves by an option of the command line alone.
_HALVES = """
    #if defined(__AVX512F__) || defined(__F16C__)
    #include <immintrin.h>
    #elif defined(__arm__) && defined(__ARM_NEON)
    #include <arm_neon.h>
    #endif
    static inline __attribute__((always_inline, unused)) vec$lanes vec${lanes}_of_float16(const uint16_t *w)
    {
    #if defined(__aarch64__)
        typedef __fp16 half$lanes __attribute__((vector_size($bytes), aligned(2), may_alias));
        return __builtin_convertvector(*(const half$lanes *)w, vec$lanes);
"""

_HALVES_OF = {
    4: """\
#elif defined(__arm__) && defined(__ARM_NEON) && defined(__ARM_FEATURE_FMA)
    typedef uint16_t narrow4 __attribute__((vector_size(8), aligned(2), may_alias));
    const narrow4 narrow = *(const narrow4 *)w;
#if defined(__clang__)
    return (vec4)vcvt_f32_f16((float16x4_t)narrow);
#else
    vec4 wide;
    __asm__("vcvt.f32.f16 %q0, %P1" : "=w"(wide) : "w"(narrow));
    return wide;
#endif
#elif defined(__F16C__)
    return (vec4)_mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)w));
""",
    8: """\
#elif defined(__F16C__)
    return (vec8)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)w));
""",
    16: """\
#elif defined(__AVX512F__)
    return (vec16)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)w));
""",
}

_NO_HALVES = """\
#else
#error "this bundle's weights are half floats, which the core it is compiled for does not convert"
#endif
}
"""

# A core without vectors takes two weights from a word; elsewhere compilers know the shift that widens.
_BFLOAT16 = """
    static inline __attribute__((always_inline, unused)) vec$lanes vec${lanes}_of_bfloat16(const uint16_t *w)
    {
    #if defined(__arm__) && !defined(__ARM_NEON)
        typedef uint32_t pair __attribute__((may_alias));
        union {
            uint32_t bits[$lanes];
            vec$lanes floats;
        } wide;
        for (int i = 0; i < $lanes; i += 2) {
            const uint32_t both = *(const pair *)(w + i);
            wide.bits[i] = both << 16;
            wide.bits[i + 1] = both & 0xffff0000u;
        }
        return wide.floats;
    #else
        typedef uint16_t narrow$lanes __attribute__((vector_size($bytes), aligned(2), may_alias));
        typedef uint32_t bits$lanes __attribute__((vector_size(2 * $bytes)));
        return (vec$lanes)(__builtin_convertvector(*(const narrow$lanes *)w, bits$lanes) << 16);
    #endif
    }
"""
