/* Pack and unpack units (guide section 3, "Pack/Unpack Bits", tables 6 to 9), fitted to results from silicon. */
#include <string.h>

#include "alu.h"

/* Float to half: away from zero where inexact; half denormals become 0, too large ones infinity. */
static uint32_t half_of(uint32_t x)
{
    uint32_t sign = x >> 16 & 0x8000u, magnitude = x & 0x7fffffffu;
    if (magnitude < 0x38800000u) /* below 2^-14 */
        return 0;
    uint32_t rounded = (magnitude + 0x1fffu) >> 13;
    uint32_t half = rounded - (112u << 10);
    return sign | (half > 0x7c00u ? 0x7c00u : half);
}

/* Half to float: as the unit does it, whose denormals are 0 here (silicon converts them wrongly). */
static uint32_t float_of_half(uint32_t h)
{
    uint32_t sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ffu;
    if (exponent == 0)
        return 0;
    if (exponent == 31)
        return sign | 0x7f800000u;
    return sign | (exponent + 112) << 23 | mantissa << 13;
}

static uint32_t word_of(float f)
{
    uint32_t x;
    memcpy(&x, &f, sizeof x);
    return x;
}

static uint32_t unpack_lane(int mode, int as_float, uint32_t x)
{
    switch (mode) {
    case 1:
    case 2: {
        uint32_t half = mode == 1 ? x & 0xffffu : x >> 16;
        return as_float ? float_of_half(half) : (uint32_t)(int32_t)(int16_t)half;
    }
    case 3:
        return (x >> 24) * 0x01010101u;
    case 4:
    case 5:
    case 6:
    case 7: {
        uint32_t byte = x >> (8 * (mode - 4)) & 255;
        return as_float ? word_of((float)byte / 255.0f) : byte;
    }
    default:
        return x;
    }
}

void alu_unpack(int mode, int as_float, const vec *source, vec *r)
{
    for (int i = 0; i < 16; i++)
        r->w[i] = unpack_lane(mode, as_float, source->w[i]);
}

/* Saturation of a word to a narrower integer. An overflowed sum or difference saturates to the limits of the
 * narrow type in every mode; where the range check of a saturating mode disagrees, the two limits are ANDed. */
static uint32_t narrow(int saturate, uint32_t x, uint32_t overflow, int32_t low, int32_t high, uint32_t mask)
{
    int32_t value = (int32_t)x;
    uint32_t r = x;
    if (overflow)
        r = (uint32_t)(overflow >> 31 ? low : high);
    if (saturate && (value < low || value > high)) {
        uint32_t limit = (uint32_t)(value < low ? low : high);
        r = overflow ? r & limit : limit;
    }
    return r & mask;
}

static uint32_t pack_lane(int mode, int from_float, uint32_t x, uint32_t overflow, uint32_t old)
{
    int saturate = mode >= 8, part = mode & 7;
    if (part == 0)
        return saturate && overflow ? overflow : x;
    if (part <= 2) {
        uint32_t half = from_float ? half_of(x) : narrow(saturate, x, overflow, -32768, 32767, 0xffffu);
        return part == 1 ? (old & 0xffff0000u) | half : (old & 0x0000ffffu) | half << 16;
    }
    uint32_t byte = narrow(saturate, x, overflow, 0, 255, 255u);
    if (part == 3)
        return byte * 0x01010101u;
    int shift = 8 * (part - 4);
    return (old & ~(255u << shift)) | byte << shift;
}

void alu_pack_a(int mode, int from_float, const vec *result, const vec *overflow, const vec *old, vec *r)
{
    for (int i = 0; i < 16; i++)
        r->w[i] = pack_lane(mode, from_float, result->w[i], overflow->w[i], old->w[i]);
}

/* sat[round(f * 255)], nearest. */
static uint32_t colour_of(uint32_t x)
{
    float f;
    memcpy(&f, &x, sizeof f);
    if (!(f > 0.0f))
        return 0;
    if (f >= 1.0f)
        return 255;
    return (uint32_t)((double)f * 255.0 + 0.5);
}

void alu_pack_mul(int mode, const vec *result, const vec *old, vec *r)
{
    for (int i = 0; i < 16; i++) {
        uint32_t byte = colour_of(result->w[i]);
        if (mode == 3) {
            r->w[i] = byte * 0x01010101u;
        } else {
            int shift = 8 * (mode - 4);
            r->w[i] = (old->w[i] & ~(255u << shift)) | byte << shift;
        }
    }
}

/* The saturated word where a signed sum or difference overflows, else 0. A difference saturates to the side of its
 * wrapped result, which is the wrong one: the vectors from silicon have it so. */
static uint32_t overflow_lane(int op, uint32_t x, uint32_t y, uint32_t r)
{
    if (op == ADD_ADD && ~(x ^ y) & (x ^ r) & 0x80000000u)
        return r >> 31 ? 0x7fffffffu : 0x80000000u;
    if (op == ADD_SUB && (x ^ y) & (x ^ r) & 0x80000000u)
        return r >> 31 ? 0x80000000u : 0x7fffffffu;
    return 0;
}

void alu_add_overflow(int op, const vec *a, const vec *b, const vec *r, vec *overflow)
{
    for (int i = 0; i < 16; i++)
        overflow->w[i] = overflow_lane(op, a->w[i], b->w[i], r->w[i]);
}
