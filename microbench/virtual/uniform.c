/* Uniforms: a stream of words for each QPU, through a cache for each slice (guide section 3, "Uniforms").
 *
 * What is measured of it, of lines that the slice's cache holds: bursts of 16 to 64 reads in successive instructions run at full rate when at least 7
 * instructions lie between bursts; 64 and more with none between run at about 0.6 of full rate. The mechanism that
 * gives both: the stream is refilled at `uniform_refill_cycles` a word (the sustained rate; slower than one a
 * instruction), and a pause of `uniform_pause_instructions` lets it run ahead, so that the `uniform_burst_words` after
 * it come at full rate. It acts where a line of 64 bytes ends; reads spaced wider than the refill never wait.
 *
 * A line that the cache does not hold is asked for when the FIFO's prefetch reaches it, `uniform_fifo_words` before it
 * is read, and takes memory's time from then: published times of matrix products that are fed by uniforms agree on that
 * and on how long it takes. A line is a copy: a DMA store to it later is not seen.
 */
#include <string.h>

#include "internal.h"

typedef struct {
    cycles ready;
    int inside;
    uint16_t stale;
} fetched;

static fetched fetch(qpu *q, uint32_t line_bus, uint32_t *data)
{
    struct v3d *gpu = q->gpu;
    cache *c = &gpu->uniform_cache[q->slice];
    dma_commit_store(gpu, q->now);
    cache_line *line = cache_find(c, line_bus);
    if (line != NULL) {
        gpu->result->uniform_hits++;
    } else {
        gpu->result->uniform_misses++;
        line = cache_victim(c, line_bus);
        memory_fetch_line(gpu, CLIENT_UNIFORM, line_bus, q->now, line);
    }
    memcpy(data, line->data, LINE_BYTES);
    fetched answer = {line->ready, line->inside, line->stale};
    if (!line->inside)
        line->bus = NO_LINE;
    return answer;
}

static void fetch_current(qpu *q)
{
    uniform_stream *u = &q->uniform;
    fetched line = fetch(q, u->line_bus, u->data);
    u->ready = line.ready;
    u->inside = line.inside;
    u->stale = line.stale;
    u->fetched = 1;
    u->line_start = q->now;
}

static void fetch_next(qpu *q)
{
    uniform_stream *u = &q->uniform;
    fetched line = fetch(q, u->line_bus + LINE_BYTES, u->next_data);
    u->next_ready = line.ready;
    u->next_inside = line.inside;
    u->next_stale = line.stale;
    u->next_fetched = 1;
}

void uniform_start(qpu *q, uint32_t bus)
{
    uniform_stream *u = &q->uniform;
    u->line_bus = bus & ~(LINE_BYTES - 1u);
    u->position = u->first = (int)(bus & (LINE_BYTES - 1)) / 4;
    u->next_fetched = 0;
    fetch_current(q);
}

static void advance_line(qpu *q)
{
    uniform_stream *u = &q->uniform;
    if (!u->next_fetched)
        fetch_next(q);
    cycles refilled = u->line_start + (cycles)((LINE_WORDS - u->first) * q->gpu->uniform_refill);
    u->ready = u->credit_words > 0 ? u->next_ready : later(u->next_ready, refilled);
    u->line_bus += LINE_BYTES;
    u->inside = u->next_inside;
    u->stale = u->next_stale;
    u->position = u->first = 0;
    u->next_fetched = 0;
    memcpy(u->data, u->next_data, LINE_BYTES);
}

static void check_word(qpu *q, uint32_t bus)
{
    const uniform_stream *u = &q->uniform;
    if (!u->inside || memory_at(q->gpu, bus, 4) == NULL)
        v3d_fail(q, V3D_STRAY, "stray access: uniform read of 0x%08x lies outside the allocations", bus);
    if (u->stale >> u->position & 1)
        stale_read(q, bus);
}

uint32_t uniform_read(qpu *q)
{
    uniform_stream *u = &q->uniform;
    if (q->now >= u->last_read + q->gpu->uniform_pause)
        u->credit_words = q->gpu->uniform_burst;
    if (u->position == LINE_WORDS)
        advance_line(q);
    stall_until(q, u->ready, CAUSE_UNIFORM);
    if (u->position == u->first)
        u->line_start = q->now;
    uint32_t bus = u->line_bus + 4 * (uint32_t)u->position;
    if (__builtin_expect(!u->inside || u->stale != 0 || bus < q->gpu->hot_bus || bus >= q->gpu->hot_end, 0))
        check_word(q, bus);
    uint32_t word = u->data[u->position++];
    u->credit_words--;
    q->uniform_words++;
    u->last_read = q->now;
    if (u->position == LINE_WORDS - q->gpu->uniform_fifo)
        fetch_next(q);
    return word;
}
