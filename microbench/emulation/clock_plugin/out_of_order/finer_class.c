/* Classes that the decoders do not tell apart: Arm Architecture Reference Manual, DDI 0487, chapter C4. */
#include "decode.h"

static int finer_float(uint32_t word)
{
    if (BIT(28) && !BIT(30)) { /* scalar */
        const bool of_one = BITS(14, 10) == 0x10;
        if (of_one)
            return CLASS_FLOAT_CONVERT; /* fcvt, frint */
        return BITS(15, 12) >= 4 && BITS(15, 12) <= 7 ? CLASS_FLOAT_SIMPLE : CLASS_FLOAT; /* fmax, fmin */
    }
    if (BIT(24) || BITS(11, 10) == 2) /* scvtf and its kin by a constant; conversions of one vector */
        return CLASS_FLOAT_CONVERT;
    const int operation = BITS(15, 11); /* of three of the same size */
    if (operation == 24 || operation == 30) /* fmaxnm, fmax and their kin */
        return CLASS_FLOAT_SIMPLE;
    return operation == 26 && BIT(29) && !BIT(23) ? CLASS_FLOAT_PAIR : CLASS_FLOAT; /* faddp */
}

static int finer_vector(uint32_t word)
{
    return BIT(24) && BIT(10) ? CLASS_SHIFT : CLASS_VECTOR; /* by a constant */
}

int finer_class(int class, uint32_t word)
{
    switch (class) {
    case CLASS_SHIFTED: /* bit fields and extr, which an immediate says; bfm alone is as slow as a shifted operand */
        return BITS(28, 26) == 4 && BITS(30, 29) != 1 ? CLASS_ALU : CLASS_SHIFTED;
    case CLASS_FLOAT:
        return finer_float(word);
    case CLASS_VECTOR:
        return finer_vector(word);
    case CLASS_INTEGER: /* sshl */
        return BITS(15, 11) == 8 ? CLASS_SHIFT_REGISTER : CLASS_INTEGER;
    case CLASS_INSERT:
    case CLASS_PERMUTE: { /* from a general register */
        const bool copies = BITS(23, 21) == 0 && !BIT(15) && BIT(10) && !BIT(29);
        return copies && (BITS(14, 11) == 1 || BITS(14, 11) == 3) ? CLASS_GENERAL_TO_VECTOR : class;
    }
    case CLASS_LOAD_STRUCTURE: /* ld2, ld3 of elements below 64 bits */
        return (BITS(15, 12) == 8 || BITS(15, 12) == 4) && BITS(11, 10) != 3 ? CLASS_LOAD_INTERLEAVED : class;
    case CLASS_STORE_STRUCTURE:
    case CLASS_STORE_INTERLEAVED: { /* of three or four registers */
        const int code = BITS(15, 12);
        return code == 2 || code == 6 || code == 0 || code == 4 ? CLASS_STORE_MANY : class;
    }
    default:
        return class;
    }
}
