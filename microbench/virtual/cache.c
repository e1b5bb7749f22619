/* Set-associative caches that hold data, so that a line stays as it was when memory changes behind it. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum { MOST_BYTES = 1 << 26 };

int cache_create(cache *c, double bytes, double ways)
{
    if (!(ways >= 1 && bytes <= MOST_BYTES && bytes >= LINE_BYTES * ways && ways == (uint32_t)ways))
        return -1;
    c->ways = (uint32_t)ways;
    c->sets = (uint32_t)(bytes / (LINE_BYTES * ways));
    c->mask = (c->sets & (c->sets - 1)) == 0 ? c->sets - 1 : 0;
    c->lines = aligned_alloc(LINE_BYTES, (size_t)c->sets * c->ways * sizeof *c->lines);
    if (c->lines == NULL)
        return -1;
    cache_clear(c);
    return 0;
}

void cache_clear(cache *c)
{
    for (uint32_t i = 0; i < c->sets * c->ways; i++) {
        c->lines[i].bus = NO_LINE;
        c->lines[i].used = 0;
        c->lines[i].ready = 0;
    }
    c->clock = 0;
}

cache_line *cache_victim(cache *c, uint32_t bus)
{
    cache_line *set = cache_set(c, bus), *oldest = set;
    for (uint32_t way = 0; way < c->ways; way++) {
        if (set[way].bus == NO_LINE) {
            oldest = &set[way];
            break;
        }
        if (set[way].used < oldest->used)
            oldest = &set[way];
    }
    oldest->used = ++c->clock;
    return oldest;
}

void cache_mark_stale(cache *c, uint32_t line_bus, uint16_t words)
{
    cache_line *set = cache_set(c, line_bus);
    for (uint32_t way = 0; way < c->ways; way++)
        if (set[way].bus == line_bus)
            set[way].stale |= words;
}
