/* From an instruction word of A32 to its class and registers: ARM Architecture Reference Manual, DDI 0406, chapter A5. */
#include "decode.h"

#include <stdio.h>
#include <string.h>

#include "threads.h"

enum { ALWAYS = 14, UNCONDITIONAL = 15, STACK = 13 };

void refuse(const instruction *in, const char *why)
{
    static char text[192];
    snprintf(text, sizeof(text), "the instruction 0x%08x has no timing: %s", (unsigned)in->word, why);
    threads_refuse(text);
}

/* An instruction that may be left out keeps what its results held. */
static void depends_on_flags(instruction *in)
{
    const unsigned results = in->kind == KIND_STORE || in->kind == KIND_BRANCH ? 0 : in->results;
    for (unsigned i = 0; i < results; ++i)
        if (in->result[i] < FLAGS)
            reads(in, in->result[i]);
    if (in->kind != KIND_BRANCH)
        reads(in, FLAGS);
}

static void branches(instruction *in, int class)
{
    in->kind = KIND_BRANCH;
    becomes(in, class, false);
}

static void goes_to_register(instruction *in, bool is_return)
{
    branches(in, is_return ? CLASS_RETURN : CLASS_INDIRECT);
    in->is_indirect = true;
    in->is_return = is_return;
}

/* The second operand is a register, shifted by a constant or by another register. */
static void reads_shifted(uint32_t word, instruction *in, bool is_move)
{
    const int rm = BITS(3, 0);
    if (BIT(4)) {
        becomes(in, CLASS_ALU_SHIFT_REGISTER, false);
        reads_as(in, BITS(11, 8), SHIFTED);
        reads(in, rm);
        return;
    }
    const bool shifts = BITS(11, 5) != 0;
    if (is_move)
        becomes(in, shifts ? CLASS_SHIFT : CLASS_MOVE, false);
    else
        becomes(in, shifts ? CLASS_ALU_SHIFT : CLASS_ALU_REGISTER, false);
    reads_as(in, rm, shifts ? SHIFTED : ANY_OPERAND);
}

static void decode_data(uint32_t word, instruction *in)
{
    const int operation = BITS(24, 21), rd = BITS(15, 12);
    const bool is_move = (operation & 13) == 13, compares = operation >> 2 == 2;
    if (BIT(25))
        becomes(in, CLASS_ALU_IMMEDIATE, false);
    else
        reads_shifted(word, in, is_move);
    if (!is_move)
        reads(in, BITS(19, 16));
    if (operation >= 5 && operation <= 7) /* with carry */
        reads(in, FLAGS);
    if (!compares && rd == PC) {
        goes_to_register(in, is_move && !BIT(25) && BITS(3, 0) == LINK);
        return;
    }
    if (!compares)
        writes(in, rd);
    if (BIT(20))
        writes(in, FLAGS);
}

static void decode_multiply(uint32_t word, instruction *in)
{
    const int operation = BITS(23, 21), high = BITS(19, 16), low = BITS(15, 12);
    const bool is_long = operation >= 4 || operation == 2;
    becomes(in, is_long ? CLASS_MULTIPLY_LONG : CLASS_MULTIPLY, false);
    reads_as(in, BITS(3, 0), FACTOR);
    reads_as(in, BITS(11, 8), FACTOR);
    if (operation == 1 || operation == 3) /* mla, mls */
        reads_as(in, low, ADDEND);
    if (is_long && (operation & 1 || operation == 2)) {
        reads_as(in, low, ADDEND);
        reads_as(in, high, ADDEND);
    }
    if (is_long)
        writes(in, low);
    writes(in, high);
    if (BIT(20))
        writes(in, FLAGS);
}

/* smulbb and its kin. */
static void decode_half_multiply(uint32_t word, instruction *in)
{
    const int operation = BITS(22, 21);
    becomes(in, CLASS_MULTIPLY_HALF, false);
    reads_as(in, BITS(3, 0), FACTOR);
    reads_as(in, BITS(11, 8), FACTOR);
    if (operation == 0 || (operation == 1 && !BIT(5)) || operation == 2)
        reads_as(in, BITS(15, 12), ADDEND);
    if (operation == 2) {
        reads_as(in, BITS(19, 16), ADDEND);
        writes(in, BITS(15, 12));
    }
    writes(in, BITS(19, 16));
}

