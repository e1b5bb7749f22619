/* The two ALUs (guide section 3, "ALUs", tables 12 and 13), on 16 lanes. To be called in the QPU's rounding mode. */
#ifndef V3D_ALU_H
#define V3D_ALU_H

#include "vector.h"

#pragma GCC visibility push(hidden)

enum add_op {
    ADD_NOP = 0, ADD_FADD, ADD_FSUB, ADD_FMIN, ADD_FMAX, ADD_FMINABS, ADD_FMAXABS, ADD_FTOI, ADD_ITOF,
    ADD_ADD = 12, ADD_SUB, ADD_SHR, ADD_ASR, ADD_ROR, ADD_SHL, ADD_MIN, ADD_MAX, ADD_AND, ADD_OR, ADD_XOR, ADD_NOT,
    ADD_CLZ, ADD_V8ADDS = 30, ADD_V8SUBS
};

enum mul_op { MUL_NOP = 0, MUL_FMUL, MUL_MUL24, MUL_V8MULD, MUL_V8MIN, MUL_V8MAX, MUL_V8ADDS, MUL_V8SUBS };

/* Lanes that need more than the host's add or multiply: infinities, overflow. */
void alu_fadd_special(const vec *a, const vec *b, vec *r);
void alu_fmul_special(const vec *a, const vec *b, vec *r);
void alu_fmul_nearest(const vec *a, const vec *b, vec *r);

/* Every operation but the two below. `a`, `b` and `r` may be the same. */
void alu_add_general(int op, const vec *a, const vec *b, vec *r);
void alu_mul_general(int op, const vec *a, const vec *b, vec *r);

/* Carry flags of an add ALU operation with its result, all ones or zeros a lane. */
void alu_add_carry(int op, const vec *a, const vec *b, const vec *r, vec *carry);
/* Carry flags of a mul ALU operation: none was recorded on silicon; they are clear here. */
void alu_mul_carry(vec *carry);

int alu_add_is_float(int op);      /* operands are floats */
int alu_add_gives_float(int op);   /* the result is a float */
int alu_add_is_binary(int op);     /* there is an operation, and it reads its second operand */
int alu_add_is_reserved(int op);

/* Register file A unpack (table 6) of operand lanes; `as_float` when an operation that reads it is a float one. */
void alu_unpack(int mode, int as_float, const vec *source, vec *r);
/* Register file A pack (table 7) over what the destination held. `overflow` lanes saturate in mode 8. */
void alu_pack_a(int mode, int from_float, const vec *result, const vec *overflow, const vec *old, vec *r);
/* Mul ALU pack to 8-bit colour (table 9). */
void alu_pack_mul(int mode, const vec *result, const vec *old, vec *r);
/* Signed overflow of an add ALU operation, for pack mode 8: the sign the saturated word gets is in `saturated`. */
void alu_add_overflow(int op, const vec *a, const vec *b, const vec *r, vec *overflow);

enum sfu_function { SFU_RECIP, SFU_RECIPSQRT, SFU_EXP, SFU_LOG };
void alu_sfu(enum sfu_function function, int bits, const vec *a, vec *r);

/* Truncating sum; a lane whose sum is not an ordinary number takes the slow path. -0 becomes +0 by adding +0. */
static inline void alu_fadd(const vec *a, const vec *b, vec *r)
{
    const f32x4 zero = {0.0f, 0.0f, 0.0f, 0.0f};
    const u32x4 magnitude = {0x7fffffffu, 0x7fffffffu, 0x7fffffffu, 0x7fffffffu};
    const i32x4 largest = {0x7f7ffffe, 0x7f7ffffe, 0x7f7ffffe, 0x7f7ffffe};
    f32x4 s0 = a->f[0] + b->f[0] + zero, s1 = a->f[1] + b->f[1] + zero;
    f32x4 s2 = a->f[2] + b->f[2] + zero, s3 = a->f[3] + b->f[3] + zero;
    i32x4 odd = ((i32x4)((u32x4)s0 & magnitude) > largest) | ((i32x4)((u32x4)s1 & magnitude) > largest) |
                ((i32x4)((u32x4)s2 & magnitude) > largest) | ((i32x4)((u32x4)s3 & magnitude) > largest);
    if (__builtin_expect(any_lane((u32x4)odd), 0)) {
        alu_fadd_special(a, b, r);
        return;
    }
    r->f[0] = s0;
    r->f[1] = s1;
    r->f[2] = s2;
    r->f[3] = s3;
}

static inline void alu_fmul(const vec *a, const vec *b, vec *r)
{
    const f32x4 zero = {0.0f, 0.0f, 0.0f, 0.0f};
    const u32x4 magnitude = {0x7fffffffu, 0x7fffffffu, 0x7fffffffu, 0x7fffffffu};
    const i32x4 largest = {0x7f7ffffe, 0x7f7ffffe, 0x7f7ffffe, 0x7f7ffffe};
    f32x4 p0 = a->f[0] * b->f[0] + zero, p1 = a->f[1] * b->f[1] + zero;
    f32x4 p2 = a->f[2] * b->f[2] + zero, p3 = a->f[3] * b->f[3] + zero;
    i32x4 odd = ((i32x4)((u32x4)p0 & magnitude) > largest) | ((i32x4)((u32x4)p1 & magnitude) > largest) |
                ((i32x4)((u32x4)p2 & magnitude) > largest) | ((i32x4)((u32x4)p3 & magnitude) > largest);
    if (__builtin_expect(any_lane((u32x4)odd), 0)) {
        alu_fmul_special(a, b, r);
        return;
    }
    r->f[0] = p0;
    r->f[1] = p1;
    r->f[2] = p2;
    r->f[3] = p3;
}

static inline void alu_add(int op, const vec *a, const vec *b, vec *r)
{
    if (op == ADD_FADD) {
        alu_fadd(a, b, r);
    } else if (op == ADD_OR) { /* moves */
        for (int k = 0; k < 4; k++)
            r->u[k] = a->u[k] | b->u[k];
    } else if (op == ADD_ADD) {
        for (int k = 0; k < 4; k++)
            r->u[k] = a->u[k] + b->u[k];
    } else {
        alu_add_general(op, a, b, r);
    }
}

static inline void alu_mul(int op, int nearest, const vec *a, const vec *b, vec *r)
{
    if (op != MUL_FMUL)
        alu_mul_general(op, a, b, r);
    else if (__builtin_expect(nearest, 0))
        alu_fmul_nearest(a, b, r);
    else
        alu_fmul(a, b, r);
}

#pragma GCC visibility pop

#endif
