/* Scalar floats and vectors: Arm Architecture Reference Manual, DDI 0487, chapter C4.1.96. */
#include "decode.h"

static void decode_scalar_one_source(uint32_t word, instruction *in)
{
    const int operation = BITS(20, 15);
    becomes(in, operation < 3 ? CLASS_FLOAT_MOVE : operation == 3 ? CLASS_FLOAT_ROOT : CLASS_FLOAT, false);
    reads_vector(in, BITS(9, 5));
    writes_vector(in, BITS(4, 0));
}

static void decode_scalar_conversion(uint32_t word, instruction *in)
{
    const int operation = BITS(18, 16);
    const bool to_general = operation <= 1 || (operation >= 4 && operation <= 6);
    if (to_general) {
        becomes(in, CLASS_FLOAT_TO_GENERAL, false);
        reads_vector(in, BITS(9, 5));
        writes(in, BITS(4, 0));
    } else {
        becomes(in, CLASS_GENERAL_TO_FLOAT, false);
        reads(in, BITS(9, 5));
        writes_vector(in, BITS(4, 0));
    }
}

static void decode_scalar_float(uint32_t word, instruction *in)
{
    const int rd = BITS(4, 0), rn = BITS(9, 5), rm = BITS(20, 16);
    if (BIT(24)) { /* fmadd and its kin */
        accumulates(in, CLASS_FUSED, false, BITS(14, 10));
        reads_vector(in, rn);
        reads_vector(in, rm);
        writes_vector(in, rd);
    } else if (!BIT(21) || BITS(15, 10) == 0) {
        decode_scalar_conversion(word, in);
    } else if (BITS(14, 10) == 0x10) {
        decode_scalar_one_source(word, in);
    } else if (BITS(13, 10) == 8) { /* compare */
        becomes(in, CLASS_FLOAT_MOVE, false);
        reads_vector(in, rn);
        if (!(rd & 8))
            reads_vector(in, rm);
        writes(in, FLAGS);
    } else if (BITS(12, 10) == 4) { /* immediate */
        becomes(in, CLASS_FLOAT_MOVE, false);
        writes_vector(in, rd);
    } else if (BITS(11, 10) == 1 || BITS(11, 10) == 3) { /* conditional compare, select */
        const bool selects = BITS(11, 10) == 3;
        becomes(in, selects ? CLASS_FLOAT_SELECT : CLASS_FLOAT_MOVE, false);
        reads_vector(in, rn);
        reads_vector(in, rm);
        reads(in, FLAGS);
        writes(in, selects ? VECTORS + rd : FLAGS);
    } else {
        const int operation = BITS(15, 12), divide = BIT(22) ? CLASS_DIVIDE_DOUBLE : CLASS_DIVIDE_SINGLE;
        becomes(in, operation == 1 ? divide : operation == 0 ? CLASS_FLOAT_MULTIPLY : CLASS_FLOAT, false);
        reads_vector(in, rn);
        reads_vector(in, rm);
        writes_vector(in, rd);
    }
}

static void decode_three_same_float(uint32_t word, instruction *in, bool wide)
{
    const int operation = BITS(15, 11), rd = BITS(4, 0);
    const bool other = BIT(29);
    if (operation == 25 && !other)
        accumulates(in, CLASS_FUSED, wide, rd);
    else if (operation == 31)
        becomes(in, other ? CLASS_FLOAT_DIVIDE : CLASS_FLOAT_STEP, wide);
    else if (operation == 27 && other)
        becomes(in, CLASS_FLOAT_MULTIPLY, wide);
    else
        becomes(in, operation == 28 || (operation == 29 && other) ? CLASS_VECTOR : CLASS_FLOAT, wide);
}

static int class_of_three_same(int operation, bool other)
{
    switch (operation) {
    case 1: /* sqadd */
    case 5: /* sqsub */
    case 10: /* srshl */
    case 14: /* sabd */
    case 23: /* addp */
        return CLASS_INTEGER_LATE;
    case 17: /* cmeq, cmtst */
        return other ? CLASS_INTEGER : CLASS_INTEGER_LATE;
    case 9: /* sqshl */
    case 11: /* sqrshl */
        return CLASS_SATURATING;
    case 19: /* mul */
    case 22: /* sqdmulh */
        return CLASS_INTEGER_MULTIPLY;
    default: /* add, halving add, compare, max, sshl */
        return CLASS_INTEGER;
    }
}