static void decode_miscellaneous(uint32_t word, instruction *in)
{
    const int operation = BITS(22, 21), kind = BITS(7, 4), rd = BITS(15, 12), rm = BITS(3, 0);
    if (kind == 0 && !BIT(21)) { /* mrs */
        in->kind = KIND_ALONE;
        becomes(in, CLASS_SYSTEM, false);
        reads(in, FLAGS);
        writes(in, rd);
    } else if (kind == 0) { /* msr */
        in->kind = KIND_ALONE;
        becomes(in, CLASS_SYSTEM, false);
        reads(in, rm);
        writes(in, FLAGS);
    } else if (kind == 1 && operation == 1) { /* bx */
        goes_to_register(in, rm == LINK);
        reads(in, rm);
    } else if (kind == 1 && operation == 3) {
        becomes(in, CLASS_COUNT_ZEROS, false);
        reads(in, rm);
        writes(in, rd);
    } else if (kind == 3 && operation == 1) { /* blx */
        goes_to_register(in, false);
        reads(in, rm);
        writes(in, LINK);
    } else if (kind == 5) {
        becomes(in, CLASS_SATURATE, false);
        reads(in, rm);
        reads(in, BITS(19, 16));
        writes(in, rd);
    } else {
        refuse(in, "A32 has none, or it is not of a program's");
    }
}

static void accesses(instruction *in, bool load, int class, int words)
{
    in->kind = load ? KIND_LOAD : KIND_STORE;
    becomes(in, class, false);
    moves_words(in, words);
}

static void moves(instruction *in, int number)
{
    if (in->kind == KIND_LOAD)
        writes(in, number);
    else
        reads_as(in, number, STORED);
}

/* The base, and whether it changes; an offset in a register, or a constant one where there is none. */
static void addresses(uint32_t word, instruction *in, int index, int offset)
{
    const int base = BITS(19, 16);
    const bool before = BIT(24), adds = BIT(23);
    reads_as(in, base, ADDRESS);
    in->writes_back = !before || BIT(21);
    if (index != NO_REGISTER) {
        reads_as(in, index, ADDRESS);
    } else {
        in->base = (uint8_t)base;
        in->offset = !before ? 0 : adds ? offset : -offset;
    }
    if (in->writes_back)
        writes(in, base);
}

static void decode_single(uint32_t word, instruction *in)
{
    const bool load = BIT(20), byte = BIT(22), indexed = BIT(25);
    const int rt = BITS(15, 12);
    accesses(in, load, !load ? CLASS_STORE : byte ? CLASS_LOAD_NARROW : CLASS_LOAD, 1);
    if (load && rt == PC) {
        const bool is_return = BITS(19, 16) == STACK;
        becomes(in, is_return ? CLASS_LOAD_RETURN : CLASS_LOAD_INDIRECT, false);
        moves_words(in, 1);
        in->is_indirect = true;
        in->is_return = is_return;
    }
    moves(in, rt);
    addresses(word, in, indexed ? BITS(3, 0) : NO_REGISTER, BITS(11, 0));
}

/* Halfwords, signed bytes and doublewords. */
static void decode_extra(uint32_t word, instruction *in)
{
    const int operation = BITS(6, 5), rt = BITS(15, 12);
    const bool twice = !BIT(20) && operation >= 2, load = BIT(20) || operation == 2;
    if (twice)
        accesses(in, load, load ? CLASS_LOAD_DOUBLE : CLASS_STORE_DOUBLE, 2);
    else
        accesses(in, load, load ? CLASS_LOAD_NARROW : CLASS_STORE, 1);
    moves(in, rt);
    if (twice)
        moves(in, rt + 1);
    addresses(word, in, BIT(22) ? NO_REGISTER : BITS(3, 0), BITS(11, 8) << 4 | BITS(3, 0));
}

/* ldrex and its kin, those that acquire or release among them. */
static void decode_exclusive(uint32_t word, instruction *in)
{
    const bool load = BIT(20), twice = BITS(22, 21) == 1;
    const int rt = load ? BITS(15, 12) : BITS(3, 0);
    if (!BIT(23))
        refuse(in, "swp is not modelled");
    accesses(in, load, load ? CLASS_LOAD_EXCLUSIVE : CLASS_STORE_EXCLUSIVE, twice ? 2 : 1);
    moves(in, rt);
    if (twice)
        moves(in, rt + 1);
    reads_as(in, BITS(19, 16), ADDRESS);
    if (!load && BITS(15, 12) != PC) /* whether it was stored; none of stl */
        writes(in, BITS(15, 12));
}

