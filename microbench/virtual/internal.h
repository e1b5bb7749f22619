/* What the parts of the virtual VideoCore IV know of each other. Times are QPU clock cycles since the launch. */
#ifndef V3D_INTERNAL_H
#define V3D_INTERNAL_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include "alu.h"
#include "v3d.h"
#include "vector.h"

/* The parts call each other directly: only what v3d.h declares is seen from outside. */
#pragma GCC visibility push(hidden)

typedef uint64_t cycles;

enum {
    MAX_QPUS = V3D_QPUS,
    MAX_SLICES = 16,
    MAX_TMUS = 32,
    LINE_BYTES = 64,
    LINE_WORDS = 16,
    VPM_ROWS_MAX = 64,
    TMU_QUEUE_MAX = 8,
    LINE_INSTRUCTIONS = 8,
    SEMAPHORES = 16,
    MEMORY_BUS = 0x48000000 /* not 0, so that an address nobody relocated is a stray access */
};

/* ---- memory.c: allocations ---- */

typedef struct instruction instruction;

typedef struct allocation {
    uint32_t bus, bytes;
    instruction **decoded; /* its lines that were run in this launch; NULL when none was */
    struct allocation *next; /* ascending */
} allocation;

/* ---- bandwidth.c: a shared port's time, in buckets ---- */

enum { BUCKETS = 16384, BUCKET_CYCLES = 64 };

typedef struct {
    double bytes_per_cycle;
    uint64_t first_open;      /* every bucket before is full */
    uint64_t bucket[BUCKETS]; /* which bucket a slot of the ring stands for */
    double used[BUCKETS];     /* its bytes */
} bandwidth;

void bandwidth_reset(bandwidth *port, double bytes_per_cycle);
/* When `bytes` that may move from `start` on have moved. */
cycles bandwidth_take(bandwidth *port, cycles start, double bytes);

/* ---- cache.c: caches that hold data ---- */

typedef struct {
    uint8_t data[LINE_BYTES];
    uint32_t bus;   /* of the line; NO_LINE when empty */
    uint16_t stale; /* words that memory has had newer values of since */
    uint16_t inside; /* whether the line lies in an allocation */
    uint32_t used;  /* for replacement: larger is later */
    cycles ready;   /* when its data has arrived */
} __attribute__((aligned(64))) cache_line;

enum { NO_LINE = 1 };

typedef struct {
    uint32_t sets, ways, clock;
    uint32_t mask; /* sets - 1, or 0 where they are no power of two */
    cache_line *lines; /* sets x ways */
} cache;

int cache_create(cache *c, double bytes, double ways);
void cache_clear(cache *c);

static inline cache_line *cache_set(cache *c, uint32_t bus)
{
    uint32_t line = bus / LINE_BYTES, set = c->mask ? line & c->mask : line % c->sets;
    return c->lines + (size_t)set * c->ways;
}

static inline cache_line *cache_find(cache *c, uint32_t bus)
{
    cache_line *set = cache_set(c, bus);
    for (uint32_t way = 0; way < c->ways; way++)
        if (set[way].bus == bus) {
            set[way].used = ++c->clock;
            return &set[way];
        }
    return NULL;
}

/* The line to be replaced by `bus`. */
cache_line *cache_victim(cache *c, uint32_t bus);
/* Words of a line have changed in memory. */
void cache_mark_stale(cache *c, uint32_t line_bus, uint16_t words);

enum client { CLIENT_TMU, CLIENT_UNIFORM, CLIENT_ICACHE, CLIENTS };

/* ---- qpu.c ---- */

/* Registers of one QPU in one array of 16-lane vectors, with the constants that an operand may be. */
enum {
    R_ACC = 0,          /* r0 to r5 */
    R_IN_A = 6,         /* what an I/O read through file A gave */
    R_IN_B = 7,
    R_FILE_A = 8,
    R_FILE_B = 40,
    R_ELEMENT = 72,
    R_QPU = 73,
    R_UNPACKED = 75,    /* register file A or r4 after the unpack unit */
    R_SINK = 76,
    R_OUT_ADD = 77,     /* what the ALUs write to I/O registers */
    R_OUT_MUL = 78,
    R_SMALL = 80,       /* the 64 small immediates */
    R_COUNT = 144
};

