/* See pipeline.h. All widths and times are the core model's (core_model.h). */
#include "core_model.h"

#include "memory.h"
#include "pipeline.h"

enum { HISTORY = 16, COUNTERS = 4096, HISTORY_BITS = 255, TARGETS = 256, INSTRUCTION_BYTES = 4 };

typedef struct {
    uint64_t now;
    unsigned slots, lanes; /* taken in this cycle */
    uint64_t ready[REGISTERS], addend_ready[REGISTERS];
    uint64_t written[REGISTERS], multiplied[HISTORY]; /* one more than the cycle */
    uint64_t unit_free[UNITS];
    uint8_t taken_counters[COUNTERS];
    uint32_t branch_history;
    uint64_t targets[TARGETS];
    pipeline_counts counted;
} pipeline;

static pipeline cores[CORES];

uint64_t pipeline_cycles(unsigned core)
{
    return cores[core].now;
}

const pipeline_counts *pipeline_counted(unsigned core)
{
    return &cores[core].counted;
}

static unsigned number_of(const pipeline *core)
{
    return (unsigned)(core - cores);
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void advance(pipeline *core, uint64_t to)
{
    if (to > core->now) {
        core->now = to;
        core->slots = core->lanes = 0;
    }
}

void pipeline_resume(unsigned core, uint64_t at)
{
    advance(&cores[core], at);
}

static void wait_for_operands(pipeline *core, const instruction *in)
{
    uint64_t from = core->now;
    for (unsigned i = 0; i < in->sources; ++i) {
        const uint64_t at = core->ready[in->source[i]], slack = i < in->data_sources ? STORE_DATA_CYCLES : 0;
        from = later(from, at > slack ? at - slack : 0);
    }
    if (in->accumulator != NO_REGISTER)
        from = later(from, core->addend_ready[in->accumulator]);
    core->counted.operands += from - core->now;
    advance(core, from);
}

static bool meets_multiply(pipeline *core, const instruction *in)
{
    const uint64_t then = core->now - VECTOR_LOAD_CONFLICT_CYCLES;
    return in->kind == KIND_LOAD && in->is_vector && core->now >= VECTOR_LOAD_CONFLICT_CYCLES &&
           core->multiplied[then % HISTORY] == then + 1;
}

static bool can_issue(pipeline *core, const instruction *in)
{
    const instruction_class *timing = &in->timing;
    if (core->slots >= ISSUE_WIDTH || (core->slots && (timing->first || in->kind == KIND_ALONE)))
        return false;
    if (core->lanes + timing->lanes > VECTOR_LANES || core->unit_free[timing->unit] > core->now)
        return false;
    if (timing->merges && in->results && core->written[in->result[0]] == core->now + 1)
        return false;
    return !meets_multiply(core, in);
}

static void issue(pipeline *core, const instruction *in)
{
    wait_for_operands(core, in);
    while (!can_issue(core, in)) {
        core->counted.units += core->slots == 0;
        advance(core, core->now + 1);
    }
    ++core->slots;
    core->lanes += in->timing.lanes;
    if (in->kind == KIND_ALONE)
        core->slots = ISSUE_WIDTH;
    if (in->timing.busy)
        core->unit_free[in->timing.unit] = core->now + in->timing.busy;
    if (in->timing.multiplies)
        core->multiplied[core->now % HISTORY] = core->now + 1;
}

static void write_results(pipeline *core, const instruction *in, uint64_t issued, uint64_t data)
{
    const instruction_class *timing = &in->timing;
    for (unsigned i = 0; i < in->results; ++i) {
        const unsigned place = in->result[i];
        core->written[place] = issued + 1;
        if (in->writes_back && place < ZERO && i + 1 == in->results) {
            core->ready[place] = issued + 1;
            continue;
        }
        const uint64_t begun = later(issued, data) + timing->latency + i * timing->next_result;
        uint64_t at = in->kind == KIND_LOAD ? later(begun, issued + timing->issue - 1) : begun;
        if (timing->merges)
            at = later(at, core->ready[place]);
        core->ready[place] = place == FLAGS ? issued : at; /* a branch issues beside what sets its flags */
        core->addend_ready[place] = timing->forward ? issued + timing->forward : at;
    }
}

/* The emulator tells no address of a prefetch: it is that of an access of its block with the same base register. */
static void prefetch(pipeline *core, const instruction *in, const memory_access *accesses, size_t count)
{
    ++core->counted.prefetches;
    for (size_t i = 0; in->like >= 0 && i < count; ++i)
        if (accesses[i].instruction == (uint32_t)in->like) {
            const uint64_t address = accesses[i].address + (uint64_t)(int64_t)in->distance;
            memory_load(number_of(core), address / LINE_BYTES, core->now);
            return;
        }
    ++core->counted.unknown_prefetches;
}

static void access_memory(pipeline *core, const memory_access *access, uint64_t *data, uint64_t *leaves)
{
    const uint64_t first = access->address / LINE_BYTES, last = (access->address + access->bytes - 1) / LINE_BYTES;
    const uint64_t translation = memory_translation(number_of(core), access->address);
    core->counted.memory += translation;
    advance(core, core->now + translation);
    for (uint64_t line = first; line <= last; ++line) {
        if (access->is_store)
            *leaves = later(*leaves, memory_store(number_of(core), line, core->now, access->bytes));
        else
            *data = later(*data, memory_load(number_of(core), line, core->now));
    }
}

/* Of an instruction that takes several cycles to issue: in the last of them another may issue beside it. */
static void hold_issue(pipeline *core, const instruction *in)
{
    if (in->timing.issue <= 1)
        return;
    core->now += in->timing.issue - 1u;
    core->slots = 1;
    core->lanes = in->timing.lanes;
}

static void run_access(pipeline *core, const instruction *in, uint32_t place, const memory_access **access,
                       const memory_access *end, const memory_access *all, size_t count)
{
    uint64_t issued = core->now, data = 0, leaves = core->now;
    while (*access < end && (*access)->instruction < place)
        ++*access;
    for (; *access < end && (*access)->instruction == place; ++*access)
        access_memory(core, *access, &data, &leaves);
    if (in->kind == KIND_PREFETCH)
        prefetch(core, in, all, count);
    if (leaves > core->now) {
        core->counted.memory += leaves - core->now;
        advance(core, leaves);
        issued = core->now;
        core->slots = 1;
        core->lanes = in->timing.lanes;
    }
    hold_issue(core, in);
    core->unit_free[in->timing.unit] = core->now + 1;
    write_results(core, in, issued, data);
}

static void predict(pipeline *core, const instruction *last, uint64_t end, uint64_t next)
{
    const uint32_t place = (uint32_t)(end / INSTRUCTION_BYTES);
    unsigned penalty = 0;
    if (last->is_conditional) {
        const bool taken = next != end;
        uint8_t *counter = &core->taken_counters[(place ^ (core->branch_history << 3)) % COUNTERS];
        penalty = (*counter >= 2) == taken ? 0 : MISPREDICTION_CYCLES;
        if (taken && *counter < 3)
            ++*counter;
        if (!taken && *counter)
            --*counter;
        core->branch_history = ((core->branch_history << 1) | taken) & HISTORY_BITS;
    } else if (last->is_indirect && !last->is_return) {
        uint64_t *target = &core->targets[place % TARGETS];
        penalty = *target == next ? 0 : INDIRECT_MISPREDICTION_CYCLES;
        *target = next;
    }
    if (penalty) {
        ++core->counted.mispredicted;
        core->counted.branches += penalty;
        advance(core, core->now + penalty);
    }
}

void pipeline_run(unsigned number, const instruction *block, uint32_t count, uint64_t end, uint64_t next,
                  const memory_access *accesses, size_t access_count)
{
    pipeline *core = &cores[number];
    const memory_access *access = accesses, *const accesses_end = accesses + access_count;
    for (uint32_t i = 0; i < count; ++i) {
        const instruction *in = &block[i];
        ++core->counted.groups[in->timing.group];
        issue(core, in);
        if (in->kind == KIND_LOAD || in->kind == KIND_STORE || in->kind == KIND_PREFETCH) {
            run_access(core, in, i, &access, accesses_end, accesses, access_count);
        } else {
            write_results(core, in, core->now, 0);
            hold_issue(core, in);
        }
    }
    predict(core, &block[count - 1], end, next);
}
