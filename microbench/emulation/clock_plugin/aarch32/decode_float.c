/* Floating-point instructions (VFP) of A32 and moves between their registers and general ones: DDI 0406, chapter A7. */
#include "decode.h"

enum { UNCONDITIONAL = 15, FPSCR = 1 };

/* Reads and writes registers of one precision each. */
static void unary(uint32_t word, instruction *in, int class, bool larger, bool from_double, bool to_double)
{
    becomes(in, class, larger);
    in->is_vector = true;
    reads_vectors(in, from_double ? DOUBLE(0, 5) : SINGLE(0, 5), from_double, 1, ANY_OPERAND);
    writes_vectors(in, to_double ? DOUBLE(12, 22) : SINGLE(12, 22), to_double, 1);
}

static void binary(uint32_t word, instruction *in, int class, bool accumulates)
{
    const bool wide = BIT(8);
    const int target = wide ? DOUBLE(12, 22) : SINGLE(12, 22);
    unary(word, in, class, wide, wide, wide);
    reads_vectors(in, wide ? DOUBLE(16, 7) : SINGLE(16, 7), wide, 1, ANY_OPERAND);
    if (accumulates)
        reads_vectors(in, target, wide, 1, ADDEND);
}

static void compares(uint32_t word, instruction *in)
{
    const bool wide = BIT(8);
    becomes(in, CLASS_FLOAT_COMPARE, wide);
    in->is_vector = true;
    reads_vectors(in, wide ? DOUBLE(12, 22) : SINGLE(12, 22), wide, 1, ANY_OPERAND);
    if (!BIT(16))
        reads_vectors(in, wide ? DOUBLE(0, 5) : SINGLE(0, 5), wide, 1, ANY_OPERAND);
    writes(in, FLOAT_FLAGS);
}

static void decode_unary(uint32_t word, instruction *in)
{
    const bool wide = BIT(8), other = BIT(7);
    const int operation = BITS(19, 16);
    if (!BIT(6)) { /* a constant */
        becomes(in, CLASS_FLOAT_MOVE, wide);
        in->is_vector = true;
        writes_vectors(in, wide ? DOUBLE(12, 22) : SINGLE(12, 22), wide, 1);
    } else if (operation == 0 || (operation == 1 && !other)) { /* vmov, vabs, vneg */
        unary(word, in, CLASS_FLOAT_MOVE, wide, wide, wide);
    } else if (operation == 1) {
        unary(word, in, CLASS_FLOAT_ROOT, wide, wide, wide);
    } else if (operation == 4 || operation == 5) {
        compares(word, in);
    } else if (operation == 7 && other) { /* between the precisions */
        unary(word, in, CLASS_FLOAT_PRECISION, wide, wide, !wide);
    } else if (operation == 6 || operation == 7) { /* vrint */
        unary(word, in, CLASS_FLOAT_CONVERT, wide, wide, wide);
    } else if (operation == 8) { /* from an integer */
        unary(word, in, CLASS_FLOAT_CONVERT, wide, false, wide);
    } else if (operation == 12 || operation == 13) { /* to one */
        unary(word, in, CLASS_FLOAT_CONVERT, wide, wide, false);
    } else {
        refuse(in, "conversions of halves and of fixed point are not modelled");
    }
}

/* vsel, vmaxnm, vminnm; and what rounds in a way of its own. */
static void decode_newer(uint32_t word, instruction *in)
{
    const int operation = BITS(21, 20);
    if (!BIT(23)) {
        binary(word, in, CLASS_FLOAT_MOVE, false);
        reads(in, FLAGS);
    } else if (operation == 0) {
        binary(word, in, CLASS_FLOAT_ADD, false);
    } else if (operation == 3 && BIT(6)) {
        unary(word, in, CLASS_FLOAT_CONVERT, BIT(8), BIT(8), BIT(8) && !BIT(18));
    } else {
        refuse(in, "A32 has none");
    }
}

static void decode_computation(uint32_t word, instruction *in)
{
    switch (BIT(23) << 2 | BITS(21, 20)) {
    case 0: /* vmla, vmls, vnmla, vnmls */
    case 1:
        binary(word, in, CLASS_FLOAT_MULTIPLY_ADD, true);
        return;
    case 2:
        binary(word, in, CLASS_FLOAT_MULTIPLY, false);
        return;
    case 3:
        binary(word, in, CLASS_FLOAT_ADD, false);
        return;
    case 4:
        binary(word, in, CLASS_FLOAT_DIVIDE, false);
        return;
    case 5: /* vfma and its kin */
    case 6:
        binary(word, in, CLASS_FLOAT_FUSED, true);
        return;
    default:
        decode_unary(word, in);
    }
}

