/*
 * Every worker has a gate that the caller raises for each call it takes part in; all raise the caller's gate when
 * they are done. No other memory is shared but the task, which is written while no worker reads it.
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

#define SPIN_S 1e-3 /* who sleeps between two steps of a run is woken while the next one waits */

enum { POOL_LINE = 64, LOOKS_PER_CLOCK = 32 };

/* A counter that one thread waits for and others raise. It may wrap around: only equality is asked for. */
typedef struct gate {
    unsigned count; /* these three are atomic */
    int is_asleep;
    int raiser_cpu; /* where who raises it was last seen to run */
    pthread_mutex_t mutex;
    pthread_cond_t raised;
} gate;

typedef struct worker {
    gate handed; /* calls handed to this worker so far */
    pool *owner;
    int first; /* its first part; the others follow at a distance of `stride` */
    pthread_t thread;
} __attribute__((aligned(POOL_LINE))) worker;

struct pool {
    gate done; /* calls that workers have ended so far */
    unsigned expected;
    int parts, stride;
    pool_task *task; /* NULL ends a worker */
    void *context;
    int worker_count;
    worker *workers;
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
static void gate_raise(gate *self)
{
    __atomic_add_fetch(&self->count, 1u, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&self->is_asleep, __ATOMIC_SEQ_CST))
        return;
    pthread_mutex_lock(&self->mutex);
    pthread_cond_signal(&self->raised);
    pthread_mutex_unlock(&self->mutex);
}

static void gate_sleep(gate *self, unsigned wanted)
{
    pthread_mutex_lock(&self->mutex);
    __atomic_store_n(&self->is_asleep, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&self->count, __ATOMIC_SEQ_CST) != wanted)
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

static void gate_wait(gate *self, unsigned wanted)
{
    const double until_s = pool_clock_s() + SPIN_S;
    do {
        for (int i = 0; i < LOOKS_PER_CLOCK; ++i) {
            if (__atomic_load_n(&self->count, __ATOMIC_ACQUIRE) == wanted)
                return;
            relax();
        }
    } while (pool_clock_s() < until_s && !is_in_the_way(self));
    gate_sleep(self, wanted);
}

static void run_parts(const pool *threads, int first)
{
    for (int part = first; part < threads->parts; part += threads->stride)
        threads->task(threads->context, part);
}

static void *pool_work(void *argument)
{
    worker *const self = argument;
    pool *const threads = self->owner;
    for (unsigned handed = 1;; ++handed) {
        gate_wait(&self->handed, handed);
        if (!threads->task)
            return NULL;
        gate_approach(&threads->done);
        run_parts(threads, self->first);
        gate_raise(&threads->done);
    }
}

/* The program's signals are for the program's own threads. */
static int start_worker(pool *threads, worker *self, int first)
{
    sigset_t all, before;
    self->owner = threads;
    self->first = first;
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
    const int workers = parts - 1 < threads->worker_count ? parts - 1 : threads->worker_count;
    threads->task = task;
    threads->context = context;
    threads->parts = parts;
    threads->stride = workers + 1;
    threads->expected += (unsigned)workers;
    for (int i = 0; i < workers; ++i) {
        gate_approach(&threads->workers[i].handed);
        gate_raise(&threads->workers[i].handed);
    }
    run_parts(threads, 0);
    if (workers > 0)
        gate_wait(&threads->done, threads->expected);
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
    threads->task = NULL;
    for (int i = 0; i < threads->worker_count; ++i)
        gate_raise(&threads->workers[i].handed);
    for (int i = 0; i < threads->worker_count; ++i) {
        pthread_join(threads->workers[i].thread, NULL);
        gate_destroy(&threads->workers[i].handed);
    }
    gate_destroy(&threads->done);
    free(threads->workers);
    free(threads);
}
