/* GPU memory: allocations, V3D's L2 and the system's in front of SDRAM, and which cached words are out of date.
 *
 * On BCM2835 memory may be allocated so that it is cached in the system's L2, which the DMA engines go through as well:
 * it holds no stale data, so that only its lines' addresses are kept. What it holds moves faster, what it does not hold
 * slower than memory that is allocated past it. A line from it takes as long to begin as one from SDRAM (assumed).
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum {
    GUARD_BYTES = 4096 /* between allocations, so that running off the end of one is noticed */
};

static uint32_t align_up(uint32_t value, uint32_t align)
{
    return (value + align - 1) & ~(align - 1);
}

uint32_t v3d_alloc(v3d *gpu, uint32_t bytes, uint32_t align)
{
    if (align < LINE_BYTES)
        align = LINE_BYTES;
    if (bytes == 0 || bytes > gpu->memory_bytes || (align & (align - 1)) != 0 || align > gpu->memory_bytes)
        return 0;
    uint32_t size = align_up(bytes, LINE_BYTES), bus = align_up(MEMORY_BUS, align);
    allocation **place = &gpu->allocations;
    while (*place != NULL && (uint64_t)bus + size + GUARD_BYTES > (*place)->bus) {
        bus = align_up(align_up((*place)->bus + (*place)->bytes, LINE_BYTES) + GUARD_BYTES, align);
        place = &(*place)->next;
    }
    allocation *new = malloc(sizeof *new);
    if (new == NULL || (uint64_t)bus + size > (uint64_t)MEMORY_BUS + gpu->memory_bytes) {
        free(new);
        return 0;
    }
    *new = (allocation){bus, bytes, NULL, *place};
    *place = new;
    memset(gpu->memory + (bus - MEMORY_BUS), 0xff, size);
    return bus;
}

int v3d_free(v3d *gpu, uint32_t bus)
{
    for (allocation **place = &gpu->allocations; *place != NULL; place = &(*place)->next)
        if ((*place)->bus == bus) {
            allocation *gone = *place;
            *place = gone->next;
            free(gone);
            gpu->hot_bus = gpu->hot_end = 0;
            return 0;
        }
    return -1;
}

uint8_t *memory_find(struct v3d *gpu, uint32_t bus, uint32_t bytes)
{
    for (allocation *a = gpu->allocations; a != NULL; a = a->next)
        if (bus >= a->bus && bus - a->bus < a->bytes && bytes <= a->bytes - (bus - a->bus)) {
            gpu->hot_bus = a->bus;
            gpu->hot_end = a->bus + a->bytes;
            return gpu->memory + (bus - MEMORY_BUS);
        }
    return NULL;
}

void *v3d_map(v3d *gpu, uint32_t bus, uint32_t bytes)
{
    return memory_at(gpu, bus, bytes);
}

static uint16_t words_in_line(uint32_t line_bus, uint32_t bus, uint32_t end)
{
    uint32_t first = bus > line_bus ? (bus - line_bus) / 4 : 0;
    uint32_t last = end < line_bus + LINE_BYTES ? (end - line_bus + 3) / 4 : LINE_WORDS;
    return (uint16_t)(((1u << last) - 1) & ~((1u << first) - 1));
}

static void mark_stream(uniform_stream *u, uint32_t line_bus, uint16_t words)
{
    if (u->fetched && u->line_bus == line_bus)
        u->stale |= words;
    if (u->next_fetched && u->line_bus + LINE_BYTES == line_bus)
        u->next_stale |= words;
}

/* The DMA engines write past every cache: what is cached of the range keeps its old value. */
void memory_mark_stale(struct v3d *gpu, uint32_t bus, uint32_t bytes)
{
    uint32_t end = bus + bytes;
    for (uint32_t line = bus & ~(LINE_BYTES - 1u); line < end; line += LINE_BYTES) {
        uint16_t words = words_in_line(line, bus, end);
        cache_mark_stale(&gpu->l2, line, words);
        for (int t = 0; t < gpu->slices * gpu->tmus_per_slice; t++)
            cache_mark_stale(&gpu->tmu[t].l1, line, words);
        for (int s = 0; s < gpu->slices; s++)
            cache_mark_stale(&gpu->uniform_cache[s], line, words);
        for (int q = 0; q < gpu->qpu_count; q++)
            mark_stream(&gpu->qpus[q].uniform, line, words);
    }
}

static void recheck(struct v3d *gpu, cache *c)
{
    for (uint32_t i = 0; i < c->sets * c->ways; i++) {
        cache_line *line = &c->lines[i];
        line->ready = 0;
        if (line->bus == NO_LINE)
            continue;
        const uint8_t *memory = memory_at(gpu, line->bus, 1);
        for (int w = 0; memory != NULL && w < LINE_WORDS; w++)
            if (memcmp(line->data + 4 * w, memory + 4 * w, 4) != 0)
                line->stale |= (uint16_t)(1u << w);
    }
}

