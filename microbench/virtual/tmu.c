/* Texture and memory units, general memory lookups only (guide section 4; errata "TMU FIFO", "TMU cache").
 *
 * A request is worked off when it is written, in the order of simulated time: one lane a clock, and one line fetch for
 * each run of lanes in the same line. Misses overlap; answers come back in order.
 */
#include <string.h>

#include "internal.h"

static cache_line *l1_miss(struct v3d *gpu, tmu_unit *tmu, uint32_t line_bus, cycles time)
{
    gpu->result->tmu_l1_misses++;
    cache_line *line = cache_victim(&tmu->l1, line_bus);
    memory_fetch_line(gpu, CLIENT_TMU, line_bus, time, line);
    return line;
}

static inline cache_line *l1_line(qpu *q, tmu_unit *tmu, uint32_t line_bus, cycles time, cycles *ready)
{
    struct v3d *gpu = q->gpu;
    cache_line *line = cache_find(&tmu->l1, line_bus);
    if (line != NULL)
        gpu->result->tmu_l1_hits++;
    else
        line = l1_miss(gpu, tmu, line_bus, time);
    *ready = later(*ready, later(time, line->ready) + gpu->tmu_hit);
    return line;
}

static void check_stale(qpu *q, const cache_line *line, uint32_t first_word, uint32_t words)
{
    if (__builtin_expect(line->stale == 0, 1))
        return;
    for (uint32_t w = first_word; w < first_word + words; w++)
        if (line->stale >> w & 1)
            stale_read(q, line->bus + 4 * w);
}

/* Sixteen consecutive words: one or two lines. */
static cycles read_row(qpu *q, tmu_unit *tmu, uint32_t bus, cycles time, vec *data)
{
    cycles ready = time;
    uint32_t first = (bus & (LINE_BYTES - 1)) / 4, count = LINE_WORDS - first;
    cache_line *line = l1_line(q, tmu, bus & ~(LINE_BYTES - 1u), time, &ready);
    memcpy(data->w, line->data + 4 * first, 4 * count);
    check_stale(q, line, first, count);
    if (first != 0) {
        line = l1_line(q, tmu, (bus & ~(LINE_BYTES - 1u)) + LINE_BYTES, time + count, &ready);
        memcpy(data->w + count, line->data, 4 * first);
        check_stale(q, line, 0, first);
    }
    return ready;
}

static void check_inside(qpu *q, uint32_t bus, uint32_t lane)
{
    if (memory_at(q->gpu, bus, 4) == NULL)
        v3d_fail(q, V3D_STRAY, "stray access: TMU read of 0x%08x by lane %u lies outside the allocations", bus, lane);
}

/* Words of one line, from `lane` on; returns the lane that wants another line. */
static uint32_t read_run(qpu *q, const cache_line *line, uint32_t line_bus, const vec *addresses, uint32_t lane, vec *data)
{
    int whole = memory_at(q->gpu, line_bus, LINE_BYTES) != NULL, plain = whole && line->stale == 0;
    uint32_t inside = addresses->w[lane] - line_bus;
    do {
        if (__builtin_expect(!plain, 0)) {
            if (!whole)
                check_inside(q, addresses->w[lane] & ~3u, lane);
            check_stale(q, line, inside / 4, 1);
        }
        memcpy(&data->w[lane], line->data + (inside & ~3u), 4);
        if (++lane == 16)
            break;
        inside = addresses->w[lane] - line_bus;
    } while (inside < LINE_BYTES);
    return lane;
}

static cycles read_lanes(qpu *q, tmu_unit *tmu, const vec *addresses, cycles time, vec *data)
{
    cycles ready = time;
    for (uint32_t lane = 0; lane < 16;) {
        uint32_t line_bus = addresses->w[lane] & ~(LINE_BYTES - 1u);
        check_inside(q, addresses->w[lane] & ~3u, lane);
        cache_line *line = l1_line(q, tmu, line_bus, time + lane, &ready);
        lane = read_run(q, line, line_bus, addresses, lane, data);
    }
    return ready;
}

static int is_row(const vec *addresses)
{
    static const vec steps = {.w = {0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60}};
    uint32_t base = addresses->w[0] & ~3u;
    u32x4 differs = {0, 0, 0, 0};
    for (int k = 0; k < 4; k++)
        differs |= ((addresses->u[k] & ~3u) - base) ^ steps.u[k];
    return !any_lane(differs);
}

static tmu_unit *unit_of(qpu *q, int unit)
{
    struct v3d *gpu = q->gpu;
    int swapped = gpu->tmus_per_slice > 1 && !q->tmu_swap_off && (q->index % gpu->qpus_per_slice) >= 2;
    int physical = gpu->tmus_per_slice > 1 ? unit ^ swapped : 0;
    return &gpu->tmu[q->slice * gpu->tmus_per_slice + physical];
}

void tmu_request(qpu *q, int unit, const vec *addresses)
{
    struct v3d *gpu = q->gpu;
    tmu_queue *queue = &q->tmu[unit];
    tmu_unit *tmu = unit_of(q, unit);
    if (queue->count >= gpu->tmu_depth)
        v3d_fail(q, V3D_HAZARD, "TMU queue: more than %d requests of one QPU in flight on TMU%d", gpu->tmu_depth, unit);
    tmu_result *result = &queue->results[(queue->head + queue->count++) % TMU_QUEUE_MAX];
    cycles start = later(q->now, tmu->free), ready;
    tmu->free = start + gpu->tmu_request;
    gpu->result->tmu_requests++;
    trace_busy(gpu, (uint16_t)(V3D_TRACK_TMU + (tmu - gpu->tmu)), start, tmu->free, 0);
    dma_commit_store(gpu, q->now);
    if (is_row(addresses) && memory_at(gpu, addresses->w[0] & ~3u, LINE_BYTES) != NULL)
        ready = read_row(q, tmu, addresses->w[0] & ~3u, start, &result->data);
    else
        ready = read_lanes(q, tmu, addresses, start, &result->data);
    tmu->last_ready = later(tmu->last_ready, ready);
    result->ready = tmu->last_ready;
}

void tmu_receive(qpu *q, int unit, vec *r4)
{
    tmu_queue *queue = &q->tmu[unit];
    if (queue->count == 0)
        v3d_fail(q, V3D_HAZARD, "TMU queue: ldtmu%d with no request in flight waits for ever", unit);
    tmu_result *result = &queue->results[queue->head];
    stall_until(q, result->ready, CAUSE_TMU);
    *r4 = result->data;
    queue->head = (queue->head + 1) % TMU_QUEUE_MAX;
    queue->count--;
}
