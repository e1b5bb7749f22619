/* A port that moves a limited number of bytes a cycle for many clients.
 *
 * Time is cut into buckets of BUCKET_CYCLES, each with its bytes; a transfer takes what is left from its own time on.
 * So a long DMA, whose rows are taken one by one, shares the port with cache misses, and no byte moves for nothing.
 */
#include <string.h>

#include "internal.h"

void bandwidth_reset(bandwidth *port, double bytes_per_cycle)
{
    port->bytes_per_cycle = bytes_per_cycle;
    port->first_open = 0;
    memset(port->bucket, 0xff, sizeof port->bucket);
}

static double *bucket_used(bandwidth *port, uint64_t bucket)
{
    uint64_t slot = bucket % BUCKETS;
    if (port->bucket[slot] != bucket) {
        port->bucket[slot] = bucket;
        port->used[slot] = 0.0;
    }
    return &port->used[slot];
}

cycles bandwidth_take(bandwidth *port, cycles start, double bytes)
{
    double capacity = port->bytes_per_cycle * BUCKET_CYCLES;
    double alone = (double)start + bytes / port->bytes_per_cycle;
    uint64_t bucket = start / BUCKET_CYCLES;
    if (bucket < port->first_open)
        bucket = port->first_open;
    double *used = bucket_used(port, bucket);
    for (;;) {
        double room = capacity - *used;
        double taken = bytes < room ? bytes : room;
        *used += taken;
        bytes -= taken;
        if (bytes <= 0.0)
            break;
        if (bucket == port->first_open)
            port->first_open = bucket + 1;
        used = bucket_used(port, ++bucket);
    }
    double end = (double)(bucket * BUCKET_CYCLES) + *used / port->bytes_per_cycle;
    return (cycles)(end > alone ? end : alone);
}
