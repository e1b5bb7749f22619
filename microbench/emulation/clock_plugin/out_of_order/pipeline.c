/*
 * See pipeline.h: out-of-order cores. All widths and times are the core model's (core_model.h).
 *
 * Instructions come in program order, and each is given all of its times at once: of its dispatch, which is in order and
 * waits for entries of the reorder buffer and of the pipes' queues; of its micro-operations' issue, the first cycle with
 * operands in which a pipe is free (so of two that are ready the older goes first); of its results; and of its
 * retirement, in order. A core's clock is that of its dispatch. Accesses to memory are at the times of their issue,
 * stores at those of their retirement. Renaming leaves no dependences but true ones.
 */
#include "core_model.h"

#include "memory.h"
#include "pipeline.h"

enum { CALENDAR = 1 << 14, MOST_ISSUES = 16, COUNTER_MOST = 3, TARGETS = 1 << 11, INSTRUCTION_BYTES = 4 };
enum { FORWARDED = 1 << 10, FORWARDED_BYTES = 8 };

typedef struct {
    uint64_t now;            /* of dispatch */
    unsigned dispatched;     /* slots of this cycle */
    uint64_t head;           /* slots so far */
    uint64_t freed[REORDER_ENTRIES]; /* when each slot's last holder retired */
    uint64_t retired;        /* the latest retirement */
    uint64_t queued[PIPES][QUEUE_ENTRIES]; /* when each entry's holder leaves */
    uint64_t taken[PIPES][CALENDAR];       /* one more than the cycle that is taken */
    uint64_t ready[REGISTERS], addend_ready[REGISTERS];
    struct {
        uint64_t place, ready; /* of stored words, when a later load has them */
    } forwarded[FORWARDED];
    uint64_t block_begun; /* after the last branch that was taken */
    uint8_t taken_counters[PREDICTOR_ENTRIES];
    uint32_t branch_history;
    uint64_t targets[TARGETS];
    pipeline_counts counted;
} pipeline;

typedef struct {
    uint64_t at[MOST_ISSUES]; /* of its micro-operations */
    unsigned count;
} issues;

static pipeline cores[CORES];
static const uint32_t unit_pipes[UNITS] = UNIT_PIPES; /* a bit for each */

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

/* Counts what dispatch waited, where there is something to count it in. */
static void advance(pipeline *core, uint64_t to, uint64_t *waited)
{
    if (to <= core->now)
        return;
    if (waited)
        *waited += to - core->now;
    core->now = to;
    core->dispatched = 0;
}

void pipeline_resume(unsigned core, uint64_t at)
{
    advance(&cores[core], at, NULL);
}

static unsigned slots_of(const instruction *in)
{
    return in->timing.slots * (in->timing.issue ? in->timing.issue : 1u) + in->timing.slots_once + in->writes_back;
}

static void dispatch(pipeline *core, unsigned slots)
{
    for (unsigned i = 0; i < slots; ++i) {
        advance(core, core->freed[core->head % REORDER_ENTRIES], &core->counted.units);
        if (core->dispatched == DISPATCH_WIDTH)
            advance(core, core->now + 1, NULL);
        ++core->dispatched;
        ++core->head;
    }
}

static void retire(pipeline *core, unsigned slots, uint64_t at)
{
    core->retired = later(core->retired, at);
    for (unsigned i = 1; i <= slots && i <= REORDER_ENTRIES; ++i)
        core->freed[(core->head - i) % REORDER_ENTRIES] = core->retired;
}

static uint64_t operands_ready(const pipeline *core, const instruction *in)
{
    uint64_t from = core->now + 1;
    for (unsigned i = 0; i < in->sources; ++i)
        from = later(from, core->ready[in->source[i]]);
    if (in->accumulator != NO_REGISTER)
        from = later(from, core->addend_ready[in->accumulator]);
    if (in->timing.merges && in->results)
        from = later(from, core->ready[in->result[0]]);
    return from;
}

static uint64_t free_cycle(const pipeline *core, unsigned pipe, uint64_t from)
{
    while (core->taken[pipe][from % CALENDAR] == from + 1)
        ++from;
    return from;
}

static unsigned soonest(const uint64_t *times)
{
    unsigned best = 0;
    for (unsigned i = 1; i < QUEUE_ENTRIES; ++i)
        if (times[i] < times[best])
            best = i;
    return best;
}