enum cause { /* the order of V3D_CAUSES */
    CAUSE_TMU, CAUSE_UNIFORM, CAUSE_VPM, CAUSE_DMA, CAUSE_SEMAPHORE, CAUSE_MUTEX, CAUSE_ICACHE, CAUSE_SFU,
    CAUSES = V3D_CAUSE_COUNT
};

enum qpu_state { QPU_IDLE, QPU_RUNNING, QPU_BLOCKED, QPU_DONE };

typedef struct {
    cycles ready;
    vec data;
} tmu_result;

typedef struct {
    int head, count;
    tmu_result results[TMU_QUEUE_MAX];
} tmu_queue;

typedef struct {
    uint32_t line_bus;  /* of the current line */
    int position;       /* next word in it; LINE_WORDS when it is used up */
    int first;          /* where reading of the line began */
    int fetched;        /* the current line is there */
    int next_fetched;
    uint16_t stale, next_stale;
    int inside, next_inside;
    cycles ready, next_ready; /* memory's answers */
    cycles line_start;  /* when the first word of the line was read */
    cycles last_read;
    int credit_words;   /* may be read at full rate */
    uint32_t data[LINE_WORDS], next_data[LINE_WORDS];
} uniform_stream;

typedef struct {
    /* VPM write setup */
    uint32_t write_setup, write_address;
    int write_ready;
    cycles writes_done[8]; /* ends of the latest writes, a ring as deep as the FIFO */
    int write_slot;
    /* VPM read setup */
    uint32_t read_setup, read_address;
    int reads_left;
    cycles read_ready;
    int queued; /* the last vector of the setup before, still to be read */
    vec queued_vector;
    cycles queued_ready;
    /* DMA setup registers */
    uint32_t load_setup, load_pitch, store_setup, store_stride;
    int load_setup_written, store_setup_written;
    cycles load_done, store_done;
} vpm_port;

typedef struct qpu {
    vec r[R_COUNT];
    vec flag_z, flag_n, flag_c;
    vec written_add, written_mul; /* lanes that the latest conditional instruction wrote */
    struct v3d *gpu;
    int index, slice;
    enum qpu_state state;
    enum cause blocked_on;
    int blocked_what, blocked_up; /* the number of a semaphore, or a resource */
    cycles now, blocked_since;
    uint32_t code_bus;    /* where the program starts */
    uint32_t pc;          /* bus address of the next instruction */
    instruction *line; /* decoded line that holds pc, or NULL before it is fetched */
    int branch_in, end_in; /* instructions until a branch or the end takes effect; 0 none */
    uint32_t branch_target;
    const instruction *previous, *before_previous;
    int tmu_swap_off;
    tmu_queue tmu[2];
    uniform_stream uniform;
    vpm_port vpm;
    cycles stall[CAUSES];
    uint64_t uniform_words;
    uint32_t marks;
    uint32_t tolerated_bus; /* the latest instruction that broke a rule and went on, and when */
    cycles tolerated_at;
} qpu;

/* ---- vpm.c ---- */

/* Cycles of a DMA transfer, of each of its rows, and of each byte in a row. */
typedef struct {
    double setup, row, byte;
} dma_costs;

typedef struct {
    cycles free; /* when the engine can start again: the end of what it does now */
    dma_costs costs;
    int pending; /* a store whose words are not in memory yet */
    uint32_t bus, rows, row_bytes, pitch_bytes;
    uint8_t data[128 * 128 * 4];
} dma_engine;

/* ---- arbitration.c: what one QPU at a time can have ---- */

enum resource { LOAD_ENGINE, STORE_ENGINE, MUTEX, RESOURCES };

#define NOT_KNOWN UINT64_MAX

/* ---- observe.c: what a launch may be asked to leave behind ---- */

enum {
#define V3D_COUNTER(name) COUNTER_##name,
    V3D_COUNTERS(V3D_COUNTER)
#undef V3D_COUNTER
    COUNTERS
};

typedef struct {
    int on, profile;
    v3d_instruction_profile *instructions;
    uint32_t instruction_count;
    v3d_interval *intervals;
    uint32_t capacity, count;
    uint64_t dropped;
    uint64_t (*at_marks)[COUNTERS];
    cycles busy_from[MAX_TMUS], busy_to[MAX_TMUS]; /* of TMUs, not yet traced */
} observation;

/* ---- the whole ---- */