static void decode_flags(uint32_t word, instruction *in)
{
    const int rt = BITS(15, 12);
    in->is_vector = true;
    if (BIT(20) && BITS(19, 16) == FPSCR && rt == PC) {
        becomes(in, CLASS_FLOAT_FLAGS, false);
        reads(in, FLOAT_FLAGS);
        writes(in, FLAGS);
        return;
    }
    in->kind = KIND_ALONE;
    becomes(in, CLASS_SYSTEM, false);
    if (BIT(20))
        writes(in, rt);
    else
        reads(in, rt);
}

/* Between a general register and one of single precision, or a part of one of 64 bits; of a general register to all. */
static void decode_move(uint32_t word, instruction *in)
{
    const bool to_general = BIT(20), whole = !BIT(8), copies = !whole && !to_general && BIT(23);
    const int rt = BITS(15, 12), vector = whole ? SINGLE(16, 7) : DOUBLE(16, 7);
    if (whole && BITS(23, 21) == 7) {
        decode_flags(word, in);
        return;
    }
    if (whole && BITS(23, 21) != 0)
        refuse(in, "A32 has none");
    in->is_vector = true;
    becomes(in, to_general ? CLASS_FLOAT_TO_GENERAL : copies ? CLASS_GENERAL_TO_ALL : CLASS_GENERAL_TO_FLOAT, !whole);
    if (to_general) {
        reads_vectors(in, vector, !whole, 1, STORED_VECTOR);
        writes(in, rt);
        return;
    }
    reads(in, rt);
    if (!whole && !copies) /* a part */
        reads_vectors(in, vector, 1, 1, ANY_OPERAND);
    writes_vectors(in, vector, copies ? 1 + BIT(21) : !whole, 1);
}

void decode_float(uint32_t word, instruction *in)
{
    if (BITS(11, 9) != 5)
        refuse(in, "no such coprocessor is modelled");
    if (BITS(31, 28) == UNCONDITIONAL)
        decode_newer(word, in);
    else if (BIT(4))
        decode_move(word, in);
    else
        decode_computation(word, in);
}

/* Between two general registers and one of 64 bits, or two of 32. */
static void decode_pair(uint32_t word, instruction *in)
{
    const bool to_general = BIT(20), wide = BIT(8);
    const int first = BITS(15, 12), second = BITS(19, 16), vector = wide ? DOUBLE(0, 5) : SINGLE(0, 5);
    becomes(in, to_general ? CLASS_FLOAT_TO_GENERAL : CLASS_GENERAL_TO_FLOAT, true);
    in->is_vector = true;
    if (to_general) {
        reads_vectors(in, vector, wide, wide ? 1 : 2, STORED_VECTOR);
        writes(in, first);
        writes(in, second);
    } else {
        reads(in, first);
        reads(in, second);
        writes_vectors(in, vector, wide, wide ? 1 : 2);
    }
}

void decode_float_access(uint32_t word, instruction *in)
{
    const bool load = BIT(20), wide = BIT(8), one = BIT(24) && !BIT(21);
    const int base = BITS(19, 16), first = wide ? DOUBLE(12, 22) : SINGLE(12, 22);
    const int count = one ? 1 : BITS(7, 0) >> wide;
    if (BITS(24, 21) == 2) {
        decode_pair(word, in);
        return;
    }
    in->kind = load ? KIND_LOAD : KIND_STORE;
    in->is_vector = true;
    if (one)
        becomes(in, load ? CLASS_LOAD_FLOAT : CLASS_STORE_FLOAT, wide);
    else
        becomes(in, load ? CLASS_LOAD_FLOAT_MULTIPLE : CLASS_STORE_FLOAT_MULTIPLE, wide);
    moves_words(in, count << wide);
    if (load)
        writes_vectors(in, first, wide, count);
    else
        reads_vectors(in, first, wide, count, STORED_VECTOR);
    reads_as(in, base, ADDRESS);
    in->writes_back = !one && BIT(21);
    if (in->writes_back)
        writes(in, base);
    in->base = (uint8_t)base;
    in->offset = !one ? 0 : (BIT(23) ? BITS(7, 0) : -BITS(7, 0)) * 4;
}