static void decode_register(uint32_t word, instruction *in)
{
    const int kind = BITS(7, 4);
    const bool compares = BITS(24, 23) == 2 && !BIT(20); /* a comparison that sets no flags is another instruction */
    if (kind == 9 && BIT(24))
        decode_exclusive(word, in);
    else if (kind == 9)
        decode_multiply(word, in);
    else if ((kind & 9) == 9)
        decode_extra(word, in);
    else if (compares && BIT(7))
        decode_half_multiply(word, in);
    else if (compares)
        decode_miscellaneous(word, in);
    else
        decode_data(word, in);
}

static void decode_immediate(uint32_t word, instruction *in)
{
    const int operation = BITS(24, 20);
    if (operation == 16 || operation == 20) { /* movw, movt */
        becomes(in, CLASS_ALU_IMMEDIATE, false);
        if (operation == 20)
            reads(in, BITS(15, 12));
        writes(in, BITS(15, 12));
    } else if (operation == 18 && BITS(19, 16) == 0) {
        becomes(in, CLASS_HINT, false);
    } else if (operation == 18 || operation == 22) {
        refuse(in, "it is not of a program's");
    } else {
        decode_data(word, in);
    }
}

/* Multiplications whose results are the upper halves, sums of two, divisions. */
static void decode_signed_multiply(uint32_t word, instruction *in)
{
    const int operation = BITS(22, 20), ra = BITS(15, 12), rd = BITS(19, 16);
    if (operation == 1 || operation == 3) {
        becomes(in, CLASS_DIVIDE, false);
        reads(in, BITS(3, 0));
        reads(in, BITS(11, 8));
        writes(in, rd);
        return;
    }
    becomes(in, operation == 5 ? CLASS_MULTIPLY_HIGH : operation == 4 ? CLASS_MULTIPLY_LONG : CLASS_MULTIPLY_HALF,
            false);
    reads_as(in, BITS(3, 0), FACTOR);
    reads_as(in, BITS(11, 8), FACTOR);
    reads_as(in, ra, ADDEND);
    if (operation == 4) {
        reads_as(in, rd, ADDEND);
        writes(in, ra);
    }
    writes(in, rd);
}

/* Additions of parts of a register, pkh, ssat, sel, rev, and what widens bytes and halfwords. */
static void decode_parts(uint32_t word, instruction *in)
{
    const int operation = BITS(22, 20), kind = BITS(7, 5), rn = BITS(19, 16), rd = BITS(15, 12);
    const bool packs = BIT(23);
    if (!packs) {
        becomes(in, CLASS_PARALLEL, false);
        reads(in, rn);
    } else if (kind == 3) { /* sxtab and its kin */
        becomes(in, CLASS_EXTEND, false);
        reads(in, rn);
        reads_as(in, BITS(3, 0), SHIFTED);
        writes(in, rd);
        return;
    } else if (kind == 5 && operation == 0) {
        becomes(in, CLASS_PARALLEL, false); /* sel */
        reads(in, rn);
        reads(in, FLAGS);
    } else if ((kind == 1 || kind == 5) && (operation == 3 || operation == 7)) {
        becomes(in, CLASS_REVERSE, false);
    } else if (!(kind & 1) && operation == 0) { /* pkhbt, pkhtb */
        becomes(in, CLASS_EXTEND, false);
        reads(in, rn);
    } else {
        becomes(in, CLASS_SATURATE, false);
    }
    reads(in, BITS(3, 0));
    writes(in, rd);
}

static void decode_media(uint32_t word, instruction *in)
{
    const int operation = BITS(24, 20), rd = BITS(15, 12);
    if (operation < 16) {
        decode_parts(word, in);
    } else if (operation < 24) {
        decode_signed_multiply(word, in);
    } else if (operation == 24) { /* usad8, usada8 */
        becomes(in, CLASS_MULTIPLY_HALF, false);
        reads_as(in, BITS(3, 0), FACTOR);
        reads_as(in, BITS(11, 8), FACTOR);
        reads_as(in, rd, ADDEND);
        writes(in, BITS(19, 16));
    } else if (operation >> 1 == 14) { /* bfi, bfc */
        becomes(in, CLASS_BIT_FIELD, false);
        reads(in, BITS(3, 0));
        reads(in, rd);
        writes(in, rd);
    } else if (operation >> 1 == 13 || operation >> 1 == 15) { /* sbfx, ubfx */
        if (BITS(6, 4) == 7)
            refuse(in, "it is undefined");
        becomes(in, CLASS_BIT_FIELD, false);
        reads(in, BITS(3, 0));
        writes(in, rd);
    } else {
        refuse(in, "A32 has none");
    }
}

