/* See pipeline.h: cores in 32-bit state. All widths and times are the core model's (core_model.h). */
#include "core_model.h"

#include "memory.h"
#include "pipeline.h"
#include "threads.h"

enum { HISTORY = 16, INSTRUCTION_BYTES = 4, COUNTER_MOST = 3 };

typedef struct {
    uint64_t now;
    unsigned slots, lanes; /* taken in this cycle */
    uint64_t ready[REGISTERS], addend_ready[REGISTERS];
    uint64_t written[REGISTERS], multiplied[HISTORY]; /* one more than the cycle */
    uint64_t unit_free[UNITS], flags_set;
    uint8_t taken_counters[PREDICTOR_ENTRIES];
    uint32_t branch_history;
    uint64_t targets[INDIRECT_TARGETS + 1];
    pipeline_counts counted;
} pipeline;

static pipeline cores[CORES];

/* So many cycles earlier than another operand is one of this role read. */
static const int EARLY[ROLES] = {[ADDRESS] = ADDRESS_EARLY_CYCLES,
                                 [SHIFTED] = SHIFTED_EARLY_CYCLES,
                                 [FACTOR] = FACTOR_EARLY_CYCLES,
                                 [STORED] = STORED_EARLY_CYCLES,
                                 [STORED_VECTOR] = STORED_VECTOR_EARLY_CYCLES};

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
        const unsigned place = in->source[i], role = in->role[i];
        const uint64_t at = role == ADDEND ? core->addend_ready[place] : core->ready[place];
        if (at > core->now || EARLY[role] > 0) {
            const int64_t wanted = (int64_t)at + EARLY[role];
            from = later(from, at && wanted > 0 ? (uint64_t)wanted : 0);
        }
    }
    for (unsigned i = 0; VECTORS_WAIT_FOR_RESULTS && i < in->results; ++i)
        if (in->result[i] >= VECTORS && in->result[i] < FLAGS)
            from = later(from, core->ready[in->result[i]]);
    core->counted.operands += from - core->now;
    advance(core, from);
}

static bool meets_multiply(const pipeline *core, const instruction *in)
{
    const uint64_t then = core->now - VECTOR_LOAD_CONFLICT_CYCLES;
    return VECTOR_LOAD_CONFLICT_CYCLES && in->kind == KIND_LOAD && in->is_vector &&
           core->now >= VECTOR_LOAD_CONFLICT_CYCLES && core->multiplied[then % HISTORY] == then + 1;
}

static bool can_issue(const pipeline *core, const instruction *in)
{
    const instruction_class *timing = &in->timing;
    if (core->slots >= ISSUE_WIDTH || (core->slots && (timing->first || timing->alone)))
        return false;
    if (core->lanes + timing->lanes > VECTOR_LANES || core->unit_free[timing->unit] > core->now)
        return false;
    if (timing->merges && in->results && core->written[in->result[0]] == core->now + 1)
        return false;
    return !meets_multiply(core, in);
}

static void issue(pipeline *core, const instruction *in)
{
    const instruction_class *timing = &in->timing;
    wait_for_operands(core, in);
    if (timing->issue == 0) /* a branch that is folded away */
        return;
    while (!can_issue(core, in)) {
        core->counted.units += core->slots == 0;
        advance(core, core->now + 1);
    }
    ++core->slots;
    core->lanes += timing->lanes;
    if (timing->alone)
        core->slots = ISSUE_WIDTH;
    if (timing->busy)
        core->unit_free[timing->unit] = core->now + timing->busy;
    if (timing->multiplies)
        core->multiplied[core->now % HISTORY] = core->now + 1;
}

static void write_results(pipeline *core, const instruction *in, uint64_t issued, uint64_t data)
{
    const instruction_class *timing = &in->timing;
    for (unsigned i = 0; i < in->results; ++i) {
        const unsigned place = in->result[i], beat = i / timing->beat_words;
        core->written[place] = issued + 1;
        if (in->writes_back && i + 1 == in->results) {
            core->ready[place] = core->addend_ready[place] = issued + 1;
            continue;
        }
        const uint64_t begun = later(issued, data) + timing->latency + beat * timing->next_result;
        uint64_t at = in->kind == KIND_LOAD && timing->issue ? later(begun, issued + timing->issue - 1) : begun;
        if (timing->merges)
            at = later(at, core->ready[place]);
        core->ready[place] = at;
        core->addend_ready[place] = timing->forward ? issued + timing->forward : at;
        if (place == FLAGS)
            core->flags_set = issued;
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
    core->slots = in->timing.alone ? ISSUE_WIDTH : 1;
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
    core->unit_free[in->timing.unit] = later(core->now + 1, issued + in->timing.busy);
    write_results(core, in, issued, data);
}

static uint64_t wrong_direction(pipeline *core, uint32_t place, bool taken)
{
    uint8_t *counter = &core->taken_counters[(place ^ (core->branch_history << 3)) % PREDICTOR_ENTRIES];
    const bool wrong = (*counter > COUNTER_MOST / 2) != taken;
    const uint64_t distance = core->now - core->flags_set; /* the sooner they were set, the sooner it is known */
    if (taken && *counter < COUNTER_MOST)
        ++*counter;
    if (!taken && *counter)
        --*counter;
    core->branch_history = ((core->branch_history << 1) | taken) & ((1u << PREDICTOR_HISTORY_BITS) - 1);
    if (!wrong)
        return 0;
    return distance + MISPREDICTION_LEAST_CYCLES < MISPREDICTION_CYCLES ? MISPREDICTION_CYCLES - distance
                                                                       : MISPREDICTION_LEAST_CYCLES;
}

static void predict(pipeline *core, const instruction *last, uint64_t end, uint64_t next)
{
    const uint32_t place = (uint32_t)(end / INSTRUCTION_BYTES);
    uint64_t penalty = 0;
    if (last->is_conditional) {
        penalty = wrong_direction(core, place, next != end);
    } else if (INDIRECT_TARGETS && last->is_indirect && !last->is_return) {
        uint64_t *target = &core->targets[place % (INDIRECT_TARGETS + 1)];
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
    const instruction *last = &block[count - 1];
    const bool goes_on = last->kind != KIND_BRANCH && !last->is_indirect;
    if (next % INSTRUCTION_BYTES || (goes_on && next != end))
        threads_refuse("T32 (Thumb) code or a signal came, neither of which is modelled: compile for A32");
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
    predict(core, last, end, next);
}
