"""C text of vectors of 32-bit integers and floats: their types, their ends and their rounding."""

from __future__ import annotations

from codegen.engines.cpu.source import fill


def types_text(lanes: int) -> str:
    """Vectors of as many elements as lanes, their ends and their rounding; may stand in a file several times."""
    return fill(_TYPES, lanes=lanes, bytes=4 * lanes)


_TYPES = """
    #ifndef EXPLORE_INT8_$lanes
    #define EXPLORE_INT8_$lanes
    #include <stdint.h>
    #include <string.h>
    #if defined(__AVX2__)
    #include <immintrin.h>
    #elif defined(__ARM_NEON)
    #include <arm_neon.h>
    #endif
    #define INT8_INLINE static inline __attribute__((always_inline, unused))
    typedef int32_t sum$lanes __attribute__((vector_size($bytes), aligned(4), may_alias));
    typedef float real$lanes __attribute__((vector_size($bytes), aligned(4), may_alias));
    typedef uint8_t byte$lanes __attribute__((vector_size($lanes), aligned(1), may_alias));
    typedef int8_t tiny$lanes __attribute__((vector_size($lanes), aligned(1), may_alias));

    /* A product that no compiler makes a part of a sum, which would be rounded once. */
    INT8_INLINE real$lanes apart$lanes(real$lanes v)
    {
    #if $lanes == 16 && defined(__AVX512F__)
        __asm__("" : "+v"(v));
    #elif ($lanes == 8 && defined(__AVX2__)) || ($lanes == 4 && defined(__FMA__))
        __asm__("" : "+x"(v));
    #elif $lanes == 4 && defined(__ARM_NEON)
        __asm__("" : "+w"(v));
    #elif defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    #error "products of so many lanes have no register here"
    #endif
        return v;
    }

    #if $lanes == 16 && defined(__AVX512F__)
    #define EXPLORE_FUSED_$lanes(a, b, c) (real$lanes)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c))
    #elif $lanes == 8 && defined(__FMA__)
    #define EXPLORE_FUSED_$lanes(a, b, c) (real$lanes)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c))
    #elif $lanes == 4 && defined(__FMA__)
    #define EXPLORE_FUSED_$lanes(a, b, c) (real$lanes)_mm_fmadd_ps((__m128)(a), (__m128)(b), (__m128)(c))
    #elif $lanes == 4 && defined(__ARM_NEON) && defined(__ARM_FEATURE_FMA)
    #define EXPLORE_FUSED_$lanes(a, b, c) (real$lanes)vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b))
    #endif

    INT8_INLINE real$lanes least$lanes(real$lanes v, float low)
    {
    #if $lanes == 16 && defined(__AVX512F__)
        return (real$lanes)_mm512_max_ps((__m512)v, _mm512_set1_ps(low));
    #elif $lanes == 8 && defined(__AVX2__)
        return (real$lanes)_mm256_max_ps((__m256)v, _mm256_set1_ps(low));
    #elif $lanes == 4 && defined(__ARM_NEON)
        return (real$lanes)vmaxq_f32((float32x4_t)v, vdupq_n_f32(low));
    #else
        for (int i = 0; i < $lanes; ++i)
            v[i] = v[i] > low ? v[i] : low;
        return v;
    #endif
    }

    INT8_INLINE real$lanes most$lanes(real$lanes v, float high)
    {
    #if $lanes == 16 && defined(__AVX512F__)
        return (real$lanes)_mm512_min_ps((__m512)v, _mm512_set1_ps(high));
    #elif $lanes == 8 && defined(__AVX2__)
        return (real$lanes)_mm256_min_ps((__m256)v, _mm256_set1_ps(high));
    #elif $lanes == 4 && defined(__ARM_NEON)
        return (real$lanes)vminq_f32((float32x4_t)v, vdupq_n_f32(high));
    #else
        for (int i = 0; i < $lanes; ++i)
            v[i] = v[i] < high ? v[i] : high;
        return v;
    #endif
    }

    /* To the nearest, the even one of two; of values that int32 has. */
    INT8_INLINE sum$lanes whole$lanes(real$lanes v)
    {
    #if $lanes == 16 && defined(__AVX512F__)
        return (sum$lanes)_mm512_cvtps_epi32((__m512)v);
    #elif $lanes == 8 && defined(__AVX2__)
        return (sum$lanes)_mm256_cvtps_epi32((__m256)v);
    #elif $lanes == 4 && defined(__aarch64__)
        return (sum$lanes)vcvtnq_s32_f32((float32x4_t)v);
    #elif $lanes == 4 && defined(__ARM_NEON)
        __asm__("" : "+w"(v)); /* what is rounded is a float, not the product that it is of */
        const real$lanes moved = v + 12582912.0f; /* 1.5 * 2^23: the sum's last bits are the integer */
        return (sum$lanes)moved - 0x4b400000;
    #else
        sum$lanes result;
        for (int i = 0; i < $lanes; ++i) {
    #if defined(__arm__)
            float converted;
            __asm__("vcvtr.s32.f32 %0, %1" : "=t"(converted) : "t"(v[i]));
            int32_t integer;
            memcpy(&integer, &converted, 4);
            result[i] = integer;
    #else
            result[i] = (int32_t)__builtin_rintf(v[i]);
    #endif
        }
        return result;
    #endif
    }

    /* round(total * factor + inside) between two ends: to the nearest, the even one of two, once. */
    INT8_INLINE sum$lanes rounded_large$lanes(sum$lanes total, real$lanes factor, float inside, float low, float high)
    {
        sum$lanes result;
        for (int i = 0; i < $lanes; ++i) {
            double v = (double)total[i] * (double)factor[i] + (double)inside;
            v = v > low ? v : low;
            v = v < high ? v : high;
    #if defined(__arm__)
            float converted;
            __asm__("vcvtr.s32.f64 %0, %P1" : "=t"(converted) : "w"(v));
            int32_t integer;
            memcpy(&integer, &converted, 4);
            result[i] = integer;
    #else
            result[i] = (int32_t)__builtin_rint(v);
    #endif
        }
        return result;
    }

    /* The same of totals that floats hold: the sum of a product and of 1.5 * 2^23 has the integer in its last bits. */
    INT8_INLINE sum$lanes rounded$lanes(sum$lanes total, real$lanes factor, float inside, float low, float high)
    {
    #if defined(EXPLORE_FUSED_$lanes)
        const real$lanes place = (real$lanes){0} + (12582912.0f + inside);
        real$lanes v = EXPLORE_FUSED_$lanes(__builtin_convertvector(total, real$lanes), factor, place);
        v = most$lanes(least$lanes(v, 12582912.0f + low), 12582912.0f + high);
        return (sum$lanes)v - 0x4b400000;
    #else
        return rounded_large$lanes(total, factor, inside, low, high);
    #endif
    }

    /* A quotient of finite numbers, rounded as a division rounds it (Markstein 1990): `reciprocal` is 1 / divisor. */
    INT8_INLINE real$lanes quotient$lanes(real$lanes v, float divisor, float reciprocal)
    {
    #if defined(EXPLORE_FUSED_$lanes)
        const real$lanes by = (real$lanes){0} + reciprocal, first = v * by;
        const real$lanes rest = EXPLORE_FUSED_$lanes(-first, (real$lanes){0} + divisor, v);
        return EXPLORE_FUSED_$lanes(rest, by, first);
    #else
        (void)reciprocal;
        return v / divisor;
    #endif
    }
    #endif
"""
