/* A virtual VideoCore IV 3D core ("V3D"): QPUs, TMUs, caches, VPM and DMA engines over a simulated memory.
 *
 * It executes the instruction words of the VideoCore IV 3D Architecture Reference Guide (VideoCoreIV-AG100-R) with
 * the errata measured on silicon, in simulated time. Simulation depends on nothing but its inputs. Several virtual
 * cores may run at once, one thread each; one core is used by one thread at a time, except for v3d_cancel.
 */
#ifndef V3D_H
#define V3D_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The timing and size constants: the table [v3d] of a device profile, where units and sources are given. */
#define V3D_CONFIG_FIELDS(X) \
    X(clock_hz) \
    X(qpus) \
    X(qpus_per_slice) \
    X(tmus_per_slice) \
    X(issue_cycles) \
    X(launch_overhead_s) \
    X(fmul_rounds_to_nearest) \
    X(sfu_cycles) \
    X(sfu_recip_bits) \
    X(sfu_recipsqrt_bits) \
    X(sfu_exp_bits) \
    X(sfu_log_bits) \
    X(icache_bytes) \
    X(icache_ways) \
    X(icache_extra_cycles) \
    X(uniform_cache_bytes) \
    X(uniform_cache_ways) \
    X(uniform_fifo_words) \
    X(uniform_refill_cycles) \
    X(uniform_burst_words) \
    X(uniform_pause_instructions) \
    X(uniform_l2_extra_cycles) \
    X(uniform_sdram_extra_s) \
    X(tmu_l1_bytes) \
    X(tmu_cycles_per_request) \
    X(tmu_hit_latency_cycles) \
    X(tmu_queue_depth) \
    X(l2_bytes) \
    X(l2_ways) \
    X(l2_bytes_per_cycle) \
    X(l2_latency_cycles) \
    X(memory_bytes_per_cycle) \
    X(sdram_bytes_per_s) \
    X(system_l2_bytes) \
    X(system_l2_ways) \
    X(system_l2_bytes_per_cycle) \
    X(cached_memory_bytes_per_cycle) \
    X(memory_is_cached) \
    X(sdram_latency_s) \
    X(vpm_rows) \
    X(vpm_vector_cycles) \
    X(vpm_read_latency_cycles) \
    X(vpm_write_fifo_vectors) \
    X(vdw_setup_s) \
    X(vdw_row_cycles) \
    X(vdw_byte_cycles) \
    X(vdr_setup_s) \
    X(vdr_row_cycles) \
    X(vdr_byte_cycles) \
    X(lowest_qpu_first) \
    X(gpu_memory_bytes)

typedef struct {
#define V3D_FIELD(name) double name;
    V3D_CONFIG_FIELDS(V3D_FIELD)
#undef V3D_FIELD
} v3d_config;

/* Counted over all QPUs in one execution; cycles are QPU clock cycles spent waiting. */
#define V3D_COUNTERS(X) \
    X(instructions) \
    X(add_operations) \
    X(mul_operations) \
    X(tmu_stall_cycles) \
    X(uniform_stall_cycles) \
    X(vpm_stall_cycles) \
    X(dma_stall_cycles) \
    X(semaphore_stall_cycles) \
    X(mutex_stall_cycles) \
    X(icache_stall_cycles) \
    X(sfu_stall_cycles) \
    X(tmu_requests) \
    X(tmu_l1_hits) \
    X(tmu_l1_misses) \
    X(uniform_words) \
    X(uniform_address_writes) \
    X(uniform_hits) \
    X(uniform_misses) \
    X(icache_hits) \
    X(icache_misses) \
    X(l2_hits) \
    X(l2_misses) \
    X(tmu_sdram_bytes) \
    X(uniform_sdram_bytes) \
    X(icache_sdram_bytes) \
    X(vpm_vectors_read) \
    X(vpm_vectors_written) \
    X(dma_loads) \
    X(dma_load_rows) \
    X(dma_load_bytes) \
    X(dma_stores) \
    X(dma_store_rows) \
    X(dma_store_bytes) \
    X(host_interrupts) \
    X(stale_reads) \
    X(tolerated_hazards) \
    X(warnings)

/* Why a QPU waits, in the order of the stall counters above and of a profile's stalls. */
#define V3D_CAUSES(X) X(tmu) X(uniform) X(vpm) X(dma) X(semaphore) X(mutex) X(icache) X(sfu)

/* What silicon does without harm although the guide advises against it, each with a program known to do so
 * (docs/hardware.md, "What is refused and what is warned of"): counted, never an error. */
#define V3D_WARNINGS(X) X(idle_add_write) X(same_result) X(transfer_follows) X(rotation_follows) X(semaphore_left)

enum v3d_warning {
#define V3D_WARNING(name) V3D_WARNING_##name,
    V3D_WARNINGS(V3D_WARNING)
#undef V3D_WARNING
    V3D_WARNING_COUNT
};

enum { V3D_MARKS = 512, V3D_MESSAGE_BYTES = 2048, V3D_STALE_READS = 64, V3D_QPUS = 16, V3D_CAUSE_COUNT = 8 };

enum {
    V3D_OK = 0,
    V3D_HAZARD = 1,      /* a program broke a rule of the hardware */
    V3D_STRAY = 2,       /* an access outside the allocations */
    V3D_DEADLOCK = 3,    /* no QPU can go on */
    V3D_TIMEOUT = 4,     /* the simulated time limit */
    V3D_CANCELLED = 5,   /* v3d_cancel was called */
    V3D_UNSUPPORTED = 6, /* hardware that is not modelled */
    V3D_USAGE = 7        /* wrong arguments */
};

