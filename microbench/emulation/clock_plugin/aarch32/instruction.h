/* One instruction of A32 as the pipeline sees it: what it reads and writes, and its class's timing. */
#ifndef EXPLORE_INSTRUCTION_H
#define EXPLORE_INSTRUCTION_H

#include <stdbool.h>
#include <stdint.h>

/* Registers by one number: r0 to r15; from 16 on the 64 words of d0 to d31, the first half of which are s0 to s31; the
 * flags, and those of comparisons of floats. */
enum { LINK = 14, PC = 15, VECTORS = 16, FLAGS = 80, FLOAT_FLAGS = 81, REGISTERS = 82, NO_REGISTER = 255 };
enum { MOST_SOURCES = 44, MOST_RESULTS = 36 };

typedef enum { KIND_ARITHMETIC, KIND_LOAD, KIND_STORE, KIND_PREFETCH, KIND_BRANCH, KIND_ALONE } instruction_kind;

/* What an operand is for: the core model says how much earlier or later than others it is read. */
typedef enum { ANY_OPERAND, ADDRESS, SHIFTED, FACTOR, STORED, STORED_VECTOR, ADDEND, ROLES } operand_role;

/* A row of the core's table of classes (core_model.h); two forms each, of 64 and of 128 bits, of single and of double
 * precision. Times in cycles. */
typedef struct {
    bool known;           /* the core has such instructions */
    uint8_t group;        /* that it is counted in */
    uint8_t unit;         /* that it keeps busy */
    uint8_t busy;         /* for so long; of accesses for each beat */
    uint8_t issue;        /* cycles that issuing takes; of accesses for each beat */
    uint8_t issue_once;   /* and so many besides */
    uint8_t beat_words;   /* registers of 32 bits that an access moves in a beat */
    uint8_t latency;      /* until another reads the result */
    uint8_t forward;      /* until another adds to it; 0: as any other reads it */
    uint8_t next_result;  /* between the results of its beats */
    uint8_t lanes;        /* of 64 bits that it takes of the vector units in its cycle */
    bool first;           /* it issues only as the first of a pair */
    bool alone;           /* nothing issues beside it */
    bool merges;          /* it keeps a part of the register that it writes */
    bool multiplies;      /* it is in the pipeline of multiply-accumulates */
} instruction_class;

typedef struct {
    uint32_t word;
    instruction_kind kind;
    instruction_class timing;
    uint8_t class;
    uint8_t sources, results;
    uint8_t source[MOST_SOURCES], role[MOST_SOURCES];
    uint8_t result[MOST_RESULTS];
    bool is_vector, writes_back, is_conditional, is_indirect, is_return;
    uint8_t base;             /* register of an access with a constant offset, else NO_REGISTER */
    int32_t offset;           /* of the access from it, in bytes */
    int32_t like;             /* of a prefetch: the access of its block that shares the base, or -1 */
    int32_t distance;         /* and how many bytes further it is */
} instruction;

void decode(uint32_t word, instruction *decoded);

#endif
