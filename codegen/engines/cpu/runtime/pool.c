/*
 * Each thread has a range of parts. It takes them from its front, and once that is empty from the back of the others':
 * so neighbours stay together where all are equally fast, and one slow core holds nobody longer than by the part that it
 * computes. Who takes a part reads the task behind it, which the caller wrote before there were parts: a worker that
 * wakes late finds none, or helps with the call that is under way by then. The caller waits for parts, not for workers.
 *
 * Compiled on its own, or as a piece of a model.c that defines POOL_LINKAGE as static.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif

#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef POOL_TAKES_OVER
#define POOL_TAKES_OVER 1 /* 0: a static split, to compare with */
#endif
#define SPIN_S 1e-3 /* who sleeps between two steps of a run is woken while the next one waits */

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
    pthread_t thread;
} __attribute__((aligned(POOL_LINE))) worker;

struct pool {
    gate done; /* parts that workers have computed so far */
    unsigned expected;
    int is_closing; /* atomic */
    pool_task *task;
    void *context;
    int worker_count;
    worker *workers;
    range *ranges; /* one more than workers */
};

static double pool_clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 7)
    __asm__ volatile("yield" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

static int gate_init(gate *self)
{
    memset(self, 0, sizeof *self);
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

/* The CPU that this thread runs on, -1 where the system does not say. */
static int this_cpu(void)
{
#ifdef __linux__
    return sched_getcpu();
#else
    return -1;
#endif
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

/* Until the count is `wanted`, or where `is_past`, any other. */
static void gate_wait(gate *self, unsigned wanted, int is_past)
{
    const double until_s = pool_clock_s() + SPIN_S;
    do {
        for (int i = 0; i < LOOKS_PER_CLOCK; ++i) {
            if ((__atomic_load_n(&self->count, __ATOMIC_ACQUIRE) == wanted) != is_past)
                return;
            relax();
        }
    } while (pool_clock_s() < until_s && !is_in_the_way(self));
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

static void *pool_work(void *argument)
{
    worker *const self = argument;
    pool *const threads = self->owner;
    for (unsigned seen = 0;;) {
        gate_wait(&self->handed, seen, 1);
        seen = __atomic_load_n(&self->handed.count, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&threads->is_closing, __ATOMIC_RELAXED))
            return NULL;
        gate_approach(&threads->done);
        const unsigned done = run_parts(threads, self->number);
        if (done > 0)
            gate_raise(&threads->done, done);
    }
}

/* The program's signals are for the program's own threads. */
static int start_worker(pool *threads, worker *self, int number)
{
    sigset_t all, before;
    self->owner = threads;
    self->number = number;
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

/* CPUs that this thread may run on; workers inherit its mask. */
static int allowed_cpus(void)
{
#ifdef __linux__
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
        return CPU_COUNT(&allowed);
#endif
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
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
    /* Who spins on a core that another thread of the pool needs only keeps it waiting. */
    const int cpus = allowed_cpus(), wanted = (threads < cpus ? threads : cpus) - 1;
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
        gate_wait(&threads->done, threads->expected, 0);
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
