/* See channel.h. A core's lines too go in any order: accesses of an out-of-order core come with any times. */
#include "channel.h"

#include "core_model.h"

/* Time in slots of one line each, of which each begins at most one; a slot further back than this is free again. */
enum { SLOTS = 1 << 18 };

static uint64_t begun[SLOTS]; /* one more than the slot's number */

uint64_t channel_taken(unsigned core, uint64_t now)
{
    uint64_t slot = now / CYCLES_PER_LINE;
    (void)core;
    while (begun[slot % SLOTS] == slot + 1)
        ++slot;
    begun[slot % SLOTS] = slot + 1;
    const uint64_t start = slot * CYCLES_PER_LINE;
    return start > now ? start : now;
}
