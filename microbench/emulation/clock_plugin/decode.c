/* From an instruction word to its class and registers: Arm Architecture Reference Manual, DDI 0487, chapter C4. */
#include "instruction.h"

#include <string.h>

#include "core_model.h"

#define BITS(high, low) ((int)((word >> (low)) & ((1u << ((high) - (low) + 1)) - 1)))
#define BIT(place) BITS(place, place)

static void reads(instruction *in, int number)
{
    if (number != ZERO && in->sources < MOST_SOURCES)
        in->source[in->sources++] = (uint8_t)number;
}

static void writes(instruction *in, int number)
{
    if (number != ZERO && in->results < MOST_RESULTS)
        in->result[in->results++] = (uint8_t)number;
}

static void reads_vector(instruction *in, int number)
{
    reads(in, VECTORS + number % 32);
}

static void writes_vector(instruction *in, int number)
{
    writes(in, VECTORS + number % 32);
}

static void moves(instruction *in, bool load, bool vector, int number)
{
    const int place = vector ? VECTORS + number % 32 : number;
    if (load)
        writes(in, place);
    else
        reads(in, place);
    if (!load)
        in->data_sources = in->sources;
}

static void becomes(instruction *in, int class, bool wide)
{
    in->timing = CLASSES[class][wide];
}

static void accumulates(instruction *in, int class, bool wide, int number)
{
    becomes(in, class, wide);
    in->accumulator = (uint8_t)(VECTORS + number);
}

static int signed_bits(int value, int width)
{
    const int sign = 1 << (width - 1);
    return (value ^ sign) - sign;
}

static void decode_immediate(uint32_t word, instruction *in)
{
    const int group = BITS(25, 23), operation = BITS(30, 29), rd = BITS(4, 0), rn = BITS(9, 5);
    writes(in, rd);
    if (group <= 1) /* adr */
        return;
    if (group == 5) { /* movn, movz, movk */
        if (operation == 3)
            reads(in, rd);
        return;
    }
    reads(in, rn);
    if (group <= 3 ? operation & 1 : group == 4 && operation == 3)
        writes(in, FLAGS);
    if (group <= 4)
        return;
    becomes(in, CLASS_SHIFTED, false); /* bit fields, extr */
    if (group == 7)
        reads(in, BITS(20, 16));
    else if (operation == 1)
        reads(in, rd);
}

static void decode_branch(uint32_t word, instruction *in)
{
    in->kind = KIND_BRANCH;
    becomes(in, CLASS_BRANCH, false);
    if (BITS(30, 26) == 5) { /* b, bl */
        if (BIT(31))
            writes(in, LINK);
    } else if (BITS(31, 24) == 0x54) { /* b.cond */
        reads(in, FLAGS);
        in->is_conditional = true;
    } else if (BITS(30, 26) == 0xd) { /* cbz, tbz */
        reads(in, BITS(4, 0));
        in->is_conditional = true;
    } else if (BITS(31, 25) == 0x6b) { /* br, blr, ret */
        reads(in, BITS(9, 5));
        in->is_indirect = true;
        in->is_return = BITS(24, 21) == 2;
        if (BITS(24, 21) == 1)
            writes(in, LINK);
    } else if (word >> 12 == 0xd5032 && BITS(4, 0) == 31) { /* nop and other hints */
        in->kind = KIND_ARITHMETIC;
        becomes(in, CLASS_HINT, false);
    } else {
        in->kind = KIND_ALONE;
        becomes(in, CLASS_SYSTEM, false);
        if (BITS(31, 20) == 0xd53) /* mrs */
            writes(in, BITS(4, 0));
    }
}

