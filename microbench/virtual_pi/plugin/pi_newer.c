#include "pi_newer.h"

#include <stddef.h>

typedef struct encoding {
    uint32_t mask, bits;
    const char *extension;
} encoding;

/* Arm Architecture Reference Manual for A-profile, chapter F4: A32 instruction set encoding. */
static const encoding encodings[] = {
    {0xffb30f10, 0xf3b00300, "AES"},
    {0xffb30fd0, 0xf3b102c0, "SHA1"},
    {0xffb30f90, 0xf3b20380, "SHA1 or SHA256"},
    {0xfe800f50, 0xf2000c40, "SHA1 or SHA256"},
    {0xffb00f50, 0xf2a00e00, "polynomial multiply to 128 bits"},
    {0xff800f10, 0xf3000b10, "rounding double multiply-add (ARMv8.1)"},
    {0xff800f10, 0xf3000c10, "rounding double multiply-add (ARMv8.1)"},
    {0xfeb00e50, 0xf2900e40, "rounding double multiply-add (ARMv8.1)"},
    {0xfeb00e50, 0xf2a00e40, "rounding double multiply-add (ARMv8.1)"},
    {0xfe900c00, 0xf2100c00, "half precision (ARMv8.2)"},
    {0x0f000f00, 0x0e000900, "half precision (ARMv8.2)"},
    {0x0f200f00, 0x0d000900, "half precision (ARMv8.2)"},
    {0x0fbf0fd0, 0x0eb90bc0, "conversion for JavaScript (ARMv8.3)"},
    {0xff000e00, 0xfc000800, "complex or half-precision multiply-add (ARMv8.2)"},
    {0xff000e00, 0xfc000c00, "dot product, bfloat16 or matrix multiply (ARMv8.2)"},
    {0xff000e00, 0xfd000800, "complex multiply-add (ARMv8.3)"},
    {0xff000e00, 0xfd000c00, "dot product or bfloat16 (ARMv8.2)"},
    {0xff000e00, 0xfe000800, "complex or half-precision multiply-add (ARMv8.2)"},
    {0xff000e00, 0xfe000c00, "dot product or bfloat16 (ARMv8.2)"},
};

const char *pi_newer_than_a53(uint32_t word)
{
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings; ++i)
        if ((word & encodings[i].mask) == encodings[i].bits)
            return encodings[i].extension;
    return NULL;
}
