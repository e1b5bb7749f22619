/* What the decoders of general, of floating-point and of vector instructions share. */
#ifndef EXPLORE_DECODE_H
#define EXPLORE_DECODE_H

#include "core_model.h"
#include "instruction.h"

#define BITS(high, low) ((int)((word >> (low)) & ((1u << ((high) - (low) + 1)) - 1)))
#define BIT(place) BITS(place, place)

/* Numbers of registers: of single precision, of double precision. */
#define SINGLE(high, low) (BITS((high) + 3, high) << 1 | BIT(low))
#define DOUBLE(high, low) (BIT(low) << 4 | BITS((high) + 3, high))

/* Ends the program: no timing of the instruction is known. */
void refuse(const instruction *in, const char *why) __attribute__((noreturn));

static inline void reads_as(instruction *in, int number, operand_role role)
{
    if (number == PC)
        return;
    if (in->sources == MOST_SOURCES)
        refuse(in, "it reads too many registers");
    in->role[in->sources] = (uint8_t)role;
    in->source[in->sources++] = (uint8_t)number;
}

static inline void reads(instruction *in, int number)
{
    reads_as(in, number, ANY_OPERAND);
}

static inline void writes(instruction *in, int number)
{
    if (number == PC)
        return;
    if (in->results == MOST_RESULTS)
        refuse(in, "it writes too many registers");
    in->result[in->results++] = (uint8_t)number;
}

/* `count` registers of single precision (`wide` 0), of 64 bits (1) or of 128 (2), from one of s or d registers on. */
static inline void reads_vectors(instruction *in, int first, int wide, int count, operand_role role)
{
    for (int i = 0; i < count << wide; ++i)
        reads_as(in, VECTORS + ((first << (wide > 0)) + i) % 64, role);
}

static inline void writes_vectors(instruction *in, int first, int wide, int count)
{
    for (int i = 0; i < count << wide; ++i)
        writes(in, VECTORS + ((first << (wide > 0)) + i) % 64);
}

static inline void becomes(instruction *in, int class, bool larger)
{
    in->class = (uint8_t)class;
    in->timing = CLASSES[class][larger];
}

/* Of an access, once its class is set: it moves so many words. */
static inline void moves_words(instruction *in, int words)
{
    instruction_class *timing = &in->timing;
    if (!timing->known)
        return;
    const int beats = (words + timing->beat_words - 1) / timing->beat_words;
    timing->issue = (uint8_t)(timing->issue * beats + timing->issue_once);
    timing->busy = (uint8_t)(timing->busy * beats);
}

/* Instructions on floats, and between them and general registers: coprocessors 10 and 11. */
void decode_float(uint32_t word, instruction *in);

/* Accesses to registers of floats and vectors of them. */
void decode_float_access(uint32_t word, instruction *in);

/* Advanced SIMD: computation, and loads and stores of structures. */
void decode_vector(uint32_t word, instruction *in);
void decode_structure(uint32_t word, instruction *in);

#endif
