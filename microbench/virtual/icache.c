/* Instruction caches, one a slice (errata, "Cache details"), in front of decoded code.
 *
 * Code is decoded at its first fetch in a launch and does not change during it. A hit is looked up without waiting for
 * the other QPUs' turns, a miss in turn; so a QPU that runs ahead may see a line that a slower one is yet to evict.
 */
#include <stdlib.h>
#include <string.h>

#include "instruction.h"
#include "internal.h"

static int holds(const allocation *a, uint32_t bus)
{
    return a != NULL && bus >= a->bus && bus - a->bus < a->bytes;
}

static uint32_t lines_of(const allocation *a)
{
    return (a->bytes + LINE_BYTES - 1) / LINE_BYTES;
}

/* Where the decoded line is kept; allocations begin with a line. */
static instruction **decoded_slot(qpu *q, uint32_t line_bus)
{
    struct v3d *gpu = q->gpu;
    allocation *a = gpu->code;
    if (!holds(a, line_bus))
        for (a = gpu->allocations; a != NULL && !holds(a, line_bus); a = a->next)
            ;
    if (a == NULL || (q->pc & 7) != 0)
        v3d_fail(q, V3D_STRAY, "stray access: instruction address 0x%08x lies outside the allocations, or is no multiple of 8",
                 q->pc);
    if (a->decoded == NULL)
        a->decoded = calloc(lines_of(a), sizeof *a->decoded);
    if (a->decoded == NULL)
        v3d_fail(q, V3D_USAGE, "out of host memory");
    gpu->code = a;
    return &a->decoded[(line_bus - a->bus) / LINE_BYTES];
}

void icache_each(struct v3d *gpu, void (*visit)(struct v3d *gpu, uint32_t line_bus, const instruction *line))
{
    for (allocation *a = gpu->allocations; a != NULL; a = a->next)
        for (uint32_t i = 0; a->decoded != NULL && i < lines_of(a); i++)
            if (a->decoded[i] != NULL)
                visit(gpu, a->bus + i * LINE_BYTES, a->decoded[i]);
}

static void free_line(instruction *line)
{
    for (int i = 0; line != NULL && i < LINE_INSTRUCTIONS; i++)
        free(line[i].stall);
    free(line);
}

void icache_forget(struct v3d *gpu)
{
    for (allocation *a = gpu->allocations; a != NULL; a = a->next) {
        for (uint32_t i = 0; a->decoded != NULL && i < lines_of(a); i++)
            free_line(a->decoded[i]);
        free(a->decoded);
        a->decoded = NULL;
    }
    gpu->code = NULL;
}

static instruction *decoded_line(qpu *q, uint32_t line_bus)
{
    instruction **slot = decoded_slot(q, line_bus);
    if (*slot == NULL) {
        *slot = aligned_alloc(LINE_BYTES, LINE_INSTRUCTIONS * sizeof **slot);
        if (*slot == NULL)
            v3d_fail(q, V3D_USAGE, "out of host memory");
        decode_line(q->gpu, line_bus, *slot);
    }
    return *slot;
}

static void fetch_miss(qpu *q, uint32_t line_bus)
{
    struct v3d *gpu = q->gpu;
    cache *c = &gpu->icache[q->slice];
    gpu->result->icache_misses++;
    cache_line *line = cache_victim(c, line_bus);
    stall_until(q, memory_fetch_line(gpu, CLIENT_ICACHE, line_bus, q->now, line), CAUSE_ICACHE);
}

instruction *icache_fetch(qpu *q, int our_turn)
{
    struct v3d *gpu = q->gpu;
    uint32_t line_bus = q->pc & ~(LINE_BYTES - 1u);
    instruction *decoded = decoded_line(q, line_bus);
    cache_line *line = cache_find(&gpu->icache[q->slice], line_bus);
    if (line == NULL) {
        if (!our_turn)
            return NULL;
        q->line = decoded;
        fetch_miss(q, line_bus);
    } else {
        q->line = decoded;
        gpu->result->icache_hits++;
        stall_until(q, line->ready, CAUSE_ICACHE);
    }
    return decoded;
}