static void decode_three_same(uint32_t word, instruction *in, bool wide)
{
    const int operation = BITS(15, 11), rd = BITS(4, 0);
    const bool selects = BIT(29) && BITS(23, 22) != 0;
    reads_vector(in, BITS(9, 5));
    reads_vector(in, BITS(20, 16));
    writes_vector(in, rd);
    if (operation >= 24) {
        decode_three_same_float(word, in, wide);
    } else if (operation == 3) {
        becomes(in, CLASS_LOGICAL, wide);
        if (selects) /* bsl, bit, bif */
            reads_vector(in, rd);
    } else if (operation == 18) {
        accumulates(in, CLASS_INTEGER_FUSED, wide, rd);
    } else if (operation == 15) { /* saba */
        accumulates(in, CLASS_INTEGER_TWICE, wide, rd);
    } else {
        becomes(in, class_of_three_same(operation, BIT(29)), wide);
    }
}

static void decode_copy(uint32_t word, instruction *in, bool wide)
{
    const int operation = BITS(14, 11), rd = BITS(4, 0), rn = BITS(9, 5);
    const bool inserts = !BIT(28) && (BIT(29) || operation == 3);
    const bool from_general = !BIT(29) && (operation == 1 || operation == 3);
    if (!BIT(28) && !BIT(29) && (operation == 5 || operation == 7)) { /* smov, umov */
        becomes(in, CLASS_VECTOR_TO_GENERAL, wide);
        reads_vector(in, rn);
        writes(in, rd);
        return;
    }
    becomes(in, inserts ? CLASS_INSERT : CLASS_PERMUTE, wide);
    if (from_general)
        reads(in, rn);
    else
        reads_vector(in, rn);
    writes_vector(in, rd);
}

static int class_of_one_vector(int operation, bool other, bool across)
{
    if (across) /* saddlv and addv; smaxv and sminv */
        return operation == 3 || operation == 27 ? CLASS_INTEGER_LATE
            : operation == 10 || operation == 26 ? CLASS_SATURATING
            : operation >= 22                    ? CLASS_FLOAT
                                                 : CLASS_VECTOR;
    switch (operation) {
    case 2: /* saddlp */
    case 3: /* suqadd */
        return CLASS_INTEGER_LATE;
    case 7: /* sqabs */
        return CLASS_SATURATING;
    case 11: /* abs, neg */
        return other ? CLASS_VECTOR : CLASS_INTEGER_LATE;
    case 18: /* xtn, sqxtun */
        return other ? CLASS_NARROW_SATURATING : CLASS_NARROW;
    case 19: /* shll */
        return CLASS_WIDEN;
    case 20: /* sqxtn */
        return CLASS_NARROW_SATURATING;
    default:
        return operation >= 22 ? CLASS_FLOAT : CLASS_VECTOR;
    }
}

/* Of three registers whose elements differ in width. */
static int class_of_long(int operation, bool rounds)
{
    switch (operation) {
    case 4: /* addhn, raddhn */
    case 6: /* subhn, rsubhn */
        return rounds ? CLASS_INTEGER_TWICE : CLASS_INTEGER_LONG;
    case 5: /* sabal */
        return CLASS_INTEGER_TWICE;
    case 8: /* smlal */
    case 10: /* smlsl */
        return CLASS_INTEGER_FUSED_LONG;
    case 9: /* sqdmlal, sqdmlsl, smull, sqdmull */
    case 11:
    case 12:
    case 13:
        return CLASS_INTEGER_MULTIPLY_LONG;
    default: /* saddl, saddw, ssubl, ssubw, sabdl, pmull */
        return CLASS_INTEGER_LONG;
    }
}

