/* The host's floating-point unit set up as the QPU's: round toward zero, denormals read and written as zero.
 * The QPU has no other mode (errata: "no inf, nan, denormal support"; silicon vectors for the truncation). */
#ifndef V3D_FPMODE_H
#define V3D_FPMODE_H

#include <stdint.h>

#if defined(__x86_64__)

#include <xmmintrin.h>

typedef unsigned int fpmode;

static inline fpmode fpmode_enter_qpu(void)
{
    fpmode before = _mm_getcsr();
    _mm_setcsr(0x1f80u | 0x8000u | 0x6000u | 0x0040u); /* masked, flush to zero, toward zero, denormals are zero */
    return before;
}

static inline void fpmode_leave(fpmode before)
{
    _mm_setcsr(before);
}

#elif defined(__aarch64__)

typedef uint64_t fpmode;

static inline fpmode fpmode_enter_qpu(void)
{
    fpmode before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    fpmode qpu = (UINT64_C(1) << 24) | (UINT64_C(3) << 22); /* flush to zero, toward zero */
    __asm__ volatile("msr fpcr, %0" : : "r"(qpu));
    return before;
}

static inline void fpmode_leave(fpmode before)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
}

#else
#error "the virtual VideoCore IV needs a 64-bit x86 or ARM host, whose rounding mode it can set"
#endif

#endif
