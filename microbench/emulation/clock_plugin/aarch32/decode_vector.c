/* Advanced SIMD of A32: ARM Architecture Reference Manual, DDI 0406, chapters A7.4 and A7.7. */
#include "decode.h"

enum { DESTINATION_KEPT = 1, DESTINATION_ADDED = 2 };

/* An instruction of three registers or two: the widths (1: 64 bits, 2: 128) of its result and of what it reads; no
 * second operand where its width is 0. */
static void computes(uint32_t word, instruction *in, int class, int target, int first, int second, int destination)
{
    becomes(in, class, target == 2 || first == 2 || second == 2);
    in->is_vector = true;
    if (second)
        reads_vectors(in, DOUBLE(16, 7), second, 1, ANY_OPERAND);
    if (first)
        reads_vectors(in, DOUBLE(0, 5), first, 1, ANY_OPERAND);
    if (destination)
        reads_vectors(in, DOUBLE(12, 22), target, 1, destination == DESTINATION_ADDED ? ADDEND : ANY_OPERAND);
    writes_vectors(in, DOUBLE(12, 22), target, 1);
}

static int class_of_same(uint32_t word, instruction *in, int *destination)
{
    const bool other = BIT(4), u = BIT(24);
    *destination = 0;
    if (BITS(11, 8) >= 12 && BIT(20))
        refuse(in, "no core of a Raspberry Pi up to 3 computes with halves");
    switch (BITS(11, 8)) {
    case 0: /* vhadd, vqadd; vhsub, vqsub */
    case 2:
        return other ? CLASS_INTEGER_LATE : CLASS_INTEGER;
    case 1:
        if (other && u && BITS(21, 20)) /* vbsl, vbit, vbif */
            *destination = DESTINATION_KEPT;
        return other ? CLASS_LOGICAL : CLASS_INTEGER;
    case 3:
    case 6:
    case 8:
        return CLASS_INTEGER;
    case 4:
        return other ? CLASS_SATURATING : CLASS_INTEGER;
    case 5:
        return other ? CLASS_SATURATING : CLASS_INTEGER_LATE;
    case 7: /* vabd, vaba */
        *destination = other ? DESTINATION_ADDED : 0;
        return other ? CLASS_INTEGER_TWICE : CLASS_INTEGER_LATE;
    case 9:
        *destination = other ? 0 : DESTINATION_ADDED;
        return other ? CLASS_INTEGER_MULTIPLY : CLASS_INTEGER_FUSED;
    case 10:
        return CLASS_INTEGER_LATE;
    case 11:
        if (other && u)
            refuse(in, "no core of ARMv7 or ARMv8.0 has it");
        return other ? CLASS_INTEGER_LATE : CLASS_INTEGER_MULTIPLY;
    case 12:
        if (!other || u)
            refuse(in, "no core of a Raspberry Pi up to 3 has it");
        *destination = DESTINATION_ADDED;
        return CLASS_VECTOR_FUSED;
    case 13:
        *destination = other && !u ? DESTINATION_ADDED : 0;
        return !other ? CLASS_VECTOR_FLOAT : u ? CLASS_VECTOR_MULTIPLY : CLASS_VECTOR_FUSED;
    case 14:
        return CLASS_VECTOR_SIMPLE;
    default:
        return other && !u ? CLASS_VECTOR_STEP : CLASS_VECTOR_FLOAT;
    }
}

static void decode_same(uint32_t word, instruction *in)
{
    int destination;
    const int class = class_of_same(word, in, &destination), width = 1 + BIT(6);
    computes(word, in, class, width, width, width, destination);
}

static void decode_different(uint32_t word, instruction *in)
{
    const bool u = BIT(24);
    const int operation = BITS(11, 8);
    switch (operation) {
    case 0: /* vaddl, vsubl, vabdl */
    case 2:
    case 7:
        computes(word, in, CLASS_INTEGER_LONG, 2, 1, 1, 0);
        return;
    case 1: /* vaddw, vsubw */
    case 3:
        computes(word, in, CLASS_INTEGER_LONG, 2, 1, 2, 0);
        return;
    case 4: /* vaddhn, vsubhn */
    case 6:
        computes(word, in, u ? CLASS_INTEGER_TWICE : CLASS_INTEGER_LONG, 1, 2, 2, 0);
        return;
    case 5:
        computes(word, in, CLASS_INTEGER_TWICE, 2, 1, 1, DESTINATION_ADDED);
        return;
    case 8: /* vmlal, vmlsl */
    case 10:
        computes(word, in, CLASS_INTEGER_FUSED_LONG, 2, 1, 1, DESTINATION_ADDED);
        return;
    case 9: /* vqdmlal, vqdmlsl */
    case 11:
        computes(word, in, CLASS_INTEGER_MULTIPLY_LONG, 2, 1, 1, DESTINATION_KEPT);
        return;
    case 12: /* vmull, vqdmull */
    case 13:
    case 14:
        computes(word, in, CLASS_INTEGER_MULTIPLY_LONG, 2, 1, 1, 0);
        return;
    default:
        refuse(in, "A32 has none");
    }
}