static void decode_two_vectors(uint32_t word, instruction *in, bool wide)
{
    const int rd = BITS(4, 0), rn = BITS(9, 5);
    if (BIT(21) && BIT(10)) {
        decode_three_same(word, in, wide);
    } else if (BIT(21) && BITS(11, 10) == 2) { /* of one vector, across its lanes, pairs of a scalar */
        if (!BIT(20) && BITS(16, 12) == 6) /* sadalp */
            accumulates(in, CLASS_INTEGER_TWICE, wide, rd);
        else
            becomes(in, class_of_one_vector(BITS(16, 12), BIT(29), BIT(20)), wide);
        reads_vector(in, rn);
        writes_vector(in, rd);
    } else if (BIT(21)) { /* long and narrow forms */
        const int operation = BITS(15, 12), class = class_of_long(operation, BIT(29));
        if (operation == 5 || operation == 8 || operation == 10) /* sabal, smlal, smlsl */
            accumulates(in, class, wide, rd);
        else
            becomes(in, class, wide);
        if (operation == 9 || operation == 11) /* sqdmlal, sqdmlsl */
            reads_vector(in, rd);
        reads_vector(in, rn);
        reads_vector(in, BITS(20, 16));
        writes_vector(in, rd);
    } else if (BITS(23, 21) == 0 && !BIT(15) && BIT(10)) {
        decode_copy(word, in, wide);
    } else {
        if (BIT(15) && BITS(14, 11) == 2 && BIT(10)) /* sdot, udot */
            accumulates(in, CLASS_DOT_PRODUCT, wide, rd);
        else /* zip, uzp, trn, ext, tbl */
            becomes(in, CLASS_PERMUTE, wide);
        reads_vector(in, rn);
        reads_vector(in, BITS(20, 16));
        writes_vector(in, rd);
    }
}

static int class_of_shift(int operation, bool other)
{
    switch (operation) {
    case 2: /* ssra */
    case 4: /* srshr */
        return CLASS_INTEGER_LATE;
    case 6: /* srsra */
        return CLASS_INTEGER_TWICE;
    case 12: /* sqshlu */
    case 14: /* sqshl */
        return CLASS_SATURATING;
    case 16: /* shrn, sqshrun */
        return other ? CLASS_NARROW_SATURATING : CLASS_NARROW;
    case 17: /* rshrn, sqrshrun */
        return other ? CLASS_NARROW_SATURATING : CLASS_NARROW_ROUNDED;
    case 18: /* sqshrn */
    case 19: /* sqrshrn */
        return CLASS_NARROW_SATURATING;
    case 20: /* sshll */
        return CLASS_WIDEN;
    default:
        return operation >= 28 ? CLASS_FLOAT : CLASS_VECTOR;
    }
}

static void decode_vector_immediate(uint32_t word, instruction *in, bool wide)
{
    const int rd = BITS(4, 0), code = BITS(15, 12), shift = BITS(15, 11);
    writes_vector(in, rd);
    if (!BIT(28) && BITS(22, 19) == 0) { /* movi, orr, bic, fmov */
        becomes(in, CLASS_LOGICAL, wide);
        if ((code & 1) && code < 12)
            reads_vector(in, rd);
        return;
    }
    becomes(in, class_of_shift(shift, BIT(29)), wide);
    reads_vector(in, BITS(9, 5));
    if (shift == 2 || shift == 6 || shift == 8 || shift == 10) /* it accumulates or inserts */
        reads_vector(in, rd);
}

static void decode_by_element(uint32_t word, instruction *in, bool wide)
{
    const int operation = BITS(15, 12), rd = BITS(4, 0), rm = BITS(20, 16);
    const bool other = BIT(29), is_float = operation == 1 || operation == 5 || operation == 9;
    reads_vector(in, BITS(9, 5));
    reads_vector(in, BITS(23, 22) == 1 && !is_float ? rm & 15 : rm);
    writes_vector(in, rd);
    if (!other && (operation == 1 || operation == 5))
        accumulates(in, CLASS_FUSED, wide, rd);
    else if (operation == 9)
        becomes(in, CLASS_FLOAT_MULTIPLY, wide);
    else if (operation == 14)
        accumulates(in, CLASS_DOT_PRODUCT, wide, rd);
    else if (operation == 2 || operation == 6) /* smlal, smlsl */
        accumulates(in, CLASS_INTEGER_FUSED_LONG, wide, rd);
    else if (other && (operation == 0 || operation == 4)) /* mla, mls */
        accumulates(in, CLASS_INTEGER_FUSED, wide, rd);
    else if (operation == 3 || operation == 7 || operation == 10 || operation == 11) /* smull, saturating forms */
        becomes(in, CLASS_INTEGER_MULTIPLY_LONG, wide);
    else
        becomes(in, CLASS_INTEGER_MULTIPLY, wide);
    if (operation == 3 || operation == 7) /* sqdmlal, sqdmlsl */
        reads_vector(in, rd);
}

void decode_vector(uint32_t word, instruction *in)
{
    const bool scalar = BIT(28), wide = !scalar && BIT(30);
    if (scalar && !BIT(30))
        decode_scalar_float(word, in);
    else if (!BIT(24))
        decode_two_vectors(word, in, wide);
    else if (BIT(10))
        decode_vector_immediate(word, in, wide);
    else
        decode_by_element(word, in, wide);
}