static void decode_structure(uint32_t word, instruction *in)
{
    const bool load = BIT(22), single = BIT(24), wide = BIT(30);
    const int code = BITS(15, 12), rt = BITS(4, 0), rm = BITS(20, 16);
    int count, issues;
    in->kind = load ? KIND_LOAD : KIND_STORE;
    in->is_vector = true;
    in->writes_back = BIT(23);
    if (single) {
        const bool replicates = BITS(15, 14) == 3;
        count = (BIT(13) << 1 | BIT(21)) + 1;
        issues = (count + 1) / 2;
        becomes(in, !load ? CLASS_STORE_LANE : replicates ? CLASS_LOAD_REPLICATED : CLASS_LOAD_LANE, wide);
    } else {
        const bool interleaved = code == 0 || code == 4 || code == 8;
        count = issues = code == 7 ? 1 : code == 10 || code == 8 ? 2 : code == 6 || code == 4 ? 3 : 4;
        if (load)
            becomes(in, code == 0 ? CLASS_LOAD_FOUR_INTERLEAVED : CLASS_LOAD_STRUCTURE, wide);
        else
            becomes(in, interleaved ? CLASS_STORE_INTERLEAVED : CLASS_STORE_STRUCTURE, wide);
    }
    in->timing.issue = (uint8_t)(in->timing.issue * issues + in->timing.issue_once);
    for (int i = 0; i < count; ++i)
        moves(in, load, true, rt + i);
    reads(in, BITS(9, 5));
    in->base = (uint8_t)BITS(9, 5);
    if (in->writes_back) {
        writes(in, BITS(9, 5));
        reads(in, rm);
    }
}

static void decode_exclusive(uint32_t word, instruction *in)
{
    const bool load = BIT(22);
    in->kind = load ? KIND_LOAD : KIND_STORE;
    becomes(in, load ? CLASS_LOAD : CLASS_STORE, false);
    moves(in, load, false, BITS(4, 0));
    reads(in, BITS(9, 5));
}

static void decode_literal(uint32_t word, instruction *in)
{
    const bool vector = BIT(26);
    in->kind = KIND_LOAD;
    in->is_vector = vector;
    becomes(in, vector ? CLASS_LOAD_VECTOR : CLASS_LOAD, vector && BITS(31, 30) == 2);
    moves(in, true, vector, BITS(4, 0));
}

static void decode_pair(uint32_t word, instruction *in)
{
    const bool vector = BIT(26), load = BIT(22);
    const int size = BITS(31, 30), mode = BITS(24, 23), shift = vector ? 2 + size : 2 + (size >> 1);
    in->kind = load ? KIND_LOAD : KIND_STORE;
    in->is_vector = vector;
    in->writes_back = mode & 1;
    if (vector)
        becomes(in, load ? CLASS_LOAD_VECTOR_PAIR : CLASS_STORE_VECTOR_PAIR, size == 2);
    else
        becomes(in, load ? CLASS_LOAD_PAIR : CLASS_STORE_PAIR, size == 2);
    moves(in, load, vector, BITS(4, 0));
    moves(in, load, vector, BITS(14, 10));
    reads(in, BITS(9, 5));
    in->base = (uint8_t)BITS(9, 5);
    in->offset = mode == 1 ? 0 : signed_bits(BITS(21, 15), 7) * (1 << shift);
    if (in->writes_back)
        writes(in, BITS(9, 5));
}

static void decode_single(uint32_t word, instruction *in)
{
    const bool vector = BIT(26), scaled = BIT(24), by_register = !scaled && BIT(21);
    const int size = BITS(31, 30), operation = BITS(23, 22), mode = BITS(11, 10);
    const bool wide = vector && operation >= 2, prefetch = !vector && size == 3 && operation == 2;
    const bool atomic = by_register && mode == 0, indexed = !scaled && !by_register && (mode & 1);
    const bool load = atomic || (operation & 1) || (!vector && operation >= 2);
    const bool whole = size == 3 || (size == 2 && operation <= 1);
    in->kind = prefetch ? KIND_PREFETCH : load ? KIND_LOAD : KIND_STORE;
    in->is_vector = vector;
    if (prefetch)
        becomes(in, CLASS_PREFETCH, false);
    else if (vector)
        becomes(in, load ? CLASS_LOAD_VECTOR : CLASS_STORE_VECTOR, wide);
    else
        becomes(in, !load ? CLASS_STORE : whole || atomic ? CLASS_LOAD : CLASS_LOAD_NARROW, false);
    if (!prefetch)
        moves(in, load, vector, BITS(4, 0));
    reads(in, BITS(9, 5));
    if (by_register) {
        reads(in, BITS(20, 16));
        return;
    }
    in->base = (uint8_t)BITS(9, 5);
    in->writes_back = indexed;
    if (indexed)
        writes(in, BITS(9, 5));
    if (scaled)
        in->offset = BITS(21, 10) << (wide ? 4 : size);
    else
        in->offset = mode == 1 ? 0 : signed_bits(BITS(20, 12), 9);
}

