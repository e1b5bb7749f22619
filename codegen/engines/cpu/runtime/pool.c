/*
 * Each thread has a range of parts. It takes them from its front, and once that is empty from the back of the others':
 * so neighbours stay together where all are equally fast, and one slow core holds nobody longer than by the part that it
 * computes. Who takes a part reads the task behind it, which the caller wrote before there were parts: a worker that
 * wakes late finds none, or helps with the call that is under way by then. The caller waits for parts, not for workers.
 *
 * Where another process wants one of the CPUs too, a thread is taken from it in the middle of a part, and would come back
 * some clock ticks later. Who waits for it sees that its time stands still, moves it to its own CPU and sleeps. Then, for
 * a moment, workers keep off the caller's CPU and hardly spin between calls; having asked Linux for short slices (EEVDF
 * gives who asks for less its share sooner), they come to run when they are woken, end a part, sleep.
 *
 * Compiled on its own, or as a piece of a model.c that defines POOL_LINKAGE as static.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif

#include "pool.h"
#include "pool_cpus.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef POOL_TAKES_OVER
#define POOL_TAKES_OVER 1 /* 0: a static split, to compare with */
#endif
#define SPIN_S 1e-3 /* who sleeps between two steps of a run is woken while the next one waits */
#define LATE_S 1e-4 /* who keeps others waiting for so long may have lost its CPU */
#define STILL_S 2e-5 /* and has, if its time stands still meanwhile */
#define SHARED_S 0.03 /* for which a worker takes its CPU to be shared after a move */
#define SHARED_SPIN_S 3e-5 /* meanwhile: as long as most others take to end a part */
#define SHORT_SLICE_NS 100000 /* the least that Linux grants */

enum { POOL_LINE = 64, LOOKS_PER_CLOCK = 32, RANGE_BITS = 16, RANGE_MASK = (1 << RANGE_BITS) - 1 };

/* A counter that one thread waits for and others raise. It may wrap around: only whether it is one of its values is asked
 * for. */
typedef struct gate {
    unsigned count; /* these three are atomic */
    int is_asleep;
    int raiser_cpu; /* where who raises it was last seen to run */
    pthread_mutex_t mutex;
    pthread_cond_t raised;
} gate;

/* Parts from `next` up to `end`, in 16 bits each: one word, so that both change at once. */
typedef struct range {
    unsigned parts; /* atomic */
} __attribute__((aligned(POOL_LINE))) range;

typedef struct worker {
    gate handed; /* calls handed to this worker so far */
    pool *owner;
    int number; /* of its range; the caller's is 0 */
    int id;     /* of its thread, to the system; atomic, as the next two are */
    int is_computing;
    int is_moved;    /* by the caller, to its own CPU */
    int is_shared;   /* its CPU, with others that want it: these are the worker's own */
    int avoided_cpu; /* -1: none */
    unsigned moves_seen;
    double until_s;
    pthread_t thread;
} __attribute__((aligned(POOL_LINE))) worker;

struct pool {
    gate done; /* parts that workers have computed so far */
    unsigned expected;
    int is_closing; /* atomic, as the next three are */
    int is_called;
    int caller_id;  /* of its thread */
    unsigned moves; /* of threads that had lost their CPU */
    cpu_mask cpus;  /* that its threads may run on */
    pool_task *task;
    void *context;
    int worker_count;
    worker *workers;
    range *ranges; /* one more than workers */
};

static int gate_init(gate *self)
{
    memset(self, 0, sizeof *self);
    self->raiser_cpu = -1;
    if (pthread_mutex_init(&self->mutex, NULL) != 0)
        return -1;
    if (pthread_cond_init(&self->raised, NULL) == 0)
        return 0;
    pthread_mutex_destroy(&self->mutex);
    return -1;
}

static void gate_destroy(gate *self)
{
    pthread_cond_destroy(&self->raised);
    pthread_mutex_destroy(&self->mutex);
}

