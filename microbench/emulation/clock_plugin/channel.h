/* The channel to memory, which all cores share: a line at a time. Times in cycles. */
#ifndef EXPLORE_CHANNEL_H
#define EXPLORE_CHANNEL_H

#include <stdint.h>

/* When the channel begins with a line for a core that asks at `now`. A core's lines go one after the other in the order
 * of its requests; those of different cores in any order, since one core's clock may be behind another's. */
uint64_t channel_taken(unsigned core, uint64_t now);

#endif
