/* See memory.h. All sizes and times are the core model's (core_model.h). */
#include "memory.h"

#include <stdbool.h>
#include <stddef.h>

#include "channel.h"
#include "core_model.h"

enum { LINES_PER_PAGE = 4096 / LINE_BYTES, LONGEST_STRIDE = 32, PAGES = 512 };

typedef struct {
    uint64_t line, ready;
    uint64_t written; /* when it last was, where several cores run */
    bool valid, dirty, shared;
} cached_line;

typedef struct {
    cached_line l1[L1_SETS][L1_WAYS];
    uint64_t fill_ready[LINE_FILLS], store_ready[STORE_BUFFERS], pages[PAGES];
    struct {
        uint64_t last, used;
        int64_t stride;
        unsigned hits;
    } streams[PREFETCH_STREAMS];
    uint64_t stream_uses, written_line;
    unsigned written_bytes, written_whole;
} first_level;

memory_counts memory_counted;

static first_level levels[CORES];
static unsigned in_use = 1; /* cores, from the first on, that have accessed memory */
static cached_line l2[L2_SETS][L2_WAYS];

/* Arm DDI 0500D calls the replacement pseudo-random: a generator of its own, so that every run takes the same ways. */
static unsigned random_way(unsigned ways)
{
    static uint32_t state = 12345;
    state = state * 1664525 + 1013904223;
    return (state >> 20) % ways;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
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

static cached_line *l1_find(unsigned core, uint64_t line)
{
    return find(levels[core].l1[line % L1_SETS], L1_WAYS, line);
}

static cached_line *l2_find(uint64_t line)
{
    return find(l2[line % L2_SETS], L2_WAYS, line);
}

static cached_line *l2_fill(unsigned core, uint64_t line, uint64_t now)
{
    cached_line *place = victim(l2[line % L2_SETS], L2_WAYS);
    if (place->valid && place->dirty) {
        ++memory_counted.written_back;
        channel_taken(core, now);
    }
    *place = (cached_line){.line = line, .valid = true};
    return place;
}

/* A line goes from a first level to the second. */
static void write_down(unsigned core, const cached_line *from, uint64_t now)
{
    cached_line *below = l2_find(from->line);
    if (!below)
        below = l2_fill(core, from->line, now);
    below->dirty = true;
}

static cached_line *l1_fill(unsigned core, uint64_t line, uint64_t ready, uint64_t now)
{
    cached_line *place = victim(levels[core].l1[line % L1_SETS], L1_WAYS);
    if (place->valid && place->dirty)
        write_down(core, place, now);
    *place = (cached_line){.line = line, .ready = ready, .valid = true};
    for (unsigned other = 0; other < in_use; ++other) {
        cached_line *copy = other == core ? NULL : l1_find(other, line);
        if (copy)
            copy->shared = place->shared = true;
    }
    return place;
}

/* Other cores' copies of a line that this one writes. */
static void invalidate(unsigned core, uint64_t line)
{
    for (unsigned other = 0; other < in_use; ++other) {
        cached_line *copy = other == core ? NULL : l1_find(other, line);
        if (copy)
            copy->valid = false;
    }
}

/* The core owns the line from now on. */
static void write_to(unsigned core, cached_line *place, uint64_t now)
{
    if (place->shared)
        invalidate(core, place->line);
    place->shared = false;
    place->dirty = true;
    place->written = now;
}

/* What another core wrote to a line and still holds; the second level has it from now on. */
static const cached_line *taken_over(unsigned core, uint64_t line, uint64_t now)
{
    for (unsigned other = 0; other < in_use; ++other) {
        cached_line *copy = other == core ? NULL : l1_find(other, line);
        if (copy && copy->dirty) {
            ++memory_counted.taken_over;
            write_down(core, copy, now);
            copy->dirty = false;
            return copy;
        }
    }
    return NULL;
}

/* When a line that the first level lacks arrives there. */
static uint64_t fetched(unsigned core, uint64_t line, uint64_t now)
{
    const cached_line *copy = in_use > 1 ? taken_over(core, line, now) : NULL;
    if (copy)
        return later(now, later(copy->ready, copy->written)) + L2_CYCLES;
    cached_line *place = l2_find(line);
    if (place)
        return later(place->ready, now) + L2_CYCLES;
    ++memory_counted.l2_misses;
    const uint64_t ready = channel_taken(core, now + L2_CYCLES) + MEMORY_CYCLES;
    l2_fill(core, line, now)->ready = ready;
    return ready;
}

static int stream_of(first_level *own, uint64_t line)
{
    for (int i = 0; i < PREFETCH_STREAMS; ++i)
        if (own->streams[i].stride && (int64_t)(line - own->streams[i].last) == own->streams[i].stride)
            return i;
    for (int i = 0; i < PREFETCH_STREAMS; ++i) {
        const int64_t stride = (int64_t)(line - own->streams[i].last);
        if (-LONGEST_STRIDE < stride && stride < LONGEST_STRIDE) {
            own->streams[i].stride = stride;
            own->streams[i].hits = 0;
            return i;
        }
    }
    int oldest = 0;
    for (int i = 1; i < PREFETCH_STREAMS; ++i)
        if (own->streams[i].used < own->streams[oldest].used)
            oldest = i;
    own->streams[oldest].stride = 0;
    own->streams[oldest].hits = 0;
    return oldest;
}

static void train(unsigned core, uint64_t line, uint64_t now)
{
    first_level *own = &levels[core];
    for (int i = 0; i < PREFETCH_STREAMS; ++i)
        if (own->streams[i].last == line)
            return;
    const int stream = stream_of(own, line);
    own->streams[stream].last = line;
    own->streams[stream].used = ++own->stream_uses;
    if (!own->streams[stream].stride || ++own->streams[stream].hits < PREFETCH_AFTER)
        return;
    for (int ahead = 1; ahead <= PREFETCH_LINES; ++ahead) {
        const uint64_t wanted = line + (uint64_t)(own->streams[stream].stride * ahead);
        if (wanted / LINES_PER_PAGE != line / LINES_PER_PAGE)
            return;
        if (!l1_find(core, wanted)) {
            ++memory_counted.prefetched;
            l1_fill(core, wanted, fetched(core, wanted, now), now);
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

static first_level *level_of(unsigned core)
{
    if (core >= in_use)
        in_use = core + 1;
    return &levels[core];
}

uint64_t memory_load(unsigned core, uint64_t line, uint64_t now)
{
    first_level *own = level_of(core);
    cached_line *place = l1_find(core, line);
    ++memory_counted.loads;
    if (place && !place->ready)
        return 0;
    if (place) { /* it was fetched by a prefetch or a miss */
        const uint64_t ready = place->ready;
        if (ready <= now)
            place->ready = 0;
        train(core, line, now);
        return ready > now ? ready : 0;
    }
    ++memory_counted.l1_misses;
    const unsigned fill = soonest(own->fill_ready, LINE_FILLS);
    const uint64_t ready = fetched(core, line, later(now, own->fill_ready[fill]));
    own->fill_ready[fill] = ready;
    l1_fill(core, line, ready, now);
    train(core, line, now);
    return ready;
}

static void follow_writes(first_level *own, uint64_t line, unsigned bytes)
{
    if (line == own->written_line) {
        own->written_bytes += bytes;
        return;
    }
    own->written_whole = own->written_bytes >= LINE_BYTES ? own->written_whole + 1 : 0;
    own->written_line = line;
    own->written_bytes = bytes;
}

uint64_t memory_store(unsigned core, uint64_t line, uint64_t now, unsigned bytes)
{
    first_level *own = level_of(core);
    ++memory_counted.stores;
    follow_writes(own, line, bytes);
    cached_line *place = l1_find(core, line);
    if (place) {
        write_to(core, place, now);
        return place->ready > now + STORE_SLACK_CYCLES ? place->ready - STORE_SLACK_CYCLES : now;
    }
    ++memory_counted.l1_misses;
    const unsigned buffer = soonest(own->store_ready, STORE_BUFFERS);
    const uint64_t leaves = later(now, own->store_ready[buffer]);
    if (own->written_whole >= STREAMING_AFTER_LINES) { /* whole lines go to the second level and are not read */
        cached_line *below = l2_find(line);
        if (!below)
            below = l2_fill(core, line, now);
        below->dirty = true;
        invalidate(core, line);
        own->store_ready[buffer] = leaves + L2_CYCLES;
        return leaves;
    }
    const uint64_t ready = fetched(core, line, leaves);
    write_to(core, l1_fill(core, line, ready, now), leaves);
    own->store_ready[buffer] = ready;
    train(core, line, now);
    return leaves;
}

uint64_t memory_translation(unsigned core, uint64_t address)
{
    const uint64_t page = address >> 12;
    uint64_t *pages = level_of(core)->pages;
    if (pages[page % PAGES] == page)
        return 0;
    pages[page % PAGES] = page;
    ++memory_counted.page_misses;
    return TRANSLATION_CYCLES;
}
