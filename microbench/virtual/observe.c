/* What a launch leaves behind for people: stalls by instruction, and a bounded trace of who waited or worked when. */
#include <stdlib.h>
#include <string.h>

#include "instruction.h"
#include "internal.h"

enum { RESERVED = MAX_QPUS + MAX_TMUS }; /* intervals at a launch's end that always fit */

int v3d_observe(v3d *gpu, int profile, uint32_t intervals)
{
    observation *seen = &gpu->seen;
    observe_free(seen);
    memset(seen, 0, sizeof *seen);
    if (intervals > 0) {
        seen->intervals = malloc(((size_t)intervals + RESERVED) * sizeof *seen->intervals);
        if (seen->intervals == NULL)
            return -1;
    }
    if (profile) {
        seen->at_marks = calloc(V3D_MARKS, sizeof *seen->at_marks);
        if (seen->at_marks == NULL)
            return -1;
    }
    seen->capacity = intervals;
    seen->profile = profile != 0;
    seen->on = seen->profile || intervals > 0;
    return 0;
}

void observe_free(observation *seen)
{
    free(seen->instructions);
    free(seen->intervals);
    free(seen->at_marks);
    seen->at_marks = NULL;
    seen->instructions = NULL;
    seen->intervals = NULL;
}

void observe_reset(struct v3d *gpu)
{
    observation *seen = &gpu->seen;
    free(seen->instructions);
    seen->instructions = NULL;
    seen->instruction_count = seen->count = 0;
    seen->dropped = 0;
    memset(seen->busy_from, 0, sizeof seen->busy_from);
    memset(seen->busy_to, 0, sizeof seen->busy_to);
}

/* ---- the trace ---- */

static void add_interval(observation *seen, uint32_t capacity, v3d_interval interval)
{
    if (seen->count < capacity)
        seen->intervals[seen->count++] = interval;
    else
        seen->dropped++;
}

static void add_stall(qpu *q, cycles until, enum cause cause)
{
    v3d_interval stall = {q->now, until, q->pc, (uint16_t)q->index, (uint16_t)cause};
    add_interval(&q->gpu->seen, q->gpu->seen.capacity, stall);
}

/* Requests that follow each other without a gap are one interval of their TMU. */
static void busy_tmu(observation *seen, uint16_t track, cycles start, cycles end)
{
    int tmu = track - V3D_TRACK_TMU;
    if (start > seen->busy_to[tmu]) {
        v3d_interval before = {seen->busy_from[tmu], seen->busy_to[tmu], 0, track, V3D_BUSY};
        if (before.end > 0)
            add_interval(seen, seen->capacity, before);
        seen->busy_from[tmu] = start;
    }
    seen->busy_to[tmu] = end;
}

void trace_busy(struct v3d *gpu, uint16_t track, cycles start, cycles end, uint32_t bus)
{
    observation *seen = &gpu->seen;
    if (seen->capacity == 0)
        return;
    if (track >= V3D_TRACK_TMU)
        busy_tmu(seen, track, start, end);
    else
        add_interval(seen, seen->capacity, (v3d_interval){start, end, bus, track, V3D_BUSY});
}

/* At the end of a launch: each QPU's whole run, and what the TMUs did last. */
void trace_runs(struct v3d *gpu)
{
    observation *seen = &gpu->seen;
    if (seen->capacity == 0)
        return;
    for (uint16_t t = 0; t < MAX_TMUS; t++)
        if (seen->busy_to[t] > 0) {
            v3d_interval last = {seen->busy_from[t], seen->busy_to[t], 0, (uint16_t)(V3D_TRACK_TMU + t), V3D_BUSY};
            add_interval(seen, seen->capacity + RESERVED, last);
        }
    for (uint16_t i = 0; i < gpu->qpu_count; i++) {
        v3d_interval run = {0, gpu->qpus[i].now, gpu->qpus[i].code_bus, i, V3D_RUN};
        add_interval(seen, seen->capacity + RESERVED, run);
    }
}

const v3d_interval *v3d_trace_of(const v3d *gpu, uint32_t *count, uint64_t *dropped)
{
    *count = gpu->seen.count;
    *dropped = gpu->seen.dropped;
    return gpu->seen.intervals;
}

/* ---- the profile ---- */

static void note_stall(qpu *q, cycles duration, enum cause cause)
{
    if (q->line == NULL)
        return; /* the uniforms' start, before the first instruction */
    instruction *d = &q->line[q->pc >> 3 & (LINE_INSTRUCTIONS - 1)];
    if (d->stall == NULL)
        d->stall = calloc(CAUSES, sizeof *d->stall);
    if (d->stall != NULL)
        d->stall[cause] += duration;
}

void observe_stall(qpu *q, cycles until, enum cause cause)
{
    if (q->gpu->seen.capacity > 0)
        add_stall(q, until, cause);
    if (q->gpu->seen.profile)
        note_stall(q, until - q->now, cause);
}

static int was_run(const instruction *d)
{
    return d->executions > 0 || d->stall != NULL;
}

static void count_line(struct v3d *gpu, uint32_t line_bus, const instruction *line)
{
    (void)line_bus;
    for (int i = 0; i < LINE_INSTRUCTIONS; i++)
        gpu->seen.instruction_count += (uint32_t)was_run(&line[i]);
}

static void keep_line(struct v3d *gpu, uint32_t line_bus, const instruction *line)
{
    for (uint32_t i = 0; i < LINE_INSTRUCTIONS; i++) {
        if (!was_run(&line[i]))
            continue;
        v3d_instruction_profile *p = &gpu->seen.instructions[gpu->seen.instruction_count++];
        memset(p, 0, sizeof *p);
        p->bus = line_bus + 8 * i;
        p->executions = line[i].executions;
        if (line[i].stall != NULL)
            memcpy(p->stall_cycles, line[i].stall, sizeof p->stall_cycles);
    }
}

void observe_mark(struct v3d *gpu, uint32_t number)
{
    for (int i = 0; i < gpu->qpu_count; i++)
        if (gpu->qpus[i].marks <= number)
            return;
    v3d_result *result = gpu->result, now = *result;
    gpu->result = &now;
    collect(gpu);
    gpu->result = result;
    const uint64_t counted[] = {
#define V3D_COUNTER(name) now.name,
        V3D_COUNTERS(V3D_COUNTER)
#undef V3D_COUNTER
    };
    memcpy(gpu->seen.at_marks[number], counted, sizeof counted);
}

const uint64_t *v3d_marks_of(const v3d *gpu)
{
    return gpu->seen.at_marks == NULL ? NULL : gpu->seen.at_marks[0];
}

void observe_code(struct v3d *gpu)
{
    observation *seen = &gpu->seen;
    if (!seen->profile)
        return;
    icache_each(gpu, count_line);
    seen->instructions = malloc((size_t)seen->instruction_count * sizeof *seen->instructions + 1);
    seen->instruction_count = 0;
    if (seen->instructions != NULL)
        icache_each(gpu, keep_line);
}

const v3d_instruction_profile *v3d_profile_of(const v3d *gpu, uint32_t *count)
{
    *count = gpu->seen.instruction_count;
    return gpu->seen.instructions;
}
