/* The ALU operations that are not hot, and flags, fitted to results recorded on silicon (see v3d.h, v3d_alu). */
#include "alu.h"

#include <string.h>

#include "fpmode.h"
#include "v3d.h"

static inline int32_t lane_sign(uint32_t x)
{
    return (int32_t)x < 0;
}

/* A word as the float units read it: denormals are +0, what IEEE calls NaN is infinity. */
static inline uint32_t canonical(uint32_t x)
{
    uint32_t magnitude = x & 0x7fffffffu;
    if (magnitude < 0x00800000u)
        return 0;
    if (magnitude > 0x7f800000u)
        return (x & 0x80000000u) | 0x7f800000u;
    return x;
}

static inline float as_float(uint32_t x)
{
    float f;
    memcpy(&f, &x, sizeof f);
    return f;
}

static inline uint32_t as_word(float f)
{
    uint32_t x;
    memcpy(&x, &f, sizeof x);
    return x;
}

static inline int is_infinite(uint32_t x)
{
    return (x & 0x7fffffffu) == 0x7f800000u;
}

/* Overflow of ordinary numbers gives infinity (assumed: no vector shows it); of two infinities the second wins. */
static uint32_t fadd_lane(uint32_t a, uint32_t b)
{
    a = canonical(a);
    b = canonical(b);
    if (is_infinite(b))
        return b;
    if (is_infinite(a))
        return a;
    double sum = (double)as_float(a) + (double)as_float(b);
    if (sum >= 0x1p128 || sum <= -0x1p128)
        return sum > 0 ? 0x7f800000u : 0xff800000u;
    uint32_t r = canonical(as_word(as_float(a) + as_float(b)));
    return r;
}

static uint32_t fmul_lane(uint32_t a, uint32_t b, int nearest)
{
    a = canonical(a);
    b = canonical(b);
    uint32_t sign = (a ^ b) & 0x80000000u;
    if (a == 0 || b == 0)
        return 0;
    if (is_infinite(a) || is_infinite(b))
        return sign | 0x7f800000u;
    double product = (double)as_float(a) * (double)as_float(b); /* exact: 48 bits */
    uint64_t bits;
    memcpy(&bits, &product, sizeof bits);
    bits &= UINT64_C(0x7fffffffffffffff);
    if (nearest) /* to the even one of two equally near floats, with 29 bits to drop */
        bits += UINT64_C(0x0fffffff) + ((bits >> 29) & 1);
    int64_t exponent = (int64_t)(bits >> 52) - 1023 + 127;
    if (exponent <= 0)
        return 0;
    if (exponent >= 255)
        return sign | 0x7f800000u;
    return sign | (uint32_t)exponent << 23 | (uint32_t)((bits >> 29) & 0x7fffffu);
}

void alu_fadd_special(const vec *a, const vec *b, vec *r)
{
    for (int i = 0; i < 16; i++)
        r->w[i] = fadd_lane(a->w[i], b->w[i]);
}

void alu_fmul_special(const vec *a, const vec *b, vec *r)
{
    for (int i = 0; i < 16; i++)
        r->w[i] = fmul_lane(a->w[i], b->w[i], 0);
}

void alu_fmul_nearest(const vec *a, const vec *b, vec *r)
{
    for (int i = 0; i < 16; i++)
        r->w[i] = fmul_lane(a->w[i], b->w[i], 1);
}

/* Integers in the order of the floats that the words are, -0 and +0 the same; nothing is flushed or made infinite. */
static inline i32x4 float_order(u32x4 x)
{
    i32x4 negative = (i32x4)x < 0;
    return ((i32x4)(x & 0x7fffffffu) ^ negative) - negative;
}

static inline u32x4 choose(i32x4 condition, u32x4 yes, u32x4 no)
{
    return ((u32x4)condition & yes) | (~(u32x4)condition & no);
}

static inline u32x4 v8_add_saturating(u32x4 x, u32x4 y)
{
    u8x16 sum = (u8x16)x + (u8x16)y;
    return (u32x4)(sum | (u8x16)(sum < (u8x16)x));
}