/* By one element of a register. */
static void decode_by_element(uint32_t word, instruction *in)
{
    static const int classes[16] = {
        CLASS_INTEGER_FUSED,         CLASS_VECTOR_FUSED,
        CLASS_INTEGER_FUSED_LONG,    CLASS_INTEGER_MULTIPLY_LONG,
        CLASS_INTEGER_FUSED,         CLASS_VECTOR_FUSED,
        CLASS_INTEGER_FUSED_LONG,    CLASS_INTEGER_MULTIPLY_LONG,
        CLASS_INTEGER_MULTIPLY,      CLASS_VECTOR_MULTIPLY,
        CLASS_INTEGER_MULTIPLY_LONG, CLASS_INTEGER_MULTIPLY_LONG,
        CLASS_INTEGER_MULTIPLY,      CLASS_INTEGER_MULTIPLY,
    };
    const int operation = BITS(11, 8), class = classes[operation];
    const bool is_long = class == CLASS_INTEGER_FUSED_LONG || class == CLASS_INTEGER_MULTIPLY_LONG;
    const int width = is_long ? 1 : 1 + BIT(24), target = is_long ? 2 : width;
    const bool saturates = operation == 3 || operation == 7;
    if (operation >= 14 || ((operation & 3) == 1 && operation != 13 && BITS(21, 20) != 2))
        refuse(in, "no core of a Raspberry Pi up to 3 has it");
    computes(word, in, class, target, 0, width,
             operation >= 8 ? 0 : saturates ? DESTINATION_KEPT : DESTINATION_ADDED);
    if (BITS(21, 20) == 2) /* of 32 bits */
        reads(in, VECTORS + 2 * BITS(3, 0) + BIT(5));
    else
        reads_vectors(in, BITS(2, 0), 1, 1, ANY_OPERAND);
}

static void swaps(uint32_t word, instruction *in)
{
    const int width = 1 + BIT(6);
    computes(word, in, CLASS_PERMUTE_TWO, width, width, 0, DESTINATION_KEPT);
    writes_vectors(in, DOUBLE(0, 5), width, 1);
}

static void decode_two(uint32_t word, instruction *in)
{
    const int width = 1 + BIT(6), operation = BITS(10, 7);
    switch (BITS(17, 16)) {
    case 0:
        if (operation == 4 || operation == 5) /* vpaddl */
            computes(word, in, CLASS_INTEGER_LATE, width, width, 0, 0);
        else if (operation == 12 || operation == 13) /* vpadal */
            computes(word, in, CLASS_INTEGER_TWICE, width, width, 0, DESTINATION_ADDED);
        else if (operation >= 14)
            computes(word, in, CLASS_SATURATING, width, width, 0, 0);
        else if (operation == 11)
            computes(word, in, CLASS_LOGICAL, width, width, 0, 0);
        else if (operation == 3 || operation == 6 || operation == 7)
            refuse(in, "no core of a Raspberry Pi up to 3 has it");
        else /* vrev, vcls, vclz, vcnt */
            computes(word, in, CLASS_VECTOR_SIMPLE, width, width, 0, 0);
        return;
    case 1:
        if ((operation & 7) == 5)
            refuse(in, "no core of a Raspberry Pi up to 3 has it");
        computes(word, in, (operation & 6) == 6 && !BIT(10) ? CLASS_INTEGER_LATE : CLASS_VECTOR_SIMPLE, width, width, 0, 0);
        return;
    case 2:
        if (operation <= 3)
            swaps(word, in);
        else if (operation == 4 && width == 1)
            computes(word, in, CLASS_NARROW, 1, 2, 0, 0);
        else if (operation == 4 || operation == 5)
            computes(word, in, CLASS_NARROW_SATURATING, 1, 2, 0, 0);
        else if (operation == 6)
            computes(word, in, CLASS_WIDEN, 2, 1, 0, 0);
        else if (operation == 7)
            refuse(in, "no core of a Raspberry Pi up to 3 has it");
        else if (operation == 12 && width == 1) /* to halves, from them */
            computes(word, in, CLASS_VECTOR_FLOAT, 1, 2, 0, 0);
        else if (operation == 14 && width == 1)
            computes(word, in, CLASS_VECTOR_FLOAT, 2, 1, 0, 0);
        else
            computes(word, in, CLASS_VECTOR_FLOAT, width, width, 0, 0);
        return;
    default: /* vrecpe, vrsqrte, vcvt */
        computes(word, in, CLASS_VECTOR_FLOAT, width, width, 0, 0);
    }
}

