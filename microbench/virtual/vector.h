/* Sixteen 32-bit lanes as four quads, in the vector types that gcc and clang share. */
#ifndef V3D_VECTOR_H
#define V3D_VECTOR_H

#include <stdint.h>

typedef uint32_t u32x4 __attribute__((vector_size(16)));
typedef int32_t i32x4 __attribute__((vector_size(16)));
typedef float f32x4 __attribute__((vector_size(16)));
typedef uint8_t u8x16 __attribute__((vector_size(16)));
typedef uint64_t u64x2 __attribute__((vector_size(16)));

typedef union {
    uint32_t w[16];
    u32x4 u[4];
    i32x4 i[4];
    f32x4 f[4];
    u8x16 b[4];
} __attribute__((aligned(64))) vec;

static inline int any_lane(u32x4 mask)
{
    u64x2 halves = (u64x2)mask;
    return (halves[0] | halves[1]) != 0;
}

static inline void vec_fill(vec *v, uint32_t value)
{
    u32x4 all = {value, value, value, value};
    for (int k = 0; k < 4; k++)
        v->u[k] = all;
}

#endif