static uint64_t issue_one(pipeline *core, const instruction *in, uint64_t ready)
{
    const uint32_t pipes = unit_pipes[in->timing.unit];
    unsigned best_pipe = 0, best_entry = 0;
    uint64_t best = UINT64_MAX;
    if (!pipes)
        return ready;
    for (unsigned pipe = 0; pipe < PIPES; ++pipe) {
        if (!(pipes >> pipe & 1))
            continue;
        const unsigned entry = soonest(core->queued[pipe]);
        const uint64_t at = free_cycle(core, pipe, later(ready, core->queued[pipe][entry] + 1));
        if (at < best) {
            best = at;
            best_pipe = pipe;
            best_entry = entry;
        }
    }
    advance(core, core->queued[best_pipe][best_entry], &core->counted.operands);
    core->queued[best_pipe][best_entry] = best;
    for (unsigned i = 0; i < in->timing.busy; ++i)
        core->taken[best_pipe][(best + i) % CALENDAR] = best + i + 1;
    return best;
}

static issues issue(pipeline *core, const instruction *in)
{
    const uint64_t ready = operands_ready(core, in);
    issues done = {.count = in->timing.issue < MOST_ISSUES ? in->timing.issue : MOST_ISSUES};
    if (done.count == 0)
        done.count = 1;
    for (unsigned i = 0; i < done.count; ++i)
        done.at[i] = issue_one(core, in, ready);
    return done;
}

/* The emulator tells no address of a prefetch: it is that of an access of its block with the same base register. */
static void prefetch(pipeline *core, const instruction *in, uint64_t at, const memory_access *accesses, size_t count)
{
    ++core->counted.prefetches;
    for (size_t i = 0; in->like >= 0 && i < count; ++i)
        if (accesses[i].instruction == (uint32_t)in->like) {
            const uint64_t address = accesses[i].address + (uint64_t)(int64_t)in->distance;
            memory_load(number_of(core), address / LINE_BYTES, at);
            return;
        }
    ++core->counted.unknown_prefetches;
}

/* When a load's result is there beyond its latency, if anything delays it: its lines, and what an earlier store holds. */
static uint64_t loaded(pipeline *core, const memory_access *access, uint64_t at, unsigned latency)
{
    const uint64_t translated = at + memory_translation(number_of(core), access->address);
    const uint64_t last = access->address + access->bytes - 1;
    uint64_t data = translated;
    for (uint64_t line = access->address / LINE_BYTES; line <= last / LINE_BYTES; ++line)
        data = later(data, memory_load(number_of(core), line, translated));
    data += latency;
    for (uint64_t place = access->address / FORWARDED_BYTES; place <= last / FORWARDED_BYTES; ++place)
        if (core->forwarded[place % FORWARDED].place == place)
            data = later(data, core->forwarded[place % FORWARDED].ready);
    return data;
}

static void remember(pipeline *core, const memory_access *access, uint64_t at)
{
    const uint64_t last = (access->address + access->bytes - 1) / FORWARDED_BYTES;
    const uint64_t ready = at + STORE_FORWARD_CYCLES;
    for (uint64_t place = access->address / FORWARDED_BYTES; place <= last; ++place) {
        core->forwarded[place % FORWARDED].place = place;
        core->forwarded[place % FORWARDED].ready = ready;
    }
}

/* A store goes on once it retires; where its buffer is full, retirement waits. */
static uint64_t stored(pipeline *core, const memory_access *access, uint64_t at)
{
    const uint64_t last = (access->address + access->bytes - 1) / LINE_BYTES;
    uint64_t leaves = at + memory_translation(number_of(core), access->address);
    for (uint64_t line = access->address / LINE_BYTES; line <= last; ++line)
        leaves = later(leaves, memory_store(number_of(core), line, leaves, access->bytes));
    core->counted.memory += leaves - at;
    return leaves;
}

/* Which of an instruction's micro-operations has its result of that number. */
static uint64_t issued_for(const issues *done, unsigned result, unsigned results)
{
    const unsigned upto = (result + 1) * done->count / results;
    return done->at[upto ? upto - 1 : 0];
}

