/* See pipeline.h. All widths and times are the core model's (core_model.h). */
#include "core_model.h"

#include "memory.h"
#include "pipeline.h"

enum { HISTORY = 16, COUNTERS = 4096, HISTORY_BITS = 255, TARGETS = 256, INSTRUCTION_BYTES = 4 };

pipeline_counts pipeline_counted;

static uint64_t now;
static unsigned slots, lanes;                                         /* taken in this cycle */
static uint64_t ready[REGISTERS], addend_ready[REGISTERS], written[REGISTERS]; /* `written`: one more than the cycle */
static uint64_t unit_free[UNITS], multiplied[HISTORY];                /* `multiplied` likewise */
static uint8_t taken_counters[COUNTERS];
static uint32_t branch_history;
static uint64_t targets[TARGETS];

uint64_t pipeline_cycles(void)
{
    return now;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void advance(uint64_t to)
{
    if (to > now) {
        now = to;
        slots = lanes = 0;
    }
}

static void wait_for_operands(const instruction *in)
{
    uint64_t from = now;
    for (unsigned i = 0; i < in->sources; ++i) {
        const uint64_t at = ready[in->source[i]], slack = i < in->data_sources ? STORE_DATA_CYCLES : 0;
        from = later(from, at > slack ? at - slack : 0);
    }
    if (in->accumulator != NO_REGISTER)
        from = later(from, addend_ready[in->accumulator]);
    pipeline_counted.operands += from - now;
    advance(from);
}

static bool meets_multiply(const instruction *in)
{
    const uint64_t then = now - VECTOR_LOAD_CONFLICT_CYCLES;
    return in->kind == KIND_LOAD && in->is_vector && now >= VECTOR_LOAD_CONFLICT_CYCLES &&
           multiplied[then % HISTORY] == then + 1;
}

static bool can_issue(const instruction *in)
{
    const instruction_class *timing = &in->timing;
    if (slots >= ISSUE_WIDTH || (slots && (timing->first || in->kind == KIND_ALONE)))
        return false;
    if (lanes + timing->lanes > VECTOR_LANES || unit_free[timing->unit] > now)
        return false;
    if (timing->merges && in->results && written[in->result[0]] == now + 1)
        return false;
    return !meets_multiply(in);
}

static void issue(const instruction *in)
{
    wait_for_operands(in);
    while (!can_issue(in)) {
        pipeline_counted.units += slots == 0;
        advance(now + 1);
    }
    ++slots;
    lanes += in->timing.lanes;
    if (in->kind == KIND_ALONE)
        slots = ISSUE_WIDTH;
    if (in->timing.busy)
        unit_free[in->timing.unit] = now + in->timing.busy;
    if (in->timing.multiplies)
        multiplied[now % HISTORY] = now + 1;
}

static void write_results(const instruction *in, uint64_t issued, uint64_t data)
{
    const instruction_class *timing = &in->timing;
    for (unsigned i = 0; i < in->results; ++i) {
        const unsigned place = in->result[i];
        written[place] = issued + 1;
        if (in->writes_back && place < ZERO && i + 1 == in->results) {
            ready[place] = issued + 1;
            continue;
        }
        const uint64_t begun = later(issued, data) + timing->latency + i * timing->next_result;
        uint64_t at = in->kind == KIND_LOAD ? later(begun, issued + timing->issue - 1) : begun;
        if (timing->merges)
            at = later(at, ready[place]);
        ready[place] = place == FLAGS ? issued : at; /* a branch issues beside what sets its flags */
        addend_ready[place] = timing->forward ? issued + timing->forward : at;
    }
}

/* The emulator tells no address of a prefetch: it is that of an access of its block with the same base register. */
static void prefetch(const instruction *in, const memory_access *accesses, size_t count)
{
    ++pipeline_counted.prefetches;
    for (size_t i = 0; in->like >= 0 && i < count; ++i)
        if (accesses[i].instruction == (uint32_t)in->like) {
            memory_load((accesses[i].address + (uint64_t)(int64_t)in->distance) / LINE_BYTES, now);
            return;
        }
    ++pipeline_counted.unknown_prefetches;
}

static void access_memory(const memory_access *access, uint64_t *data, uint64_t *leaves)
{
    const uint64_t first = access->address / LINE_BYTES, last = (access->address + access->bytes - 1) / LINE_BYTES;
    const uint64_t translation = memory_translation(access->address);
    pipeline_counted.memory += translation;
    advance(now + translation);
    for (uint64_t line = first; line <= last; ++line) {
        if (access->is_store)
            *leaves = later(*leaves, memory_store(line, now, access->bytes));
        else
            *data = later(*data, memory_load(line, now));
    }
}

static void run_access(const instruction *in, uint32_t place, const memory_access **access, const memory_access *end,
                       const memory_access *all, size_t count)
{
    uint64_t issued = now, data = 0, leaves = now;
    while (*access < end && (*access)->instruction < place)
        ++*access;
    for (; *access < end && (*access)->instruction == place; ++*access)
        access_memory(*access, &data, &leaves);
    if (in->kind == KIND_PREFETCH)
        prefetch(in, all, count);
    if (leaves > now) {
        pipeline_counted.memory += leaves - now;
        advance(leaves);
        issued = now;
        slots = 1;
        lanes = in->timing.lanes;
    }
    if (in->timing.issue > 1) {
        now += in->timing.issue - 1u;
        slots = 1;
        lanes = in->timing.lanes;
    }
    unit_free[in->timing.unit] = now + 1;
    write_results(in, issued, data);
}

static void predict(const instruction *last, uint64_t end, uint64_t next)
{
    const uint32_t place = (uint32_t)(end / INSTRUCTION_BYTES);
    unsigned penalty = 0;
    if (last->is_conditional) {
        const bool taken = next != end;
        uint8_t *counter = &taken_counters[(place ^ (branch_history << 3)) % COUNTERS];
        penalty = (*counter >= 2) == taken ? 0 : MISPREDICTION_CYCLES;
        if (taken && *counter < 3)
            ++*counter;
        if (!taken && *counter)
            --*counter;
        branch_history = ((branch_history << 1) | taken) & HISTORY_BITS;
    } else if (last->is_indirect && !last->is_return) {
        uint64_t *target = &targets[place % TARGETS];
        penalty = *target == next ? 0 : INDIRECT_MISPREDICTION_CYCLES;
        *target = next;
    }
    if (penalty) {
        ++pipeline_counted.mispredicted;
        pipeline_counted.branches += penalty;
        advance(now + penalty);
    }
}

void pipeline_run(const instruction *block, uint32_t count, uint64_t end, uint64_t next, const memory_access *accesses,
                  size_t access_count)
{
    const memory_access *access = accesses, *const accesses_end = accesses + access_count;
    for (uint32_t i = 0; i < count; ++i) {
        const instruction *in = &block[i];
        ++pipeline_counted.groups[in->timing.group];
        issue(in);
        if (in->kind == KIND_LOAD || in->kind == KIND_STORE || in->kind == KIND_PREFETCH)
            run_access(in, i, &access, accesses_end, accesses, access_count);
        else
            write_results(in, now, 0);
    }
    predict(&block[count - 1], end, next);
}