typedef struct {
    cache l1;
    cycles free, last_ready;
} tmu_unit;

struct v3d {
    v3d_config config;
    int strict, ended; /* ended: every QPU of the launch has */
    volatile int cancelled;
    jmp_buf failure;
    /* memory */
    uint8_t *memory;
    uint32_t memory_bytes;
    allocation *allocations;
    uint32_t hot_bus, hot_end; /* an allocation that was used lately */
    bandwidth sdram, l2_port, system_port;
    cache l2, system_l2; /* the system's: no sets where memory is not cached in it */
    tmu_unit tmu[MAX_TMUS];
    cache uniform_cache[MAX_SLICES], icache[MAX_SLICES];
    cycles sfu_free[MAX_QPUS];
    int slices, qpus_per_slice, tmus_per_slice, sfu_qpus, spared_uniform_lines;
    /* constants as integers */
    cycles issue, tmu_request, tmu_hit, l2_latency, sdram_latency, vpm_vector, vpm_read, uniform_pause, sfu_time;
    cycles line_extra[2][CLIENTS]; /* that a line from L2, from SDRAM takes beside the path of a TMU's */
    double uniform_refill;
    int uniform_fifo, uniform_burst, tmu_depth, vpm_fifo, fmul_nearest, sfu_bits[4];
    /* VPM and DMA */
    uint32_t vpm[VPM_ROWS_MAX * 16];
    cycles vpm_loading[VPM_ROWS_MAX * 16], vpm_storing[VPM_ROWS_MAX * 16]; /* words a DMA uses until then */
    cycles vpm_free;
    int vpm_rows;
    dma_engine load, store;
    /* synchronisation */
    int semaphores[SEMAPHORES];
    const qpu *semaphore_by[SEMAPHORES]; /* the QPU that counted it last in this launch, and where */
    uint32_t semaphore_bus[SEMAPHORES];
    int mutex_owner;         /* -1 none */
    int promised[RESOURCES]; /* to which QPU, -1 none */
    int lowest_first;        /* instead of whoever asked first */
    int woken;               /* a QPU was, so that its turn may be next */
    /* execution */
    uint64_t turns[MAX_QPUS]; /* of running QPUs (turn_of), NO_TURN of others */
    qpu qpus[MAX_QPUS];
    int qpu_count;
    allocation *code; /* from which the latest line came */
    uint32_t mark_bus;
    cycles time_limit;
    v3d_result *result;
    observation seen;
};

/* Ends the execution: `rule` is said to be broken by the QPU's current instruction. */
#if defined(__GNUC__)
__attribute__((noreturn, format(printf, 3, 4)))
#endif
void v3d_fail(qpu *q, int status, const char *rule, ...);

/* The same of a rule that silicon lets pass: not strict, the instruction goes on and is counted. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void broken_rule(qpu *q, const char *rule, ...);

/* Counts what silicon does without harm, at an instruction of the QPU. */
void v3d_warn(const qpu *q, enum v3d_warning warning, uint32_t bus);

/* observe.c */
void observe_stall(qpu *q, cycles until, enum cause cause);
void observe_reset(struct v3d *gpu);
/* Takes the profile out of the decoded code, which is about to go. */
void observe_code(struct v3d *gpu);
/* Keeps the counters as they are once every QPU has passed the mark so often. */
void observe_mark(struct v3d *gpu, uint32_t number);
/* v3d.c: adds up in the result what QPUs and instructions count. */
void collect(struct v3d *gpu);
void observe_free(observation *seen);
void trace_busy(struct v3d *gpu, uint16_t track, cycles start, cycles end, uint32_t bus);
void trace_runs(struct v3d *gpu);

static inline void stall_until(qpu *q, cycles time, enum cause cause)
{
    if (time > q->now) {
        if (__builtin_expect(q->gpu->seen.on, 0))
            observe_stall(q, time, cause);
        q->stall[cause] += time - q->now;
        q->now = time;
    }
}

/* Counted from the QPU's first; negative for code that lies before it. */
static inline int32_t instruction_number(const qpu *q)
{
    return (int32_t)(q->pc - q->code_bus) / 8;
}

static inline cycles later(cycles a, cycles b)
{
    return a > b ? a : b;
}

/* memory.c */
uint8_t *memory_find(struct v3d *gpu, uint32_t bus, uint32_t bytes);

