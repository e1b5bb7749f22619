/* The whole core: creation, launches, and whose turn it is. */
#include "v3d.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fpmode.h"
#include "instruction.h"
#include "internal.h"

/* ---- failure ---- */

static void append_words(char *message, size_t size, const qpu *q)
{
    size_t used = strlen(message);
    for (int i = -2; i <= 2 && used < size; i++) {
        uint32_t bus = q->pc + 8u * (uint32_t)i;
        const uint8_t *memory = memory_at(q->gpu, bus, 8);
        uint64_t word;
        if (memory == NULL)
            continue;
        memcpy(&word, memory, sizeof word);
        int n = snprintf(message + used, size - used, "%s%s0x%016llx", i == -2 ? "" : " ", i == 0 ? ">" : "",
                         (unsigned long long)word);
        used += n > 0 ? (size_t)n : 0;
    }
}

#if defined(__GNUC__)
__attribute__((noreturn, format(printf, 3, 0)))
#endif
static void stop(qpu *q, int status, const char *rule, va_list arguments)
{
    v3d_result *result = q->gpu->result;
    int used = vsnprintf(result->message, sizeof result->message, rule, arguments);
    if (used >= 0 && (size_t)used < sizeof result->message) {
        snprintf(result->message + used, sizeof result->message - (size_t)used,
                 " (QPU %d, instruction %d at 0x%08x, cycle %llu; words ", q->index, instruction_number(q), q->pc,
                 (unsigned long long)q->now);
        append_words(result->message, sizeof result->message, q);
        strncat(result->message, ")", sizeof result->message - strlen(result->message) - 1);
    }
    result->status = status;
    result->stopped_bus[q->index] = q->pc;
    longjmp(q->gpu->failure, 1);
}

void v3d_fail(qpu *q, int status, const char *rule, ...)
{
    va_list arguments;
    va_start(arguments, rule);
    stop(q, status, rule, arguments);
}

/* Silicon goes on: an instruction that broke a rule is counted, once however many it broke. */
void broken_rule(qpu *q, const char *rule, ...)
{
    va_list arguments;
    va_start(arguments, rule);
    if (q->gpu->strict)
        stop(q, V3D_HAZARD, rule, arguments);
    va_end(arguments);
    if (q->tolerated_bus == q->pc && q->tolerated_at == q->now)
        return;
    q->tolerated_bus = q->pc;
    q->tolerated_at = q->now;
    q->gpu->result->tolerated_hazards++;
}

void v3d_warn(const qpu *q, enum v3d_warning warning, uint32_t bus)
{
    v3d_warned *w = &q->gpu->result->warned[warning];
    if (w->count++ == 0) {
        w->bus = bus;
        w->qpu = (uint32_t)q->index;
        w->instruction = (int32_t)(bus - q->code_bus) / 8;
    }
    q->gpu->result->warnings++;
}

static void fail_launch(struct v3d *gpu, int status, const char *message)
{
    snprintf(gpu->result->message, sizeof gpu->result->message, "%s", message);
    gpu->result->status = status;
    longjmp(gpu->failure, 1);
}

/* ---- creation ---- */

static cycles in_cycles(const v3d_config *config, double seconds)
{
    return (cycles)(seconds * config->clock_hz + 0.5);
}

