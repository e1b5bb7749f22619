/* Special functions unit (guide section 3, "Special Functions Unit").
 *
 * The silicon's tables are not public. What is published of its results (VC4C, doc/sfu_accuracy.txt) has 15 bits after
 * the leading one, a profile constant a function, and lies mostly one step above the nearest; 1/x and 1/sqrt(x) of
 * powers of two lie two steps below, save 1/1, and 2^x of negative integers one. A logarithm has these bits after the
 * point: it is exact for powers of two from 1 on, half a step high for those below, and else one to two steps low.
 * This model has those habits, so that every published value of a power of two comes out and others come out within
 * three steps: about 14 bits are right. 1/sqrt and the logarithm take the absolute value.
 */
#include <math.h>
#include <string.h>

#include "alu.h"

static const uint32_t infinity = 0x7f800000u;

static uint32_t as_float(double value)
{
    float f = (float)value;
    uint32_t x;
    memcpy(&x, &f, sizeof x);
    return (x & infinity) == 0 ? 0 : (x & infinity) == infinity ? (x & 0x80000000u) | infinity : x;
}

/* One step, of `bits` after the leading one, above the nearest of so many bits. */
static uint32_t step_above(double value, int bits)
{
    int exponent;
    double leading_one = 2.0 * frexp(fabs(value), &exponent);
    double steps = floor(ldexp(leading_one, bits) + 0.5) + 1.0;
    return as_float(copysign(ldexp(steps, exponent - 1 - bits), value));
}

static uint32_t below_power_of_two(double power, int steps, int bits)
{
    return as_float(power - ldexp(power, -bits) * steps);
}

static int is_power_of_two(double value)
{
    int exponent;
    return frexp(fabs(value), &exponent) == 0.5;
}

static uint32_t recip(double f, int bits)
{
    if (fabs(f) == 1.0)
        return as_float(f);
    return is_power_of_two(f) ? below_power_of_two(1.0 / f, 2, bits) : step_above(1.0 / f, bits);
}

static uint32_t rsqrt(double f, int bits)
{
    double root = 1.0 / sqrt(fabs(f));
    return is_power_of_two(root) ? below_power_of_two(root, 2, bits) : step_above(root, bits);
}

static uint32_t power(double f, int bits)
{
    if (f < 0 && f == floor(f))
        return below_power_of_two(exp2(f), 1, bits);
    return step_above(exp2(f), bits);
}

static uint32_t logarithm(double f, int bits)
{
    double exact = log2(fabs(f));
    if (is_power_of_two(f))
        return as_float(exact < 0 ? exact + ldexp(0.5, -bits) : exact);
    return as_float(ldexp(floor(ldexp(exact, bits)) - 1.0, -bits));
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
        return x == 0 ? infinity : infinite ? 0 : recip((double)f, bits);
    case SFU_RECIPSQRT:
        return x == 0 ? infinity : infinite ? 0 : rsqrt((double)f, bits);
    case SFU_EXP:
        if (infinite || f > 128.0f || f < -127.0f)
            return sign ? 0 : infinity;
        return power((double)f, bits);
    default:
        if (x == 0)
            return 0x80000000u | infinity;
        return infinite ? infinity : logarithm((double)f, bits);
    }
}

void alu_sfu(enum sfu_function function, int bits, const vec *a, vec *r)
{
    for (int i = 0; i < 16; i++)
        r->w[i] = sfu_lane(function, bits, a->w[i]);
}