static void decode_multiple(uint32_t word, instruction *in)
{
    const bool load = BIT(20), pops_pc = load && BIT(PC);
    const int list = BITS(15, 0), base = BITS(19, 16);
    if (BIT(22))
        refuse(in, "it is not of a program's");
    in->is_return = pops_pc && base == STACK;
    in->is_indirect = pops_pc;
    accesses(in, load,
             !load      ? CLASS_STORE_MULTIPLE
             : !pops_pc ? CLASS_LOAD_MULTIPLE
                        : (in->is_return ? CLASS_LOAD_RETURN : CLASS_LOAD_INDIRECT),
             __builtin_popcount((unsigned)list));
    for (int i = 0; i < 16; ++i)
        if (list >> i & 1)
            moves(in, i);
    reads_as(in, base, ADDRESS);
    in->writes_back = BIT(21);
    if (in->writes_back)
        writes(in, base);
}

/* Where the condition's bits are all ones. */
static void decode_unconditional(uint32_t word, instruction *in)
{
    const int high = BITS(27, 20);
    if (BITS(27, 25) == 1) {
        decode_vector(word, in);
    } else if (BITS(27, 24) == 4 && !BIT(20)) {
        decode_structure(word, in);
    } else if (BITS(27, 26) == 1 && BIT(24) && (high & 3) == 1 && BITS(15, 12) == PC) { /* pld, pldw */
        in->kind = KIND_PREFETCH;
        becomes(in, CLASS_PREFETCH, false);
        moves_words(in, 1);
        reads_as(in, BITS(19, 16), ADDRESS);
        if (BIT(25)) {
            reads_as(in, BITS(3, 0), ADDRESS);
        } else {
            in->base = (uint8_t)BITS(19, 16);
            in->offset = BIT(23) ? BITS(11, 0) : -BITS(11, 0);
        }
    } else if (high == 0x57) { /* clrex, dsb, dmb, isb */
        in->kind = KIND_ALONE;
        becomes(in, CLASS_BARRIER, false);
    } else if (BITS(27, 24) == 14) {
        decode_float(word, in);
    } else if (BITS(27, 25) == 5) {
        refuse(in, "it begins T32 (Thumb), which is not modelled: compile for A32");
    } else {
        refuse(in, "A32 has none, or it is not of a program's");
    }
}

static void decode_conditional(uint32_t word, instruction *in)
{
    const int coprocessor = BITS(11, 8);
    switch (BITS(27, 25)) {
    case 0:
        decode_register(word, in);
        break;
    case 1:
        decode_immediate(word, in);
        break;
    case 3:
        if (BIT(4)) {
            decode_media(word, in);
            break;
        }
        decode_single(word, in);
        break;
    case 2:
        decode_single(word, in);
        break;
    case 4:
        decode_multiple(word, in);
        break;
    case 5:
        branches(in, BIT(24) ? CLASS_CALL : CLASS_BRANCH);
        if (BIT(24))
            writes(in, LINK);
        break;
    default:
        if (BITS(27, 24) == 15) { /* svc */
            in->kind = KIND_ALONE;
            becomes(in, CLASS_SYSTEM, false);
        } else if ((coprocessor & 14) == 10) {
            if (BITS(27, 24) == 14)
                decode_float(word, in);
            else
                decode_float_access(word, in);
        } else if (coprocessor == 15 && BITS(27, 24) == 14 && BIT(4)) { /* mrc, mcr */
            in->kind = KIND_ALONE;
            becomes(in, CLASS_SYSTEM, false);
            if (BIT(20))
                writes(in, BITS(15, 12));
            else
                reads(in, BITS(15, 12));
        } else {
            refuse(in, "no such coprocessor is modelled");
        }
    }
    if (BITS(31, 28) != ALWAYS) {
        in->is_conditional = in->kind == KIND_BRANCH || in->is_indirect;
        depends_on_flags(in);
    }
}

void decode(uint32_t word, instruction *decoded)
{
    static const char *const names[] = CLASS_NAMES;
    static char why[96];
    memset(decoded, 0, sizeof(*decoded));
    decoded->word = word;
    decoded->kind = KIND_ARITHMETIC;
    decoded->base = NO_REGISTER;
    decoded->like = -1;
    if (BITS(31, 28) == UNCONDITIONAL)
        decode_unconditional(word, decoded);
    else
        decode_conditional(word, decoded);
    if (!decoded->timing.known) {
        snprintf(why, sizeof(why), "it is of the class %s, which the core model has not", names[decoded->class]);
        refuse(decoded, why);
    }
}