static inline u32x4 v8_subtract_saturating(u32x4 x, u32x4 y)
{
    u8x16 difference = (u8x16)x - (u8x16)y;
    return (u32x4)(difference & (u8x16)((u8x16)x >= (u8x16)y));
}

static uint32_t ftoi_lane(uint32_t x)
{
    float f = as_float(canonical(x));
    return f >= -0x1p31f && f < 0x1p31f ? (uint32_t)(int32_t)f : 0;
}

#define QUADS(expression) \
    for (int k = 0; k < 4; k++) { \
        u32x4 x = a->u[k], y = b->u[k]; \
        (void)y; \
        r->u[k] = (u32x4)(expression); \
    } \
    break

#define LANES(expression) \
    for (int l = 0; l < 16; l++) { \
        uint32_t x = a->w[l], y = b->w[l]; \
        (void)y; \
        r->w[l] = (uint32_t)(expression); \
    } \
    break

static inline uint32_t rotate_right(uint32_t x, uint32_t n)
{
    n &= 31;
    return n == 0 ? x : x >> n | x << (32 - n);
}

void alu_add_general(int op, const vec *a, const vec *b, vec *r)
{
    switch (op) {
    case ADD_FADD:
        alu_fadd(a, b, r);
        break;
    case ADD_FSUB: {
        vec negated;
        for (int k = 0; k < 4; k++)
            negated.u[k] = b->u[k] ^ 0x80000000u;
        alu_fadd(a, &negated, r);
        break;
    }
    case ADD_FMIN:
        QUADS(choose(float_order(x) > float_order(y), y, x));
    case ADD_FMAX:
        QUADS(choose(float_order(x) > float_order(y), x, y));
    case ADD_FMINABS:
        QUADS(choose((i32x4)(x & 0x7fffffffu) > (i32x4)(y & 0x7fffffffu), y, x) & 0x7fffffffu);
    case ADD_FMAXABS:
        QUADS(choose((i32x4)(x & 0x7fffffffu) > (i32x4)(y & 0x7fffffffu), x, y) & 0x7fffffffu);
    case ADD_FTOI:
        LANES(ftoi_lane(x));
    case ADD_ITOF:
        LANES(as_word((float)(int32_t)x));
    case ADD_ADD:
        QUADS(x + y);
    case ADD_SUB:
        QUADS(x - y);
    case ADD_SHR:
        QUADS(x >> (y & 31));
    case ADD_ASR:
        QUADS((i32x4)x >> (i32x4)(y & 31));
    case ADD_ROR:
        LANES(rotate_right(x, y));
    case ADD_SHL:
        QUADS(x << (y & 31));
    case ADD_MIN:
        QUADS(choose((i32x4)x > (i32x4)y, y, x));
    case ADD_MAX:
        QUADS(choose((i32x4)x > (i32x4)y, x, y));
    case ADD_AND:
        QUADS(x & y);
    case ADD_OR:
        QUADS(x | y);
    case ADD_XOR:
        QUADS(x ^ y);
    case ADD_NOT:
        QUADS(~x);
    case ADD_CLZ:
        LANES(x == 0 ? 32 : __builtin_clz(x));
    case ADD_V8ADDS:
        QUADS(v8_add_saturating(x, y));
    case ADD_V8SUBS:
        QUADS(v8_subtract_saturating(x, y));
    default:
        memset(r, 0, sizeof *r);
    }
}

static uint32_t v8_multiply(uint32_t x, uint32_t y)
{
    uint32_t r = 0;
    for (int shift = 0; shift < 32; shift += 8)
        r |= (((x >> shift & 255) * (y >> shift & 255) + 127) / 255) << shift;
    return r;
}

static inline u32x4 v8_choose(u8x16 condition, u32x4 yes, u32x4 no)
{
    return (u32x4)((condition & (u8x16)yes) | (~condition & (u8x16)no));
}

