/* What the decoders of general and of vector instructions share, for cores with finer classes than theirs. */
#ifndef EXPLORE_DECODE_H
#define EXPLORE_DECODE_H

#include "core_model.h"
#include "instruction.h"

#define BITS(high, low) ((int)((word >> (low)) & ((1u << ((high) - (low) + 1)) - 1)))
#define BIT(place) BITS(place, place)

/* The class of an instruction that the decoders say is of another one, which is coarser. */
int finer_class(int class, uint32_t word);

static inline void reads(instruction *in, int number)
{
    if (number != ZERO && in->sources < MOST_SOURCES)
        in->source[in->sources++] = (uint8_t)number;
}

static inline void writes(instruction *in, int number)
{
    if (number != ZERO && in->results < MOST_RESULTS)
        in->result[in->results++] = (uint8_t)number;
}

static inline void reads_vector(instruction *in, int number)
{
    reads(in, VECTORS + number % 32);
}

static inline void writes_vector(instruction *in, int number)
{
    writes(in, VECTORS + number % 32);
}

static inline void moves(instruction *in, bool load, bool vector, int number)
{
    const int place = vector ? VECTORS + number % 32 : number;
    if (load)
        writes(in, place);
    else
        reads(in, place);
    if (!load)
        in->data_sources = in->sources;
}

static inline void becomes(instruction *in, int class, bool wide)
{
    in->timing = CLASSES[finer_class(class, in->word)][wide];
}

static inline void accumulates(instruction *in, int class, bool wide, int number)
{
    becomes(in, class, wide);
    in->accumulator = (uint8_t)(VECTORS + number);
}

/* Of the group of scalar floats and vectors. */
void decode_vector(uint32_t word, instruction *in);

#endif
