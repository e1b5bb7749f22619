/*
 * Data caches, prefetchers, store buffers and the memory channel: a first level for each core, the second level and the
 * channel for all. Addresses in lines, times in cycles. First levels hold no line that another core wrote since; what one
 * core wrote, another reads no earlier than it was written.
 */
#ifndef EXPLORE_MEMORY_H
#define EXPLORE_MEMORY_H

#include <stdint.h>

typedef struct {
    uint64_t loads, stores; /* accesses, by line */
    uint64_t l1_misses, l2_misses, prefetched, written_back, page_misses;
    uint64_t taken_over; /* lines that came from another core's first level */
} memory_counts;

/* Of all cores. */
extern memory_counts memory_counted;

/* When a load's data is in the core's first level; 0: it was there already. */
uint64_t memory_load(unsigned core, uint64_t line, uint64_t now);

/* When a store of so many bytes leaves the core: later than now where the store buffer is full. */
uint64_t memory_store(unsigned core, uint64_t line, uint64_t now, unsigned bytes);

/* Cycles that an access waits for its page's translation. */
uint64_t memory_translation(unsigned core, uint64_t address);

#endif