/* Either the sleeper sees the new count, or this sees the sleeper: both sides write before they read. */
static void gate_raise(gate *self, unsigned by)
{
    __atomic_add_fetch(&self->count, by, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&self->is_asleep, __ATOMIC_SEQ_CST))
        return;
    pthread_mutex_lock(&self->mutex);
    pthread_cond_signal(&self->raised);
    pthread_mutex_unlock(&self->mutex);
}

static void gate_sleep(gate *self, unsigned wanted, int is_past)
{
    pthread_mutex_lock(&self->mutex);
    __atomic_store_n(&self->is_asleep, 1, __ATOMIC_SEQ_CST);
    while ((__atomic_load_n(&self->count, __ATOMIC_SEQ_CST) == wanted) == is_past)
        pthread_cond_wait(&self->raised, &self->mutex);
    __atomic_store_n(&self->is_asleep, 0, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&self->mutex);
}

/* Tells who waits at a gate where the thread runs that will raise it. */
static void gate_approach(gate *self)
{
    __atomic_store_n(&self->raiser_cpu, this_cpu(), __ATOMIC_RELAXED);
}

/* Whoever looks for work on the CPU that the work is waiting for only delays it: both then wait for clock ticks. */
static int is_in_the_way(gate *self)
{
    const int cpu = this_cpu();
    return cpu >= 0 && __atomic_load_n(&self->raiser_cpu, __ATOMIC_RELAXED) == cpu;
}

/* Moves the caller here if it has lost its CPU in the middle of a call, and leaves it free to move on. */
static int move_caller(pool *threads)
{
    const int id = __atomic_load_n(&threads->caller_id, __ATOMIC_RELAXED);
    cpu_mask before;
    if (!__atomic_load_n(&threads->is_called, __ATOMIC_RELAXED) || !stands_still(id, STILL_S) || !get_cpus(id, &before))
        return 0;
    const cpu_mask here = only_cpu(this_cpu());
    set_cpus(id, &here);
    set_cpus(id, &before);
    return 1;
}

/* Moves a worker here that has lost its CPU in the middle of a part. Where it may run is its own to say afterwards. */
static int move_worker(pool *threads)
{
    for (int i = 0; i < threads->worker_count; ++i) {
        worker *const other = &threads->workers[i];
        const int id = __atomic_load_n(&other->id, __ATOMIC_RELAXED);
        if (!__atomic_load_n(&other->is_computing, __ATOMIC_RELAXED) || !stands_still(id, STILL_S))
            continue;
        const cpu_mask here = only_cpu(this_cpu());
        __atomic_store_n(&other->is_moved, 1, __ATOMIC_RELAXED);
        set_cpus(id, &here);
        return 1;
    }
    return 0;
}

/* Whether somebody was moved to this thread's CPU, which it then has to leave to them. */
static int move_others(pool *threads, int is_caller)
{
    const int was_moved = is_caller ? move_worker(threads) : move_caller(threads);
    if (was_moved)
        __atomic_add_fetch(&threads->moves, 1, __ATOMIC_RELAXED);
    return was_moved;
}

/* Until the count is `wanted`, or where `is_past`, any other. */
static void gate_wait(pool *threads, gate *self, unsigned wanted, int is_past, double spin_s)
{
    const double until_s = pool_clock_s() + spin_s;
    double now_s, look_s = until_s - spin_s + LATE_S;
    do {
        for (int i = 0; i < LOOKS_PER_CLOCK; ++i) {
            if ((__atomic_load_n(&self->count, __ATOMIC_ACQUIRE) == wanted) != is_past)
                return;
            relax();
        }
        now_s = pool_clock_s();
        if (now_s > look_s) {
            if (move_others(threads, self == &threads->done))
                break;
            look_s = now_s + LATE_S;
        }
    } while (now_s < until_s && !is_in_the_way(self));
    gate_sleep(self, wanted, is_past);
}