static void decode_access(uint32_t word, instruction *in)
{
    const int group = BITS(29, 27);
    if (group == 1 && BIT(26) && !BIT(31) && !BIT(25))
        decode_structure(word, in);
    else if (group == 1)
        decode_exclusive(word, in);
    else if (group == 3 && !BIT(24))
        decode_literal(word, in);
    else if (group == 5)
        decode_pair(word, in);
    else if (group == 7)
        decode_single(word, in);
    else {
        in->kind = KIND_ALONE;
        becomes(in, CLASS_SYSTEM, false);
    }
}

static void decode_two_sources(uint32_t word, instruction *in)
{
    const int group = BITS(23, 21), rm = BITS(20, 16);
    reads(in, BITS(9, 5));
    if (group == 2) { /* conditional compare */
        if (!BIT(11))
            reads(in, rm);
        reads(in, FLAGS);
        in->results = 0;
        writes(in, FLAGS);
    } else if (group == 0 || group == 4) { /* with carry, conditional select */
        reads(in, rm);
        reads(in, FLAGS);
        if (group == 0 && BIT(29))
            writes(in, FLAGS);
    } else if (group == 6 && !BIT(30)) {
        reads(in, rm);
        if (BITS(15, 11) == 1)
            becomes(in, CLASS_DIVIDE, false);
    }
}

static void decode_register(uint32_t word, instruction *in)
{
    const int group = BITS(28, 24), rn = BITS(9, 5), rm = BITS(20, 16), ra = BITS(14, 10);
    writes(in, BITS(4, 0));
    if (group == 0x1a) {
        decode_two_sources(word, in);
        return;
    }
    reads(in, rn);
    reads(in, rm);
    if (group == 0x1b) {
        const bool whole = BIT(31) && BITS(23, 21) == 0;
        reads(in, ra);
        becomes(in, !whole ? CLASS_MULTIPLY : ra == ZERO ? CLASS_MULTIPLY_64 : CLASS_MULTIPLY_ADD_64, false);
        return;
    }
    if (BITS(15, 10) != 0 || (group == 0x0b && BIT(21)))
        becomes(in, CLASS_SHIFTED, false);
    if (group == 0x0a ? BITS(30, 29) == 3 : BIT(29))
        writes(in, FLAGS);
}

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
    } else {
        becomes(in, operation == 19 ? CLASS_INTEGER_MULTIPLY : CLASS_INTEGER, wide);
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

static void decode_two_vectors(uint32_t word, instruction *in, bool wide)
{
    const int rd = BITS(4, 0), rn = BITS(9, 5);
    if (BIT(21) && BIT(10)) {
        decode_three_same(word, in, wide);
    } else if (BIT(21) && BITS(11, 10) == 2) { /* of one vector, across its lanes, pairs of a scalar */
        const int operation = BITS(16, 12);
        becomes(in, operation >= 0x16 ? CLASS_FLOAT : CLASS_VECTOR, wide);
        reads_vector(in, rn);
        writes_vector(in, rd);
    } else if (BIT(21)) { /* long and narrow forms */
        const int operation = BITS(15, 12);
        if (operation == 8 || operation == 10)
            accumulates(in, CLASS_INTEGER_FUSED, wide, rd);
        else
            becomes(in, CLASS_INTEGER_MULTIPLY, wide);
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
    becomes(in, shift >= 28 ? CLASS_FLOAT : CLASS_VECTOR, wide);
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
    else if (operation == 2 || operation == 6 || (other && (operation == 0 || operation == 4)))
        accumulates(in, CLASS_INTEGER_FUSED, wide, rd);
    else
        becomes(in, CLASS_INTEGER_MULTIPLY, wide);
}

static void decode_vector(uint32_t word, instruction *in)
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

void decode(uint32_t word, instruction *decoded)
{
    const int group = BITS(28, 25);
    memset(decoded, 0, sizeof(*decoded));
    decoded->word = word;
    decoded->kind = KIND_ARITHMETIC;
    decoded->accumulator = decoded->base = NO_REGISTER;
    decoded->like = -1;
    becomes(decoded, CLASS_ALU, false);
    if ((group & 14) == 8) {
        decode_immediate(word, decoded);
    } else if ((group & 14) == 10) {
        decode_branch(word, decoded);
    } else if ((group & 5) == 4) {
        decode_access(word, decoded);
    } else if ((group & 7) == 5) {
        decode_register(word, decoded);
    } else if ((group & 7) == 7) {
        decode_vector(word, decoded);
    }
}