/* After the host may have written: for a launch that does not clear the caches. */
void memory_recheck(struct v3d *gpu)
{
    recheck(gpu, &gpu->l2);
    for (int t = 0; t < gpu->slices * gpu->tmus_per_slice; t++)
        recheck(gpu, &gpu->tmu[t].l1);
    for (int s = 0; s < gpu->slices; s++) {
        recheck(gpu, &gpu->uniform_cache[s]);
        recheck(gpu, &gpu->icache[s]);
    }
}

static void count_sdram(v3d_result *result, enum client client)
{
    if (client == CLIENT_TMU)
        result->tmu_sdram_bytes += LINE_BYTES;
    else if (client == CLIENT_UNIFORM)
        result->uniform_sdram_bytes += LINE_BYTES;
    else
        result->icache_sdram_bytes += LINE_BYTES;
}

/* Whether the system's L2 holds a line; it does afterwards. */
static int system_holds(struct v3d *gpu, uint32_t line_bus)
{
    if (cache_find(&gpu->system_l2, line_bus) != NULL)
        return 1;
    cache_victim(&gpu->system_l2, line_bus)->bus = line_bus;
    return 0;
}

static cycles move_cached(struct v3d *gpu, cycles time, uint32_t bus, uint32_t bytes)
{
    uint32_t missed = 0;
    for (uint32_t line = bus & ~(LINE_BYTES - 1u); line < bus + bytes; line += LINE_BYTES)
        missed += !system_holds(gpu, line);
    cycles moved = bandwidth_take(&gpu->system_port, time, bytes);
    double from_sdram = missed * LINE_BYTES < bytes ? missed * LINE_BYTES : bytes;
    return missed ? later(moved, bandwidth_take(&gpu->sdram, time, from_sdram)) : moved;
}

cycles memory_move(struct v3d *gpu, cycles time, uint32_t bus, uint32_t bytes)
{
    return gpu->system_l2.sets ? move_cached(gpu, time, bus, bytes) : bandwidth_take(&gpu->sdram, time, bytes);
}

/* A line of L2, from SDRAM when it is not there. The latencies are what a path adds to an empty machine's answer. */
static cache_line *l2_line(struct v3d *gpu, enum client client, uint32_t line_bus, cycles time, int *from_sdram)
{
    cache_line *line = cache_find(&gpu->l2, line_bus);
    *from_sdram = line == NULL;
    if (line != NULL) {
        gpu->result->l2_hits++;
        return line;
    }
    gpu->result->l2_misses++;
    count_sdram(gpu->result, client);
    line = cache_victim(&gpu->l2, line_bus);
    const uint8_t *memory = memory_at(gpu, line_bus, 1);
    cycles moved = memory_move(gpu, time, line_bus, LINE_BYTES);
    cycles unhindered = time + (cycles)(LINE_BYTES / gpu->sdram.bytes_per_cycle);
    line->bus = line_bus;
    line->stale = 0;
    line->ready = time + gpu->sdram_latency + (moved > unhindered ? moved - unhindered : 0);
    memcpy(line->data, memory, LINE_BYTES);
    return line;
}

static cycles line_extra(const struct v3d *gpu, enum client client, uint32_t line_bus, int from_sdram)
{
    const int spared = gpu->spared_uniform_lines && client == CLIENT_UNIFORM && (line_bus & LINE_BYTES);
    return spared ? 0 : gpu->line_extra[from_sdram][client];
}

cycles memory_fetch_line(struct v3d *gpu, enum client client, uint32_t line_bus, cycles time, cache_line *into)
{
    into->bus = line_bus;
    into->stale = 0;
    into->inside = memory_at(gpu, line_bus, 1) != NULL;
    into->ready = time;
    if (!into->inside)
        return time;
    dma_commit_store(gpu, time);
    int from_sdram;
    cache_line *line = l2_line(gpu, client, line_bus, time, &from_sdram);
    cycles sent = later(time, line->ready);
    cycles moved = bandwidth_take(&gpu->l2_port, sent, LINE_BYTES);
    cycles unhindered = sent + (cycles)(LINE_BYTES / gpu->l2_port.bytes_per_cycle);
    cycles latency = gpu->l2_latency + line_extra(gpu, client, line_bus, from_sdram);
    into->ready = sent + latency + (moved > unhindered ? moved - unhindered : 0);
    into->stale = line->stale;
    memcpy(into->data, line->data, LINE_BYTES);
    return into->ready;
}

void stale_read(qpu *q, uint32_t bus)
{
    v3d_result *result = q->gpu->result;
    if (result->stale_reads++ == 0) {
        result->first_stale_bus = bus;
        result->first_stale_qpu = (uint32_t)q->index;
        result->first_stale_instruction = (q->pc - q->code_bus) / 8;
    }
    if (result->stale_reads <= V3D_STALE_READS)
        result->stale[result->stale_reads - 1] = (v3d_stale_read){bus, (uint32_t)q->index, instruction_number(q)};
}