/* A part of a range, from its front or its back; -1 where it is empty. */
static int take_part(range *from, int is_own)
{
    unsigned parts = __atomic_load_n(&from->parts, __ATOMIC_RELAXED);
    for (;;) {
        const unsigned next = parts & RANGE_MASK, end = parts >> RANGE_BITS;
        if (next == end)
            return -1;
        const unsigned left = is_own ? parts + 1 : parts - (1u << RANGE_BITS);
        if (__atomic_compare_exchange_n(&from->parts, &parts, left, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return (int)(is_own ? next : end - 1);
    }
}

/* Computes what is left of a range; how many parts that were. */
static unsigned run_range(const pool *threads, range *from, int is_own)
{
    unsigned count = 0;
    for (int part; (part = take_part(from, is_own)) >= 0; ++count)
        threads->task(threads->context, part);
    return count;
}

/* First a thread's own range, then the others'. */
static unsigned run_parts(const pool *threads, int number)
{
    const int count = threads->worker_count + 1;
    unsigned done = run_range(threads, &threads->ranges[number], 1);
    for (int i = 1; POOL_TAKES_OVER && i < count; ++i)
        done += run_range(threads, &threads->ranges[(number + i) % count], 0);
    return done;
}

/* Keeps a worker off a CPU, or where that is -1 lets it run on all that are the pool's. */
static void keep_off(worker *self, int cpu)
{
    if (!__atomic_exchange_n(&self->is_moved, 0, __ATOMIC_RELAXED) && cpu == self->avoided_cpu)
        return;
    self->avoided_cpu = cpu;
    const cpu_mask others = without_cpu(self->owner->cpus, cpu);
    set_cpus(0, &others);
}

/* Whether others want a CPU of the pool's: a thread was moved, or this one was put on the caller's CPU. */
static int is_shared(worker *self)
{
    const unsigned moves = __atomic_load_n(&self->owner->moves, __ATOMIC_RELAXED);
    const int is_new = moves != self->moves_seen || is_in_the_way(&self->handed), was_shared = self->is_shared;
    if (!was_shared && !is_new)
        return 0;
    const double now_s = pool_clock_s();
    if (is_new)
        self->until_s = now_s + SHARED_S;
    self->moves_seen = moves;
    self->is_shared = now_s < self->until_s;
    if (self->is_shared != was_shared)
        ask_for_slices(self->is_shared ? SHORT_SLICE_NS : 0);
    keep_off(self, self->is_shared ? __atomic_load_n(&self->handed.raiser_cpu, __ATOMIC_RELAXED) : -1);
    return self->is_shared;
}

static void *pool_work(void *argument)
{
    worker *const self = argument;
    pool *const threads = self->owner;
    __atomic_store_n(&self->id, this_thread(), __ATOMIC_RELAXED);
    for (unsigned seen = 0;;) {
        gate_wait(threads, &self->handed, seen, 1, is_shared(self) ? SHARED_SPIN_S : SPIN_S);
        seen = __atomic_load_n(&self->handed.count, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&threads->is_closing, __ATOMIC_RELAXED))
            return NULL;
        gate_approach(&threads->done);
        __atomic_store_n(&self->is_computing, 1, __ATOMIC_RELAXED);
        const unsigned done = run_parts(threads, self->number);
        __atomic_store_n(&self->is_computing, 0, __ATOMIC_RELAXED);
        if (done > 0)
            gate_raise(&threads->done, done);
    }
}

/* The program's signals are for the program's own threads. */
static int start_worker(pool *threads, worker *self, int number)
{
    sigset_t all, before;
    memset(self, 0, sizeof *self);
    self->owner = threads;
    self->number = number;
    self->avoided_cpu = -1;
    if (gate_init(&self->handed) != 0)
        return -1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&self->thread, NULL, pool_work, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        gate_destroy(&self->handed);
    return failed ? -1 : 0;
}

static int allowed_cpus(const cpu_mask *cpus)
{
    const int count = cpu_count(cpus);
    const long online = count > 0 ? count : sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : (int)online;
}

pool *pool_new(int threads)
{
    void *memory = NULL;
    if (threads < 1 || posix_memalign(&memory, POOL_LINE, sizeof(pool)) != 0)
        return NULL;
    pool *const made = memory;
    memset(made, 0, sizeof *made);
    if (gate_init(&made->done) != 0) {
        free(made);
        return NULL;
    }
    (void)get_cpus(0, &made->cpus); /* none where the system does not say */
    /* Who spins on a core that another thread of the pool needs only keeps it waiting. */
    const int cpus = allowed_cpus(&made->cpus), wanted = (threads < cpus ? threads : cpus) - 1;
    int failed = posix_memalign(&memory, POOL_LINE, (size_t)(wanted + 1) * sizeof(worker)) != 0;
    made->workers = failed ? NULL : memory;
    failed = failed || posix_memalign(&memory, POOL_LINE, (size_t)(wanted + 1) * sizeof(range)) != 0;
    made->ranges = failed ? NULL : memset(memory, 0, (size_t)(wanted + 1) * sizeof(range));
    while (!failed && made->worker_count < wanted) {
        failed = start_worker(made, &made->workers[made->worker_count], made->worker_count + 1) != 0;
        made->worker_count += !failed;
    }
    if (!failed)
        return made;
    pool_free(made);
    return NULL;
}

int pool_threads(const pool *threads)
{
    return threads->worker_count + 1;
}

void pool_run(pool *threads, int parts, pool_task *task, void *context)
{
    const int workers = parts - 1 < threads->worker_count ? parts - 1 : threads->worker_count, count = workers + 1;
    threads->task = task;
    threads->context = context;
    __atomic_store_n(&threads->caller_id, this_thread(), __ATOMIC_RELAXED);
    __atomic_store_n(&threads->is_called, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < count; ++i) { /* the other ranges are empty, as each is after a call */
        const unsigned first = (unsigned)(i * parts / count), end = (unsigned)((i + 1) * parts / count);
        __atomic_store_n(&threads->ranges[i].parts, end << RANGE_BITS | first, __ATOMIC_RELEASE);
    }
    for (int i = 0; i < workers; ++i) {
        gate_approach(&threads->workers[i].handed);
        gate_raise(&threads->workers[i].handed, 1);
    }
    threads->expected += (unsigned)parts - run_parts(threads, 0);
    if (threads->worker_count > 0) /* a single part too: a worker that is late from the last call may have taken it */
        gate_wait(threads, &threads->done, threads->expected, 0, SPIN_S);
    __atomic_store_n(&threads->is_called, 0, __ATOMIC_RELAXED);
}

typedef struct kernel_call {
    pool_kernel *kernel;
    const float *const *inputs;
    const float *weights;
    float *const *outputs;
    void *workspace;
} kernel_call;

static void call_kernel(void *context, int part)
{
    const kernel_call *const call = context;
    call->kernel(call->inputs, call->weights, call->outputs, call->workspace, part);
}

void pool_run_kernel(pool *threads, int parts, pool_kernel *kernel, const float *const *inputs,
                     const float *weights, float *const *outputs, void *workspace)
{
    kernel_call call = {kernel, inputs, weights, outputs, workspace};
    pool_run(threads, parts, call_kernel, &call);
}

void pool_free(pool *threads)
{
    if (!threads)
        return;
    __atomic_store_n(&threads->is_closing, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < threads->worker_count; ++i)
        gate_raise(&threads->workers[i].handed, 1);
    for (int i = 0; i < threads->worker_count; ++i) {
        pthread_join(threads->workers[i].thread, NULL);
        gate_destroy(&threads->workers[i].handed);
    }
    gate_destroy(&threads->done);
    free(threads->workers);
    free(threads->ranges);
    free(threads);
}
