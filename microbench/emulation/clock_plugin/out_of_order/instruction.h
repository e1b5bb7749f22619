/* One instruction of AArch64 as an out-of-order pipeline sees it: what it reads and writes, and its class's timing. */
#ifndef EXPLORE_INSTRUCTION_H
#define EXPLORE_INSTRUCTION_H

#include <stdbool.h>
#include <stdint.h>

/* Registers by one number: x0 to x30, v0 to v31 from 32 on, the flags. */
enum { LINK = 30, ZERO = 31, VECTORS = 32, FLAGS = 64, REGISTERS = 65, NO_REGISTER = 255 };
enum { MOST_SOURCES = 6, MOST_RESULTS = 5 };

typedef enum { KIND_ARITHMETIC, KIND_LOAD, KIND_STORE, KIND_PREFETCH, KIND_BRANCH, KIND_ALONE } instruction_kind;

/* A row of the core's table of classes (core_model.h); two forms each, of 64 and of 128 bits. Times in cycles. */
typedef struct {
    uint8_t group;        /* that it is counted in */
    uint8_t unit;         /* whose pipes take its micro-operations */
    uint8_t busy;         /* for so long each */
    uint8_t issue;        /* how many there are; for structures per register */
    uint8_t issue_once;   /* and so many besides */
    uint8_t slots;        /* of dispatch and of the reorder buffer that each takes */
    uint8_t slots_once;   /* and so many besides */
    uint8_t latency;      /* until another reads the result */
    uint8_t forward;      /* until another adds to it; 0: as any other reads it */
    uint8_t next_result;  /* between results of one micro-operation */
    bool merges;          /* it keeps a part of the register that it writes */
} instruction_class;

typedef struct {
    uint32_t word;
    instruction_kind kind;
    instruction_class timing;
    uint8_t sources, data_sources, results;
    uint8_t source[MOST_SOURCES]; /* stored data first */
    uint8_t result[MOST_RESULTS];
    uint8_t accumulator;
    bool is_vector, writes_back, is_conditional, is_indirect, is_return;
    uint8_t base;             /* register of an access with a constant offset, else NO_REGISTER */
    int32_t offset;           /* of the access from it, in bytes */
    int32_t like;             /* of a prefetch: the access of its block that shares the base, or -1 */
    int32_t distance;         /* and how many bytes further it is */
} instruction;

void decode(uint32_t word, instruction *decoded);

#endif