static void take_constants(struct v3d *gpu)
{
    const v3d_config *c = &gpu->config;
    gpu->qpus_per_slice = (int)c->qpus_per_slice;
    gpu->tmus_per_slice = (int)c->tmus_per_slice;
    gpu->slices = ((int)c->qpus + gpu->qpus_per_slice - 1) / gpu->qpus_per_slice;
    gpu->issue = (cycles)c->issue_cycles;
    gpu->tmu_request = (cycles)c->tmu_cycles_per_request;
    gpu->tmu_hit = (cycles)c->tmu_hit_latency_cycles;
    gpu->tmu_depth = (int)c->tmu_queue_depth;
    gpu->l2_latency = (cycles)c->l2_latency_cycles;
    gpu->line_extra[0][CLIENT_ICACHE] = gpu->line_extra[1][CLIENT_ICACHE] = (cycles)c->icache_extra_cycles;
    gpu->line_extra[0][CLIENT_UNIFORM] = (cycles)c->uniform_l2_extra_cycles;
    gpu->line_extra[1][CLIENT_UNIFORM] = in_cycles(c, c->uniform_sdram_extra_s);
    gpu->sdram_latency = in_cycles(c, c->sdram_latency_s);
    gpu->vpm_vector = (cycles)c->vpm_vector_cycles;
    gpu->vpm_read = (cycles)c->vpm_read_latency_cycles;
    gpu->vpm_fifo = (int)c->vpm_write_fifo_vectors;
    gpu->vpm_rows = (int)c->vpm_rows;
    gpu->uniform_fifo = (int)c->uniform_fifo_words;
    gpu->uniform_burst = (int)c->uniform_burst_words;
    gpu->uniform_refill = c->uniform_refill_cycles;
    gpu->uniform_pause = (cycles)((c->uniform_pause_instructions + 1) * c->issue_cycles);
    gpu->sfu_time = (cycles)c->sfu_cycles;
    gpu->sfu_qpus = gpu->qpus_per_slice;
    gpu->fmul_nearest = c->fmul_rounds_to_nearest != 0;
    gpu->sfu_bits[SFU_RECIP] = (int)c->sfu_recip_bits;
    gpu->sfu_bits[SFU_RECIPSQRT] = (int)c->sfu_recipsqrt_bits;
    gpu->sfu_bits[SFU_EXP] = (int)c->sfu_exp_bits;
    gpu->sfu_bits[SFU_LOG] = (int)c->sfu_log_bits;
    gpu->store.costs = (dma_costs){c->vdw_setup_s * c->clock_hz, c->vdw_row_cycles, c->vdw_byte_cycles};
    gpu->load.costs = (dma_costs){c->vdr_setup_s * c->clock_hz, c->vdr_row_cycles, c->vdr_byte_cycles};
    gpu->lowest_first = c->lowest_qpu_first != 0;
    gpu->memory_bytes = (uint32_t)c->gpu_memory_bytes;
}

#define MOST_OF_A_CONSTANT 1e12
enum { LONGEST_BURST = 1 << 20, MANTISSA_BITS = 24 };

