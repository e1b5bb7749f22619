/* In-order cores that issue up to two instructions a cycle: the times of one block of them after another. */
#ifndef EXPLORE_PIPELINE_H
#define EXPLORE_PIPELINE_H

#include <stddef.h>
#include <stdint.h>

#include "instruction.h"

typedef struct {
    uint64_t address;
    uint32_t instruction; /* its place in the block */
    uint8_t bytes;
    bool is_store;
} memory_access;

typedef struct {
    uint64_t operands, units, memory, branches; /* cycles that issue waited */
    uint64_t mispredicted, prefetches, unknown_prefetches;
    uint64_t groups[GROUPS]; /* instructions */
} pipeline_counts;

/* A core's clock, and what it counted. */
uint64_t pipeline_cycles(unsigned core);
const pipeline_counts *pipeline_counted(unsigned core);

/* The core does nothing until then. */
void pipeline_resume(unsigned core, uint64_t at);

/* Runs a block of instructions that ends before the address `end`; `next` is where execution went on. Accesses come in
 * the order of their instructions. */
void pipeline_run(unsigned core, const instruction *block, uint32_t count, uint64_t end, uint64_t next,
                  const memory_access *accesses, size_t access_count);

#endif
