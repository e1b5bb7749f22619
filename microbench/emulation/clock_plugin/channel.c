/* See channel.h. */
#include "channel.h"

#include "core_model.h"

/* Time in slots of one line each, of which each begins at most one; a slot further back than this is free again. */
enum { SLOTS = 1 << 18 };

static uint64_t begun[SLOTS]; /* one more than the slot's number */
static uint64_t own_free[CORES];

uint64_t channel_taken(unsigned core, uint64_t now)
{
    uint64_t start = now > own_free[core] ? now : own_free[core], slot = start / CYCLES_PER_LINE;
    while (begun[slot % SLOTS] == slot + 1) {
        ++slot;
        start = slot * CYCLES_PER_LINE;
    }
    begun[slot % SLOTS] = slot + 1;
    own_free[core] = start + CYCLES_PER_LINE;
    return start;
}
