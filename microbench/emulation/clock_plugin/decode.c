/* From an instruction word to its class and registers: Arm Architecture Reference Manual, DDI 0487, chapter C4. */
#include "decode.h"

#include <string.h>

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
