/* Data caches, prefetcher, store buffer and memory channel of one core. Addresses in lines, times in the core's cycles. */
#ifndef EXPLORE_MEMORY_H
#define EXPLORE_MEMORY_H

#include <stdint.h>

typedef struct {
    uint64_t loads, stores; /* accesses, by line */
    uint64_t l1_misses, l2_misses, prefetched, written_back, page_misses;
} memory_counts;

extern memory_counts memory_counted;

/* When a load's data is in the first level; 0: it was there already. */
uint64_t memory_load(uint64_t line, uint64_t now);

/* When a store of so many bytes leaves the core: later than now where the store buffer is full. */
uint64_t memory_store(uint64_t line, uint64_t now, unsigned bytes);

/* Cycles that an access waits for its page's translation. */
uint64_t memory_translation(uint64_t address);

#endif