/* Where the host keeps a range that lies in one allocation; NULL outside the allocations. */
static inline uint8_t *memory_at(struct v3d *gpu, uint32_t bus, uint32_t bytes)
{
    if (bus >= gpu->hot_bus && bus < gpu->hot_end && bytes <= gpu->hot_end - bus)
        return gpu->memory + (bus - MEMORY_BUS);
    return memory_find(gpu, bus, bytes);
}

void memory_mark_stale(struct v3d *gpu, uint32_t bus, uint32_t bytes);
/* Fetches a line through L2 at `time`; returns when it has arrived. `inside` 0: no such memory, nothing fetched. */
cycles memory_fetch_line(struct v3d *gpu, enum client client, uint32_t line_bus, cycles time, cache_line *into);
/* When the bytes of a DMA row have moved. */
cycles memory_move(struct v3d *gpu, cycles time, uint32_t bus, uint32_t bytes);
void memory_recheck(struct v3d *gpu); /* marks cached words that differ from memory */
void stale_read(qpu *q, uint32_t bus);

/* tmu.c */
void tmu_request(qpu *q, int unit, const vec *addresses);
void tmu_receive(qpu *q, int unit, vec *r4);

/* uniform.c */
void uniform_start(qpu *q, uint32_t bus);
/* Whether the next read touches the shared cache, so that it has to wait for its turn. */
static inline int uniform_is_shared(const qpu *q)
{
    const uniform_stream *u = &q->uniform;
    return u->position == LINE_WORDS ? !u->next_fetched : u->position + 1 == LINE_WORDS - q->gpu->uniform_fifo;
}
uint32_t uniform_read(qpu *q);

/* icache.c */
/* The decoded line at pc; waits for it. Returns NULL when a miss must wait for this QPU's turn. */
instruction *icache_fetch(qpu *q, int our_turn);
/* Every line that was decoded in this launch, ascending. */
void icache_each(struct v3d *gpu, void (*visit)(struct v3d *gpu, uint32_t line_bus, const instruction *line));
void icache_forget(struct v3d *gpu);

/* vpm.c */
void vpm_setup_read(qpu *q, uint32_t setup);
void vpm_setup_write(qpu *q, uint32_t setup);
void vpm_read(qpu *q, vec *r);
void vpm_write(qpu *q, const vec *v);
/* Whether an address can be written; if not, the QPU waits for the engine (arbitrate). */
int dma_can_start(qpu *q, int store);
void dma_start_load(qpu *q, uint32_t bus);
void dma_start_store(qpu *q, uint32_t bus);
/* Puts a store's words in memory once it has ended. */
void dma_commit_store(struct v3d *gpu, cycles now);
void vpm_reset(struct v3d *gpu);

/* qpu.c: the lanes in which a condition holds */
void condition_mask(const qpu *q, int condition, vec *mask);

/* hazard.c: an instruction breaks a rule with those before it; it may break one near the thread's end */
void hazard_between(qpu *q, const instruction *d);
void hazard_at_end(qpu *q, const instruction *d, int at_end);

/* arbitration.c */
/* Makes a QPU wait until it is woken; returns 0. */
int qpu_block(qpu *q, enum cause cause, int what, int up);
void wake_for_semaphore(struct v3d *gpu, int semaphore, cycles now);
/* Whether a QPU may have a resource that is free from `free` on (NOT_KNOWN: until it is promised). If not, the QPU is
 * blocked, or its clock has been moved to then. */
int arbitrate(qpu *q, enum resource resource, cycles free);
/* Promises a resource, free from `free` on, to the next of those that wait for it. */
void promise_next(struct v3d *gpu, enum resource resource, cycles free);

/* decode.c, qpu.c */
void decode_line(struct v3d *gpu, uint32_t line_bus, instruction *line);
void qpu_reset(qpu *q, struct v3d *gpu, int index, uint32_t uniforms, uint32_t code);
/* Runs until its turn is over: before a shared access when its clock passes `limit` (see v3d.c). */
void qpu_run(qpu *q, uint64_t limit);

#define NO_TURN UINT64_MAX

/* Order of turns: by clock, then by QPU number. */
static inline uint64_t turn_of(const qpu *q)
{
    return q->now * MAX_QPUS + (uint64_t)q->index;
}

#pragma GCC visibility pop

#endif