/* A read that got a cached word older than a DMA store; `instruction` counts from the QPU's first. */
typedef struct {
    uint32_t bus, qpu;
    int32_t instruction;
} v3d_stale_read;

/* How often a warning was due in a launch, and its first instruction. */
typedef struct {
    uint64_t count;
    uint32_t bus, qpu;
    int32_t instruction;
} v3d_warned;

typedef struct {
    double time_s; /* of this launch, overhead included */
    uint64_t cycles;
    int status;
    char message[V3D_MESSAGE_BYTES];
#define V3D_FIELD(name) uint64_t name;
    V3D_COUNTERS(V3D_FIELD)
#undef V3D_FIELD
    uint32_t first_stale_bus; /* of the first stale read, when there is one */
    uint32_t first_stale_qpu;
    uint32_t first_stale_instruction;
    uint32_t mark_count;
    uint64_t mark_cycles[V3D_MARKS]; /* n-th passing of the mark: the latest cycle over the QPUs */
    v3d_stale_read stale[V3D_STALE_READS]; /* the first of them */
    uint32_t stopped_bus[V3D_QPUS]; /* where the program was stopped, or waits for ever; 0 for QPUs that are not to blame */
    v3d_warned warned[V3D_WARNING_COUNT];
} v3d_result;

typedef struct v3d v3d;

/* How a core may differ in what no constant expresses; all 0: the core as docs/hardware.md has it. */
#define V3D_HABITS(X) \
    X(sfu_qpus) /* how many QPUs, one after another, have a special functions unit in common; 0: those of a slice */ \
    X(spared_uniform_lines) /* 1: every other line of uniforms takes no longer than a TMU's */

typedef struct {
#define V3D_FIELD(name) double name;
    V3D_HABITS(V3D_FIELD)
#undef V3D_FIELD
} v3d_habits;

/* Of one instruction address in one launch; cycles over all QPUs, by V3D_CAUSES. */
typedef struct {
    uint32_t bus;
    uint64_t executions;
    uint64_t stall_cycles[V3D_CAUSE_COUNT];
} v3d_instruction_profile;

/* What a track of the trace shows: first the QPUs, whose intervals are their runs and stalls, then the engines. */
enum { V3D_TRACK_VDR = V3D_QPUS, V3D_TRACK_VDW, V3D_TRACK_TMU, V3D_RUN = V3D_CAUSE_COUNT, V3D_BUSY };

typedef struct {
    uint64_t start, end; /* cycles */
    uint32_t bus;        /* of the instruction that waits; of memory, for DMA */
    uint16_t track, what; /* what: a cause, V3D_RUN or V3D_BUSY */
} v3d_interval;

/* NULL when memory is short or the configuration makes no sense. `strict` stops at every broken rule; without it an
 * instruction that silicon would let pass goes on, computes as if the machine waited for what it should have waited
 * for, and is counted as tolerated. What hangs, strays, or has no known effect is an error either way. */
v3d *v3d_new(const v3d_config *config, int strict);
void v3d_delete(v3d *gpu);
/* For the launches to come. */
void v3d_behave(v3d *gpu, const v3d_habits *habits);

/* Bus address of new memory filled with 0xff, or 0 when there is no room. */
uint32_t v3d_alloc(v3d *gpu, uint32_t bytes, uint32_t align);
/* Host address of a range that must lie in one allocation; else NULL. */
void *v3d_map(v3d *gpu, uint32_t bus, uint32_t bytes);
/* 0, or -1 when no allocation starts there. */
int v3d_free(v3d *gpu, uint32_t bus);

/* Runs `num_qpus` programs, one a QPU, from the (uniforms address, code address) pairs at `control_bus`.
 * `mark_bus` is the address of an instruction whose passings are timed, or 0. Returns result->status. Caches are
 * cleared unless `noflush`; semaphores keep their values, but a launch that is stopped half-way leaves them at 0. */
int v3d_execute(v3d *gpu, uint32_t num_qpus, uint32_t control_bus, int noflush, double timeout_s, uint32_t mark_bus,
                v3d_result *result);
/* For the launches to come: whether to keep stalls by instruction, and how many intervals to trace at most. Returns 0,
 * or -1 when memory is short. */
int v3d_observe(v3d *gpu, int profile, uint32_t intervals);
/* What the last launch left of either, until the next; `dropped` intervals did not fit. */
const v3d_instruction_profile *v3d_profile_of(const v3d *gpu, uint32_t *count);
const v3d_interval *v3d_trace_of(const v3d *gpu, uint32_t *count, uint64_t *dropped);
/* With a profile: all counters when the last QPU passed the mark for the n-th time, in the order of v3d_counter_names,
 * one after another; as many as mark_count. */
const uint64_t *v3d_marks_of(const v3d *gpu);
/* Ends a running execution soon; may be called from any thread. */
void v3d_cancel(v3d *gpu);

/* One ALU operation on 16 lanes as the QPU does it. `unit` 0 add, 1 mul; `pack` a register file A pack mode applied
 * over `old`; flags: bit 0 zero, bit 1 negative, bit 2 carry. Returns 0, or -1 for a reserved operation. */
int v3d_alu(int unit, int op, const uint32_t *a, const uint32_t *b, int pack, const uint32_t *old, uint32_t *result,
            uint32_t *flags);

/* Comma-separated names, in the order of the structures above. */
const char *v3d_config_names(void);
const char *v3d_counter_names(void);
const char *v3d_cause_names(void);
const char *v3d_warning_names(void);

#ifdef __cplusplus
}
#endif
#endif