void alu_mul_general(int op, const vec *a, const vec *b, vec *r)
{
    switch (op) {
    case MUL_FMUL:
        alu_fmul(a, b, r);
        break;
    case MUL_MUL24:
        QUADS((x & 0xffffffu) * (y & 0xffffffu));
    case MUL_V8MULD:
        LANES(v8_multiply(x, y));
    case MUL_V8MIN:
        QUADS(v8_choose((u8x16)((u8x16)x < (u8x16)y), x, y));
    case MUL_V8MAX:
        QUADS(v8_choose((u8x16)((u8x16)x > (u8x16)y), x, y));
    case MUL_V8ADDS:
        QUADS(v8_add_saturating(x, y));
    case MUL_V8SUBS:
        QUADS(v8_subtract_saturating(x, y));
    default:
        memset(r, 0, sizeof *r);
    }
}

/* The last bit shifted out; none for a shift by 0. */
static inline int shifted_out(int op, uint32_t x, uint32_t n)
{
    n &= 31;
    if (n == 0)
        return 0;
    return op == ADD_SHL ? x >> (32 - n) & 1 : x >> (n - 1) & 1;
}

static int carry_lane(int op, uint32_t x, uint32_t y, uint32_t r)
{
    switch (op) {
    case ADD_FADD:
    case ADD_FSUB:
    case ADD_ITOF:
        return (int32_t)r > 0;
    case ADD_ADD:
        return r < x;
    case ADD_SUB:
        return x < y;
    case ADD_SHR:
    case ADD_ASR:
    case ADD_SHL:
        return shifted_out(op, x, y);
    case ADD_MIN:
    case ADD_MAX:
        return (int32_t)x > (int32_t)y;
    case ADD_FMINABS:
    case ADD_FMAXABS:
        return (x & 0x7fffffffu) > (y & 0x7fffffffu);
    default:
        return 0;
    }
}

void alu_add_carry(int op, const vec *a, const vec *b, const vec *r, vec *carry)
{
    if (op == ADD_FMIN || op == ADD_FMAX) {
        for (int k = 0; k < 4; k++)
            carry->i[k] = float_order(a->u[k]) > float_order(b->u[k]);
        return;
    }
    for (int i = 0; i < 16; i++)
        carry->w[i] = carry_lane(op, a->w[i], b->w[i], r->w[i]) ? UINT32_MAX : 0;
}

void alu_mul_carry(vec *carry)
{
    memset(carry, 0, sizeof *carry);
}

int alu_add_is_float(int op)
{
    return op >= ADD_FADD && op <= ADD_FTOI;
}

int alu_add_gives_float(int op)
{
    return (op >= ADD_FADD && op <= ADD_FMAXABS) || op == ADD_ITOF;
}

int alu_add_is_binary(int op)
{
    return op != ADD_NOP && op != ADD_FTOI && op != ADD_ITOF && op != ADD_NOT && op != ADD_CLZ;
}

int alu_add_is_reserved(int op)
{
    return (op > ADD_ITOF && op < ADD_ADD) || (op > ADD_CLZ && op < ADD_V8ADDS);
}

int v3d_alu(int unit, int op, const uint32_t *a, const uint32_t *b, int pack, const uint32_t *old, uint32_t *result,
            uint32_t *flags)
{
    if (op < 0 || op > (unit ? 7 : 31) || (!unit && alu_add_is_reserved(op)) || pack < 0 || pack > 15)
        return -1;
    vec x, y, r, carry, overflow, before, packed;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    memcpy(&before, old, sizeof before);
    memset(&overflow, 0, sizeof overflow);
    fpmode mode = fpmode_enter_qpu();
    if (unit) {
        alu_mul_general(op, &x, &y, &r);
        alu_mul_carry(&carry);
    } else {
        alu_add_general(op, &x, &y, &r);
        alu_add_carry(op, &x, &y, &r, &carry);
        alu_add_overflow(op, &x, &y, &r, &overflow);
    }
    alu_pack_a(pack, unit ? op == MUL_FMUL : alu_add_gives_float(op), &r, &overflow, &before, &packed);
    fpmode_leave(mode);
    memcpy(result, &packed, sizeof packed);
    for (int i = 0; i < 16; i++)
        flags[i] = (r.w[i] == 0 ? 1u : 0u) | (lane_sign(r.w[i]) ? 2u : 0u) | (carry.w[i] ? 4u : 0u);
    return 0;
}
