/* See memory.h. All sizes and times are the core model's (core_model.h). */
#include "memory.h"

#include <stdbool.h>

#include "core_model.h"

enum { LINES_PER_PAGE = 4096 / LINE_BYTES, LONGEST_STRIDE = 32, PAGES = 512 };

typedef struct {
    uint64_t line, ready;
    bool valid, dirty;
} cached_line;

memory_counts memory_counted;

static cached_line l1[L1_SETS][L1_WAYS], l2[L2_SETS][L2_WAYS];
static uint64_t channel_free, fill_ready[LINE_FILLS], store_ready[STORE_BUFFERS], pages[PAGES];
static struct {
    uint64_t last, used;
    int64_t stride;
    unsigned hits;
} streams[PREFETCH_STREAMS];
static uint64_t stream_uses, written_line;
static unsigned written_bytes, written_whole;

/* Arm DDI 0500D calls the replacement pseudo-random: a generator of its own, so that every run takes the same ways. */
static unsigned random_way(unsigned ways)
{
    static uint32_t state = 12345;
    state = state * 1664525 + 1013904223;
    return (state >> 20) % ways;
}

static cached_line *find(cached_line *set, unsigned ways, uint64_t line)
{
    for (unsigned way = 0; way < ways; ++way)
        if (set[way].valid && set[way].line == line)
            return &set[way];
    return 0;
}

static cached_line *victim(cached_line *set, unsigned ways)
{
    for (unsigned way = 0; way < ways; ++way)
        if (!set[way].valid)
            return &set[way];
    return &set[random_way(ways)];
}

static uint64_t channel_taken(uint64_t now)
{
    const uint64_t start = now > channel_free ? now : channel_free;
    channel_free = start + CYCLES_PER_LINE;
    return start;
}

static cached_line *l1_find(uint64_t line)
{
    return find(l1[line % L1_SETS], L1_WAYS, line);
}

static cached_line *l2_find(uint64_t line)
{
    return find(l2[line % L2_SETS], L2_WAYS, line);
}

static cached_line *l2_fill(uint64_t line, uint64_t now)
{
    cached_line *place = victim(l2[line % L2_SETS], L2_WAYS);
    if (place->valid && place->dirty) {
        ++memory_counted.written_back;
        channel_taken(now);
    }
    *place = (cached_line){.line = line, .valid = true};
    return place;
}

static cached_line *l1_fill(uint64_t line, uint64_t ready, uint64_t now)
{
    cached_line *place = victim(l1[line % L1_SETS], L1_WAYS);
    if (place->valid && place->dirty) {
        cached_line *below = l2_find(place->line);
        if (!below)
            below = l2_fill(place->line, now);
        below->dirty = true;
    }
    *place = (cached_line){.line = line, .ready = ready, .valid = true};
    return place;
}

/* When a line that the first level lacks arrives there. */
static uint64_t fetched(uint64_t line, uint64_t now)
{
    cached_line *place = l2_find(line);
    if (place)
        return (place->ready > now ? place->ready : now) + L2_CYCLES;
    ++memory_counted.l2_misses;
    const uint64_t ready = channel_taken(now + L2_CYCLES) + MEMORY_CYCLES;
    l2_fill(line, now)->ready = ready;
    return ready;
}

static int stream_of(uint64_t line)
{
    for (int i = 0; i < PREFETCH_STREAMS; ++i)
        if (streams[i].stride && (int64_t)(line - streams[i].last) == streams[i].stride)
            return i;
    for (int i = 0; i < PREFETCH_STREAMS; ++i) {
        const int64_t stride = (int64_t)(line - streams[i].last);
        if (-LONGEST_STRIDE < stride && stride < LONGEST_STRIDE) {
            streams[i].stride = stride;
            streams[i].hits = 0;
            return i;
        }
    }
    int oldest = 0;
    for (int i = 1; i < PREFETCH_STREAMS; ++i)
        if (streams[i].used < streams[oldest].used)
            oldest = i;
    streams[oldest].stride = 0;
    streams[oldest].hits = 0;
    return oldest;
}

static void train(uint64_t line, uint64_t now)
{
    for (int i = 0; i < PREFETCH_STREAMS; ++i)
        if (streams[i].last == line)
            return;
    const int stream = stream_of(line);
    streams[stream].last = line;
    streams[stream].used = ++stream_uses;
    if (!streams[stream].stride || ++streams[stream].hits < PREFETCH_AFTER)
        return;
    for (int ahead = 1; ahead <= PREFETCH_LINES; ++ahead) {
        const uint64_t wanted = line + (uint64_t)(streams[stream].stride * ahead);
        if (wanted / LINES_PER_PAGE != line / LINES_PER_PAGE)
            return;
        if (!l1_find(wanted)) {
            ++memory_counted.prefetched;
            l1_fill(wanted, fetched(wanted, now), now);
        }
    }
}

static unsigned soonest(const uint64_t *ready, unsigned count)
{
    unsigned best = 0;
    for (unsigned i = 1; i < count; ++i)
        if (ready[i] < ready[best])
            best = i;
    return best;
}

uint64_t memory_load(uint64_t line, uint64_t now)
{
    cached_line *place = l1_find(line);
    ++memory_counted.loads;
    if (place && !place->ready)
        return 0;
    if (place) { /* it was fetched by a prefetch or a miss */
        const uint64_t ready = place->ready;
        if (ready <= now)
            place->ready = 0;
        train(line, now);
        return ready > now ? ready : 0;
    }
    ++memory_counted.l1_misses;
    const unsigned fill = soonest(fill_ready, LINE_FILLS);
    const uint64_t ready = fetched(line, now > fill_ready[fill] ? now : fill_ready[fill]);
    fill_ready[fill] = ready;
    l1_fill(line, ready, now);
    train(line, now);
    return ready;
}

static void follow_writes(uint64_t line, unsigned bytes)
{
    if (line == written_line) {
        written_bytes += bytes;
        return;
    }
    written_whole = written_bytes >= LINE_BYTES ? written_whole + 1 : 0;
    written_line = line;
    written_bytes = bytes;
}

uint64_t memory_store(uint64_t line, uint64_t now, unsigned bytes)
{
    ++memory_counted.stores;
    follow_writes(line, bytes);
    cached_line *place = l1_find(line);
    if (place) {
        place->dirty = true;
        return place->ready > now + STORE_SLACK_CYCLES ? place->ready - STORE_SLACK_CYCLES : now;
    }
    ++memory_counted.l1_misses;
    const unsigned buffer = soonest(store_ready, STORE_BUFFERS);
    const uint64_t leaves = now > store_ready[buffer] ? now : store_ready[buffer];
    if (written_whole >= STREAMING_AFTER_LINES) { /* whole lines go to the second level and are not read */
        cached_line *below = l2_find(line);
        if (!below)
            below = l2_fill(line, now);
        below->dirty = true;
        store_ready[buffer] = leaves + L2_CYCLES;
        return leaves;
    }
    const uint64_t ready = fetched(line, leaves);
    l1_fill(line, ready, now)->dirty = true;
    store_ready[buffer] = ready;
    train(line, now);
    return leaves;
}

uint64_t memory_translation(uint64_t address)
{
    const uint64_t page = address >> 12;
    if (pages[page % PAGES] == page)
        return 0;
    pages[page % PAGES] = page;
    ++memory_counted.page_misses;
    return TRANSLATION_CYCLES;
}
