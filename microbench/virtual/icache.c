/* Instruction caches, one a slice (errata, "Cache details"), in front of decoded code.
 *
 * Code is decoded at its first fetch in a launch and does not change during it. A hit is looked up without waiting for
 * the other QPUs' turns, a miss in turn; so a QPU that runs ahead may see a line that a slower one is yet to evict.
 */
#include <stdlib.h>
#include <string.h>

#include "instruction.h"
#include "internal.h"

/* Which line of code of this launch, or -1 where no decoded line can be kept. */
static instruction **decoded_slot(struct v3d *gpu, uint32_t line_bus)
{
    if (gpu->decoded == NULL || line_bus < gpu->code_bus || line_bus >= gpu->code_end)
        return NULL;
    return &gpu->decoded[(line_bus - gpu->code_bus) / LINE_BYTES];
}

void icache_forget(struct v3d *gpu)
{
    uint32_t lines = (gpu->code_end - gpu->code_bus + LINE_BYTES - 1) / LINE_BYTES;
    for (uint32_t i = 0; gpu->decoded != NULL && i < lines; i++)
        free(gpu->decoded[i]);
    free(gpu->decoded);
    gpu->decoded = NULL;
}

static void fetch_miss(qpu *q, uint32_t line_bus)
{
    struct v3d *gpu = q->gpu;
    cache *c = &gpu->icache[q->slice];
    gpu->result->icache_misses++;
    cache_line *line = cache_victim(c, line_bus);
    stall_until(q, memory_fetch_line(gpu, CLIENT_ICACHE, line_bus, q->now, line), CAUSE_ICACHE);
}

const instruction *icache_fetch(qpu *q, int our_turn)
{
    struct v3d *gpu = q->gpu;
    uint32_t line_bus = q->pc & ~(LINE_BYTES - 1u);
    instruction **slot = decoded_slot(gpu, line_bus);
    if (slot == NULL || (q->pc & 7) != 0)
        v3d_fail(q, V3D_STRAY, "stray access: instruction address 0x%08x lies outside the code's allocation", q->pc);
    cache_line *line = cache_find(&gpu->icache[q->slice], line_bus);
    if (line == NULL) {
        if (!our_turn)
            return NULL;
        fetch_miss(q, line_bus);
    } else {
        gpu->result->icache_hits++;
        stall_until(q, line->ready, CAUSE_ICACHE);
    }
    if (*slot == NULL) {
        *slot = malloc(LINE_INSTRUCTIONS * sizeof **slot);
        if (*slot == NULL)
            v3d_fail(q, V3D_USAGE, "out of host memory");
        decode_line(gpu, line_bus, *slot);
    }
    return *slot;
}