/* Returns when the last of them is there. */
static uint64_t write_results(pipeline *core, const instruction *in, const issues *done, uint64_t data)
{
    const instruction_class *timing = &in->timing;
    const unsigned moved = in->results - (in->writes_back && in->results);
    uint64_t complete = done->at[done->count - 1] + 1;
    for (unsigned i = 0; i < moved; ++i) {
        const unsigned place = in->result[i];
        const uint64_t issued = issued_for(done, i, moved), begun = later(issued + timing->latency, data);
        const uint64_t at = begun + (done->count == 1 ? i * timing->next_result : 0);
        core->ready[place] = at;
        core->addend_ready[place] = timing->forward ? issued + timing->forward : at;
        complete = later(complete, at);
    }
    if (moved < in->results) { /* the base, which waits for no data */
        const unsigned place = in->result[moved];
        core->ready[place] = core->addend_ready[place] = later(core->now + 1, core->ready[place]) + 1;
    }
    return complete;
}

static uint64_t run_access(pipeline *core, const instruction *in, uint32_t place, const issues *done,
                           const memory_access **access, const memory_access *end, uint64_t *retires)
{
    uint64_t data = 0;
    while (*access < end && (*access)->instruction < place)
        ++*access;
    for (unsigned i = 0; *access < end && (*access)->instruction == place; ++*access, ++i) {
        const uint64_t at = done->at[i < done->count ? i : done->count - 1];
        if ((*access)->is_store) {
            remember(core, *access, done->at[0]);
            *retires = stored(core, *access, later(*retires, at + 1));
        } else {
            data = later(data, loaded(core, *access, at, in->timing.latency));
        }
    }
    return data;
}

static void mispredicted(pipeline *core, uint64_t known, uint64_t cycles)
{
    ++core->counted.mispredicted;
    advance(core, known + cycles, &core->counted.branches);
}

static void predict(pipeline *core, const instruction *last, uint64_t known, uint64_t end, uint64_t next)
{
    const uint32_t place = (uint32_t)(end / INSTRUCTION_BYTES);
    const bool taken = next != end;
    if (last->is_conditional) {
        uint8_t *counter = &core->taken_counters[(place ^ core->branch_history) % PREDICTOR_ENTRIES];
        const bool wrong = (*counter > COUNTER_MOST / 2) != taken;
        if (taken && *counter < COUNTER_MOST)
            ++*counter;
        if (!taken && *counter)
            --*counter;
        core->branch_history = (core->branch_history << 1 | taken) & ((1u << PREDICTOR_HISTORY_BITS) - 1);
        if (wrong)
            mispredicted(core, known, MISPREDICTION_CYCLES);
    } else if (last->is_indirect && !last->is_return) {
        uint64_t *target = &core->targets[place % TARGETS];
        if (*target != next)
            mispredicted(core, known, MISPREDICTION_CYCLES);
        *target = next;
    }
    if (taken) { /* those are fetched no faster */
        advance(core, core->block_begun + TAKEN_BRANCH_CYCLES, NULL);
        core->block_begun = core->now;
    }
}

void pipeline_run(unsigned number, const instruction *block, uint32_t count, uint64_t end, uint64_t next,
                  const memory_access *accesses, size_t access_count)
{
    pipeline *core = &cores[number];
    const memory_access *access = accesses, *const accesses_end = accesses + access_count;
    uint64_t known = 0;
    for (uint32_t i = 0; i < count; ++i) {
        const instruction *in = &block[i];
        const unsigned slots = slots_of(in);
        ++core->counted.groups[in->timing.group];
        dispatch(core, slots);
        if (in->kind == KIND_ALONE) /* it begins when all before it have ended */
            advance(core, core->retired, NULL);
        const issues done = issue(core, in);
        uint64_t data = 0, retires = core->retired;
        if (in->kind == KIND_LOAD || in->kind == KIND_STORE)
            data = run_access(core, in, i, &done, &access, accesses_end, &retires);
        if (in->kind == KIND_PREFETCH)
            prefetch(core, in, done.at[0], accesses, access_count);
        retire(core, slots, later(retires, write_results(core, in, &done, data)));
        if (in->kind == KIND_ALONE)
            advance(core, core->retired, NULL);
        known = done.at[done.count - 1];
    }
    predict(core, &block[count - 1], known, end, next);
}
