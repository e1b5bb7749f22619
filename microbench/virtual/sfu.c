/* Special functions unit (guide section 3, "Special Functions Unit").
 *
 * The silicon's tables are not public: the exact value is cut to the number of bits that silicon gets right, which is
 * a profile constant a function. One Newton step is needed on either, and mends either.
 */
#include <math.h>
#include <string.h>

#include "alu.h"

static const uint32_t infinity = 0x7f800000u;

/* The float toward zero of `value`, with `bits` bits after the leading one. */
static uint32_t cut(double value, int bits)
{
    float f = (float)value;
    uint32_t x;
    memcpy(&x, &f, sizeof x);
    if ((x & infinity) == 0)
        return 0;
    if ((x & infinity) == infinity)
        return (x & 0x80000000u) | infinity;
    return bits >= 23 ? x : x & ~((1u << (23 - bits)) - 1);
}

static uint32_t sfu_lane(enum sfu_function function, int bits, uint32_t x)
{
    if ((x & 0x7fffffffu) < 0x00800000u)
        x = 0;
    uint32_t sign = x & 0x80000000u;
    int infinite = (x & 0x7fffffffu) >= infinity;
    float f;
    memcpy(&f, &x, sizeof f);
    switch (function) {
    case SFU_RECIP:
        if (x == 0)
            return infinity;
        return infinite ? 0 : cut(1.0 / (double)f, bits);
    case SFU_RECIPSQRT:
        if (x == 0 || sign)
            return infinity;
        return infinite ? 0 : cut(1.0 / sqrt((double)f), bits);
    case SFU_EXP:
        if (infinite || f > 128.0f || f < -127.0f)
            return sign ? 0 : infinity;
        return cut(exp2((double)f), bits);
    default:
        if (x == 0 || sign)
            return 0x80000000u | infinity;
        return infinite ? infinity : cut(log2((double)f), bits);
    }
}

void alu_sfu(enum sfu_function function, int bits, const vec *a, vec *r)
{
    for (int i = 0; i < 16; i++)
        r->w[i] = sfu_lane(function, bits, a->w[i]);
}
