/*
 * Every worker has a gate that the caller raises for each part it hands over; all raise the caller's gate when
 * they are done. No other memory is shared but the task, which is written while no worker reads it.
 */
#define _POSIX_C_SOURCE 200809L

#include "pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SPIN_S 50e-6 /* of the order of what it costs to wake a sleeping thread */

enum { LINE = 64, LOOKS_PER_CLOCK = 32 };

/* A counter that one thread waits for and others raise. It may wrap around: only equality is asked for. */
typedef struct gate {
    unsigned count; /* these two are atomic */
    int is_asleep;
    pthread_mutex_t mutex;
    pthread_cond_t raised;
} gate;

typedef struct worker {
    gate handed; /* parts handed to this worker so far */
    pool *owner;
    int part;
    pthread_t thread;
} __attribute__((aligned(LINE))) worker;

struct pool {
    gate done; /* parts that workers have ended so far */
    unsigned expected;
    double spin_s;
    pool_task *task; /* NULL ends a worker */
    void *context;
    int worker_count;
    worker *workers;
};

static double clock_s(void)
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

static void gate_wait(gate *self, unsigned wanted, double spin_s)
{
    const double until_s = spin_s > 0.0 ? clock_s() + spin_s : 0.0;
    do {
        for (int i = 0; i < LOOKS_PER_CLOCK; ++i) {
            if (__atomic_load_n(&self->count, __ATOMIC_ACQUIRE) == wanted)
                return;
            relax();
        }
    } while (spin_s > 0.0 && clock_s() < until_s);
    gate_sleep(self, wanted);
}

static void *work(void *argument)
{
    worker *const self = argument;
    pool *const threads = self->owner;
    for (unsigned handed = 1;; ++handed) {
        gate_wait(&self->handed, handed, threads->spin_s);
        if (!threads->task)
            return NULL;
        threads->task(threads->context, self->part);
        gate_raise(&threads->done);
    }
}

/* The program's signals are for the program's own threads. */
static int start(pool *threads, worker *self, int part)
{
    sigset_t all, before;
    self->owner = threads;
    self->part = part;
    if (gate_init(&self->handed) != 0)
        return -1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&self->thread, NULL, work, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        gate_destroy(&self->handed);
    return failed ? -1 : 0;
}

pool *pool_new(int threads)
{
    void *memory = NULL;
    if (threads < 1 || posix_memalign(&memory, LINE, sizeof(pool)) != 0)
        return NULL;
    pool *const made = memory;
    memset(made, 0, sizeof *made);
    if (gate_init(&made->done) != 0) {
        free(made);
        return NULL;
    }
    /* Who spins on a core that another thread of the pool needs only keeps it waiting. */
    made->spin_s = sysconf(_SC_NPROCESSORS_ONLN) >= threads ? SPIN_S : 0.0;
    int failed = posix_memalign(&memory, LINE, (size_t)threads * sizeof(worker)) != 0;
    made->workers = failed ? NULL : memory;
    while (!failed && made->worker_count < threads - 1) {
        failed = start(made, &made->workers[made->worker_count], made->worker_count + 1) != 0;
        made->worker_count += !failed;
    }
    if (!failed)
        return made;
    pool_free(made);
    return NULL;
}

void pool_run(pool *threads, int parts, pool_task *task, void *context)
{
    threads->task = task;
    threads->context = context;
    threads->expected += (unsigned)(parts - 1);
    for (int i = 0; i < parts - 1; ++i)
        gate_raise(&threads->workers[i].handed);
    task(context, 0);
    gate_wait(&threads->done, threads->expected, threads->spin_s);
}

typedef struct kernel_call {
    pool_kernel *kernel;
    const float *const *inputs;
    const float *weights;
    float *output;
    void *workspace;
} kernel_call;

static void call_kernel(void *context, int part)
{
    const kernel_call *const call = context;
    call->kernel(call->inputs, call->weights, call->output, call->workspace, part);
}

void pool_run_kernel(pool *threads, int parts, pool_kernel *kernel, const float *const *inputs,
                     const float *weights, float *output, void *workspace)
{
    kernel_call call = {kernel, inputs, weights, output, workspace};
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