static void decode_shift(uint32_t word, instruction *in)
{
    const bool u = BIT(24), other = BIT(6);
    const int width = 1 + BIT(6);
    switch (BITS(11, 8)) {
    case 0:
        computes(word, in, CLASS_VECTOR_SIMPLE, width, width, 0, 0);
        return;
    case 1:
        computes(word, in, CLASS_INTEGER_LATE, width, width, 0, DESTINATION_ADDED);
        return;
    case 2:
        computes(word, in, CLASS_INTEGER_LATE, width, width, 0, 0);
        return;
    case 3:
        computes(word, in, CLASS_INTEGER_TWICE, width, width, 0, DESTINATION_ADDED);
        return;
    case 4:
    case 5:
        computes(word, in, CLASS_VECTOR_SIMPLE, width, width, 0, u ? DESTINATION_KEPT : 0);
        return;
    case 6:
    case 7:
        computes(word, in, CLASS_SATURATING, width, width, 0, 0);
        return;
    case 8:
        computes(word, in, u ? CLASS_NARROW_SATURATING : other ? CLASS_NARROW_ROUNDED : CLASS_NARROW, 1, 2, 0, 0);
        return;
    case 9:
        computes(word, in, CLASS_NARROW_SATURATING, 1, 2, 0, 0);
        return;
    case 10:
        computes(word, in, CLASS_WIDEN, 2, 1, 0, 0);
        return;
    case 14:
    case 15:
        computes(word, in, CLASS_VECTOR_FLOAT, width, width, 0, 0);
        return;
    default:
        refuse(in, "A32 has none");
    }
}

static void decode_constant(uint32_t word, instruction *in)
{
    const int mode = BITS(11, 8);
    const bool keeps = (mode & 1) && mode < 12; /* vorr, vbic */
    computes(word, in, CLASS_LOGICAL, 1 + BIT(6), 0, 0, keeps ? DESTINATION_KEPT : 0);
}

static void decode_table(uint32_t word, instruction *in)
{
    computes(word, in, CLASS_PERMUTE, 1, 1, 0, BIT(6) ? DESTINATION_KEPT : 0);
    reads_vectors(in, DOUBLE(16, 7), 1, BITS(9, 8) + 1, ANY_OPERAND);
}

void decode_vector(uint32_t word, instruction *in)
{
    const int width = 1 + BIT(6);
    if (!BIT(23))
        decode_same(word, in);
    else if (BIT(4) && !BIT(7) && BITS(21, 19) == 0)
        decode_constant(word, in);
    else if (BIT(4))
        decode_shift(word, in);
    else if (BITS(21, 20) != 3 && BIT(6))
        decode_by_element(word, in);
    else if (BITS(21, 20) != 3)
        decode_different(word, in);
    else if (!BIT(24)) /* vext */
        computes(word, in, CLASS_PERMUTE, width, width, width, 0);
    else if (!BIT(11))
        decode_two(word, in);
    else if (!BIT(10))
        decode_table(word, in);
    else if (BITS(11, 7) == 24) /* vdup */
        computes(word, in, CLASS_PERMUTE, width, 1, 0, 0);
    else
        refuse(in, "A32 has none");
}

/* How many registers an access has, and from each to the next. */
typedef struct {
    int count, step;
} registers_moved;

static registers_moved moves_structures(uint32_t word, instruction *in, bool load)
{
    static const uint8_t counts[16] = {4, 4, 4, 4, 3, 3, 3, 1, 2, 2, 2};
    const int type = BITS(11, 8), count = counts[type];
    const bool plain = type == 2 || type == 6 || type == 7 || type == 10;
    if (!count)
        refuse(in, "A32 has none");
    if (plain)
        becomes(in, load ? CLASS_LOAD_STRUCTURE : CLASS_STORE_STRUCTURE, count > 1);
    else
        becomes(in, load ? CLASS_LOAD_INTERLEAVED : CLASS_STORE_INTERLEAVED, count > 1);
    return (registers_moved){count, type == 1 || type == 5 || type == 9 ? 2 : 1};
}

static registers_moved moves_lanes(uint32_t word, instruction *in, bool load)
{
    const int size = BITS(11, 10), count = BITS(9, 8) + 1;
    const bool replicates = size == 3, apart = replicates ? BIT(5) : size == 1 ? BIT(5) : size == 2 && BIT(6);
    const int registers = replicates && count == 1 ? 1 + BIT(5) : count;
    becomes(in, !load ? CLASS_STORE_LANE : replicates ? CLASS_LOAD_REPLICATED : CLASS_LOAD_LANE, registers > 1);
    return (registers_moved){registers, count > 1 && apart ? 2 : 1};
}

void decode_structure(uint32_t word, instruction *in)
{
    const bool load = BIT(21), keeps = load && BIT(23) && BITS(11, 10) != 3;
    const int base = BITS(19, 16), index = BITS(3, 0), first = DOUBLE(12, 22);
    in->kind = load ? KIND_LOAD : KIND_STORE;
    in->is_vector = true;
    const registers_moved moved = BIT(23) ? moves_lanes(word, in, load) : moves_structures(word, in, load);
    moves_words(in, 2 * moved.count);
    for (int i = 0; i < moved.count; ++i) {
        if (load)
            writes_vectors(in, first + i * moved.step, 1, 1);
        if (!load || keeps)
            reads_vectors(in, first + i * moved.step, 1, 1, load ? ANY_OPERAND : STORED_VECTOR);
    }
    reads_as(in, base, ADDRESS);
    in->base = (uint8_t)base;
    in->writes_back = index != PC;
    if (index != PC && index != 13)
        reads(in, index);
    if (in->writes_back)
        writes(in, base);
}
