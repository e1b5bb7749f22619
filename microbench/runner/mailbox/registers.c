#define _GNU_SOURCE

#include "registers.h"

#include <time.h>

#include "protocol.h"
#include "requests.h"

/* V3D_SRQCS (guide, table 68): counts modulo 256, an error and the queue's length; ones written reset them. */
enum {
    STATUS_LENGTH = 0x3f,
    STATUS_ERROR = 1 << 7,
    STATUS_MADE_SHIFT = 8,
    STATUS_COMPLETED_SHIFT = 16,
    STATUS_COUNT = 0xff,
    STATUS_RESET = 1 << 0 | STATUS_ERROR | 1 << STATUS_MADE_SHIFT | 1 << STATUS_COMPLETED_SHIFT,
    STATUS_ALL = STATUS_LENGTH | STATUS_ERROR | STATUS_COUNT << STATUS_MADE_SHIFT | STATUS_COUNT << STATUS_COMPLETED_SHIFT,
    QUEUE_DEPTH = 16 /* guide, table 65 */
};

enum { L2_CLEAR = 1 << 2 /* guide, table 71 */, SLICES_CLEAR = 0x0f0f0f0f /* guide, table 72: all four caches */ };
enum { ALL_INTERRUPTS = 0xffff };

/* A step of the wait is this part of the time waited so far, between these bounds. */
enum { STEP_PART = 64, SHORTEST_STEP_NS = 10000, LONGEST_STEP_NS = 500000, POLLS_AWAKE = 16 };

typedef struct waiting {
    volatile uint32_t *registers;
    double start_s, limit_s;
    uint32_t status; /* as it was read last */
} waiting;

static double clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void write_register(volatile uint32_t *registers, enum v3d_register place, uint32_t value)
{
    registers[place / sizeof *registers] = value;
}

static void rest(double waited_s)
{
    const double wanted_ns = 1e9 * waited_s / STEP_PART;
    const long step_ns = wanted_ns < SHORTEST_STEP_NS  ? SHORTEST_STEP_NS
                         : wanted_ns > LONGEST_STEP_NS ? LONGEST_STEP_NS
                                                       : (long)wanted_ns;
    nanosleep(&(struct timespec){0, step_ns}, NULL);
}

/* Reads the status until the bits of `mask` lie between `low` and `high`; 1 when they do, 0 at an error or when time is up. */
static int wait_for_status(waiting *at, uint32_t mask, uint32_t low, uint32_t high, uint32_t errors)
{
    for (unsigned polls = 0;; ++polls) {
        const double waited_s = clock_s() - at->start_s;
        at->status = at->registers[V3D_SRQCS / sizeof *at->registers];
        if (at->status & errors)
            return 0;
        if ((at->status & mask) >= low && (at->status & mask) <= high)
            return 1;
        if (waited_s >= at->limit_s)
            return 0;
        if (polls >= POLLS_AWAKE)
            rest(waited_s);
    }
}

static int refused(const waiting *at, const char *what, backend_message *why)
{
    const char *error = at->status & STATUS_ERROR ? "the queue of requests overflowed" : "no reaction in time";
    return fail(why, FAULT_BOARD,
                "the V3D block does not take %s: %s (V3D_SRQCS is 0x%08x); see that no other program uses the GPU, "
                "or launch by the mailbox",
                what, error, (unsigned)at->status);
}

/* Nothing of an earlier launch is left: not in the queue, not in the counts, not in the caches. */
static int clear(waiting *at, backend_message *why)
{
    write_register(at->registers, V3D_DBQITE, 0); /* nobody waits for an interrupt */
    write_register(at->registers, V3D_DBQITC, ALL_INTERRUPTS);
    write_register(at->registers, V3D_L2CACTL, L2_CLEAR);
    write_register(at->registers, V3D_SLCACTL, SLICES_CLEAR);
    write_register(at->registers, V3D_SRQCS, STATUS_RESET);
    return wait_for_status(at, STATUS_ALL, 0, 0, 0) ? 0 : refused(at, "a reset of its counts", why);
}

/* A request that is not counted was not seen; one beyond the queue's depth is lost, and so would be those after it. */
static int request(waiting *at, const register_launch *what, uint32_t index, backend_message *why)
{
    const uint32_t made = index + 1;
    if (!wait_for_status(at, STATUS_LENGTH, 0, QUEUE_DEPTH - 1, STATUS_ERROR))
        return refused(at, "more requests", why);
    write_register(at->registers, V3D_SRQUA, what->control[2 * index]);
    write_register(at->registers, V3D_SRQPC, what->control[2 * index + 1]);
    if (!wait_for_status(at, STATUS_COUNT << STATUS_MADE_SHIFT, made << STATUS_MADE_SHIFT, made << STATUS_MADE_SHIFT,
                         STATUS_ERROR))
        return refused(at, "a request", why);
    return 0;
}

static int stopped(const waiting *at, uint32_t num_qpus, backend_message *why)
{
    return fail(why, FAULT_STOPPED, "%u of %u QPU programs ended within %g s",
                (unsigned)(at->status >> STATUS_COMPLETED_SHIFT & STATUS_COUNT), (unsigned)num_qpus, at->limit_s);
}

static int run(waiting *at, const register_launch *what, backend_message *why)
{
    int fault = clear(at, why);
    for (uint32_t i = 0; i < what->num_qpus && !fault; ++i)
        fault = request(at, what, i, why);
    if (fault)
        return fault;
    const uint32_t all = what->num_qpus << STATUS_COMPLETED_SHIFT;
    if (wait_for_status(at, STATUS_COUNT << STATUS_COMPLETED_SHIFT, all, all, STATUS_ERROR))
        return 0;
    return at->status & STATUS_ERROR ? refused(at, "the requests", why) : stopped(at, what->num_qpus, why);
}

int registers_check(const volatile uint32_t *registers, backend_message *why)
{
    const uint32_t found = registers[V3D_IDENT0 / sizeof *registers];
    if (found == V3D_IDENTITY)
        return 0;
    return fail(why, FAULT_BOARD,
                "no powered V3D block: its identity reads as 0x%08x, not 0x%08x; disable the vc4-kms-v3d overlay, or "
                "launch by the mailbox",
                (unsigned)found, (unsigned)V3D_IDENTITY);
}

int registers_launch(volatile uint32_t *registers, const register_launch *what, double *time_s, backend_message *why)
{
    int fault = registers_check(registers, why);
    if (fault)
        return fault;
    if (what->num_qpus == 0 || what->num_qpus > STATUS_COUNT)
        return fail(why, FAULT_CANDIDATE, "a launch of %u QPU programs", (unsigned)what->num_qpus);
    __sync_synchronize(); /* what was written to GPU memory is there before the launch */
    waiting at = {registers, clock_s(), what->limit_s, 0};
    fault = run(&at, what, why);
    *time_s = clock_s() - at.start_s;
    __sync_synchronize();
    if (fault)
        write_register(registers, V3D_SRQCS, STATUS_RESET); /* what waits in the queue does not start any more */
    return fault;
}