/* No constant of a board is negative, and none is so large that a count or a time in whole cycles could not hold it. */
static int are_numbers(const v3d_config *c)
{
    const double values[] = {
#define V3D_FIELD(name) c->name,
        V3D_CONFIG_FIELDS(V3D_FIELD)
#undef V3D_FIELD
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (!(values[i] >= 0 && values[i] <= MOST_OF_A_CONSTANT)) /* false of what is no number */
            return 0;
    return 1;
}

/* What is counted is a whole number, at most so many. */
static int is_count(double value, int least, int most)
{
    return value >= least && value <= most && value == (int)value;
}

static int makes_sense(const v3d_config *c)
{
    return are_numbers(c) && c->clock_hz > 0 && is_count(c->qpus, 1, MAX_QPUS) && is_count(c->qpus_per_slice, 1, MAX_QPUS) &&
           is_count(c->tmus_per_slice, 1, 2) && c->issue_cycles >= 1 && is_count(c->tmu_queue_depth, 1, TMU_QUEUE_MAX) &&
           is_count(c->vpm_write_fifo_vectors, 1, 8) && is_count(c->uniform_fifo_words, 0, LINE_WORDS - 1) &&
           is_count(c->uniform_burst_words, 0, LONGEST_BURST) && is_count(c->sfu_recip_bits, 0, MANTISSA_BITS) &&
           is_count(c->sfu_recipsqrt_bits, 0, MANTISSA_BITS) && is_count(c->sfu_exp_bits, 0, MANTISSA_BITS) &&
           is_count(c->sfu_log_bits, 0, MANTISSA_BITS) && c->sdram_bytes_per_s > 0 && c->memory_bytes_per_cycle > 0 &&
           c->l2_bytes_per_cycle > 0 && c->vpm_rows == VPM_ROWS_MAX && c->gpu_memory_bytes >= 4096 &&
           c->gpu_memory_bytes <= 0x40000000;
}

static int create_caches(struct v3d *gpu)
{
    const v3d_config *c = &gpu->config;
    int failed = cache_create(&gpu->l2, c->l2_bytes, c->l2_ways);
    if (c->memory_is_cached)
        failed |= cache_create(&gpu->system_l2, c->system_l2_bytes, c->system_l2_ways);
    for (int t = 0; t < gpu->slices * gpu->tmus_per_slice; t++)
        failed |= cache_create(&gpu->tmu[t].l1, c->tmu_l1_bytes, 1);
    for (int s = 0; s < gpu->slices; s++) {
        failed |= cache_create(&gpu->uniform_cache[s], c->uniform_cache_bytes, c->uniform_cache_ways);
        failed |= cache_create(&gpu->icache[s], c->icache_bytes, c->icache_ways);
    }
    return failed;
}

v3d *v3d_new(const v3d_config *config, int strict)
{
    if (!makes_sense(config))
        return NULL;
    v3d *gpu = aligned_alloc(64, (sizeof *gpu + 63) / 64 * 64);
    if (gpu == NULL)
        return NULL;
    memset(gpu, 0, sizeof *gpu);
    gpu->config = *config;
    gpu->strict = strict;
    take_constants(gpu);
    gpu->memory = calloc(gpu->memory_bytes, 1);
    if (gpu->memory == NULL || create_caches(gpu)) {
        v3d_delete(gpu);
        return NULL;
    }
    memset(gpu->vpm, 0xff, sizeof gpu->vpm);
    return gpu;
}

void v3d_behave(v3d *gpu, const v3d_habits *habits)
{
    gpu->sfu_qpus = habits->sfu_qpus >= 1 ? (int)habits->sfu_qpus : gpu->qpus_per_slice;
    gpu->spared_uniform_lines = habits->spared_uniform_lines != 0;
}

void v3d_delete(v3d *gpu)
{
    if (gpu == NULL)
        return;
    while (gpu->allocations != NULL)
        v3d_free(gpu, gpu->allocations->bus);
    observe_free(&gpu->seen);
    free(gpu->l2.lines);
    free(gpu->system_l2.lines);
    for (int t = 0; t < MAX_TMUS; t++)
        free(gpu->tmu[t].l1.lines);
    for (int s = 0; s < MAX_SLICES; s++) {
        free(gpu->uniform_cache[s].lines);
        free(gpu->icache[s].lines);
    }
    free(gpu->memory);
    free(gpu);
}

/* ---- launch ---- */

static void clear_caches(struct v3d *gpu)
{
    cache_clear(&gpu->l2);
    if (gpu->system_l2.sets)
        cache_clear(&gpu->system_l2);
    for (int t = 0; t < gpu->slices * gpu->tmus_per_slice; t++)
        cache_clear(&gpu->tmu[t].l1);
    for (int s = 0; s < gpu->slices; s++) {
        cache_clear(&gpu->uniform_cache[s]);
        cache_clear(&gpu->icache[s]);
    }
}

/* The core's own way to memory moves so many bytes a cycle, up to what SDRAM does. */
static double memory_bytes_per_cycle(const v3d_config *c)
{
    double own = c->memory_is_cached ? c->cached_memory_bytes_per_cycle : c->memory_bytes_per_cycle;
    double sdram = c->sdram_bytes_per_s / c->clock_hz;
    return own < sdram ? own : sdram;
}

static void reset_machine(struct v3d *gpu, int noflush)
{
    if (noflush)
        memory_recheck(gpu);
    else
        clear_caches(gpu);
    for (int t = 0; t < gpu->slices * gpu->tmus_per_slice; t++)
        gpu->tmu[t].free = gpu->tmu[t].last_ready = 0;
    memset(gpu->sfu_free, 0, sizeof gpu->sfu_free);
    memset(gpu->semaphore_by, 0, sizeof gpu->semaphore_by);
    gpu->mutex_owner = -1;
    for (int r = 0; r < RESOURCES; r++)
        gpu->promised[r] = -1;
    gpu->woken = 0;
    gpu->qpu_count = 0;
    bandwidth_reset(&gpu->sdram, memory_bytes_per_cycle(&gpu->config));
    bandwidth_reset(&gpu->l2_port, gpu->config.l2_bytes_per_cycle);
    if (gpu->system_l2.sets)
        bandwidth_reset(&gpu->system_port, gpu->config.system_l2_bytes_per_cycle);
    vpm_reset(gpu);
    observe_reset(gpu);
}

static void start_qpus(struct v3d *gpu, uint32_t count, uint32_t control_bus)
{
    uint32_t pairs[2 * MAX_QPUS];
    char message[128];
    if (count < 1 || count > (uint32_t)gpu->config.qpus)
        fail_launch(gpu, V3D_USAGE, "a launch takes at least one QPU and at most those there are");
    const uint8_t *control = memory_at(gpu, control_bus, 8 * count);
    if (control == NULL)
        fail_launch(gpu, V3D_STRAY, "stray access: the control list lies outside the allocations");
    memcpy(pairs, control, 8 * count);
    for (uint32_t i = 0; i < count; i++) {
        if (memory_at(gpu, pairs[2 * i + 1], 8) == NULL) {
            snprintf(message, sizeof message, "stray access: the code address 0x%08x of QPU %u lies outside the allocations",
                     pairs[2 * i + 1], i);
            fail_launch(gpu, V3D_STRAY, message);
        }
        gpu->qpu_count = (int)i + 1;
        qpu_reset(&gpu->qpus[i], gpu, (int)i, pairs[2 * i], pairs[2 * i + 1]);
        gpu->turns[i] = turn_of(&gpu->qpus[i]);
    }
}

static const char *waits_for(const qpu *q)
{
    return q->blocked_on == CAUSE_MUTEX ? "the mutex" : q->blocked_up ? "room in semaphore" : "semaphore";
}

static void fail_deadlock(struct v3d *gpu)
{
    char *message = gpu->result->message, which[16];
    size_t size = sizeof gpu->result->message, used;
    snprintf(message, size, "deadlock:");
    for (int i = 0; i < gpu->qpu_count; i++) {
        const qpu *q = &gpu->qpus[i];
        if (q->state != QPU_BLOCKED)
            continue;
        used = strlen(message);
        which[0] = 0;
        if (q->blocked_on == CAUSE_SEMAPHORE)
            snprintf(which, sizeof which, " %d", q->blocked_what);
        snprintf(message + used, size - used, " QPU %d waits for %s%s at instruction %d;", i, waits_for(q), which,
                 instruction_number(q));
        gpu->result->stopped_bus[i] = q->pc;
    }
    used = strlen(message);
    snprintf(message + used, size - used, " every other QPU has ended");
    gpu->result->status = V3D_DEADLOCK;
    longjmp(gpu->failure, 1);
}

/* The running QPU whose turn is first, NULL where none runs, and the turn after it. */
static qpu *first_in_turn(struct v3d *gpu, uint64_t *next_turn)
{
    uint64_t first = NO_TURN, next = NO_TURN;
    for (int i = 0; i < gpu->qpu_count; i++) {
        uint64_t turn = gpu->turns[i];
        next = turn < first ? first : turn < next ? turn : next;
        first = turn < first ? turn : first;
    }
    *next_turn = next;
    return first == NO_TURN ? NULL : &gpu->qpus[first % MAX_QPUS];
}

static void run_qpus(struct v3d *gpu)
{
    uint64_t next_turn;
    for (;;) {
        qpu *q = first_in_turn(gpu, &next_turn);
        if (q == NULL)
            break;
        if (gpu->cancelled)
            fail_launch(gpu, V3D_CANCELLED, "cancelled");
        if (q->now > gpu->time_limit)
            v3d_fail(q, V3D_TIMEOUT, "time limit of %g simulated seconds passed",
                     (double)gpu->time_limit / gpu->config.clock_hz);
        qpu_run(q, next_turn);
        gpu->turns[q->index] = q->state == QPU_RUNNING ? turn_of(q) : NO_TURN;
    }
    for (int i = 0; i < gpu->qpu_count; i++)
        if (gpu->qpus[i].state == QPU_BLOCKED)
            fail_deadlock(gpu);
}

/* The next launch finds semaphores as they are; a test of py-videocore leaves one so, and is right by itself. */
static void check_semaphores(struct v3d *gpu)
{
    for (int s = 0; s < SEMAPHORES; s++)
        if (gpu->semaphores[s] != 0 && gpu->semaphore_by[s] != NULL)
            v3d_warn(gpu->semaphore_by[s], V3D_WARNING_semaphore_left, gpu->semaphore_bus[s]);
}

static void check_mutex(struct v3d *gpu)
{
    if (gpu->mutex_owner < 0)
        return;
    if (gpu->strict)
        fail_launch(gpu, V3D_HAZARD, "the mutex is still held at the end of the launch");
    gpu->result->tolerated_hazards++;
}

static void finish(struct v3d *gpu)
{
    cycles end = later(gpu->store.pending ? gpu->store.free : 0, gpu->load.free);
    dma_commit_store(gpu, UINT64_MAX);
    for (int i = 0; i < gpu->qpu_count; i++)
        end = later(end, gpu->qpus[i].now);
    gpu->result->cycles = end;
    gpu->result->time_s = (double)end / gpu->config.clock_hz + gpu->config.launch_overhead_s;
    gpu->ended = 1;
    check_semaphores(gpu);
    check_mutex(gpu);
}

static void count_operations(struct v3d *gpu, uint32_t line_bus, const instruction *line)
{
    (void)line_bus;
    for (int i = 0; i < LINE_INSTRUCTIONS; i++) {
        gpu->result->instructions += line[i].executions;
        gpu->result->add_operations += line[i].op_add ? line[i].executions : 0;
        gpu->result->mul_operations += line[i].op_mul ? line[i].executions : 0;
    }
}

void collect(struct v3d *gpu)
{
    v3d_result *r = gpu->result;
    icache_each(gpu, count_operations);
    for (int i = 0; i < gpu->qpu_count; i++) {
        const qpu *q = &gpu->qpus[i];
        r->uniform_words += q->uniform_words;
        r->tmu_stall_cycles += q->stall[CAUSE_TMU];
        r->uniform_stall_cycles += q->stall[CAUSE_UNIFORM];
        r->vpm_stall_cycles += q->stall[CAUSE_VPM];
        r->dma_stall_cycles += q->stall[CAUSE_DMA];
        r->semaphore_stall_cycles += q->stall[CAUSE_SEMAPHORE];
        r->mutex_stall_cycles += q->stall[CAUSE_MUTEX];
        r->icache_stall_cycles += q->stall[CAUSE_ICACHE];
        r->sfu_stall_cycles += q->stall[CAUSE_SFU];
    }
}

int v3d_execute(v3d *gpu, uint32_t num_qpus, uint32_t control_bus, int noflush, double timeout_s, uint32_t mark_bus,
                v3d_result *result)
{
    memset(result, 0, sizeof *result);
    gpu->result = result;
    gpu->cancelled = gpu->ended = 0;
    gpu->mark_bus = mark_bus;
    gpu->time_limit = in_cycles(&gpu->config, timeout_s);
    fpmode before = fpmode_enter_qpu();
    if (setjmp(gpu->failure) == 0) {
        reset_machine(gpu, noflush);
        start_qpus(gpu, num_qpus, control_bus);
        run_qpus(gpu);
        finish(gpu);
    }
    fpmode_leave(before);
    if (!gpu->ended)
        memset(gpu->semaphores, 0, sizeof gpu->semaphores);
    collect(gpu);
    observe_code(gpu);
    trace_runs(gpu);
    icache_forget(gpu);
    return result->status;
}

void v3d_cancel(v3d *gpu)
{
    gpu->cancelled = 1;
}

#define V3D_FIELD(name) #name ","
const char *v3d_config_names(void)
{
    return V3D_CONFIG_FIELDS(V3D_FIELD);
}

const char *v3d_counter_names(void)
{
    return V3D_COUNTERS(V3D_FIELD);
}
#undef V3D_FIELD

#define V3D_CAUSE(name) #name ","
const char *v3d_cause_names(void)
{
    return V3D_CAUSES(V3D_CAUSE);
}

const char *v3d_warning_names(void)
{
    return V3D_WARNINGS(V3D_CAUSE);
}
#undef V3D_CAUSE
