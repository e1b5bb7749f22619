/*
 * Many short parallel calls of pools of several sizes. Exit code 0: every part of every call ran exactly once and
 * had ended when its call returned, and a part that takes long held no others.
 *
 *   pool_stress CALLS
 */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pool.h"

enum { MOST = 5, PARTS = 3 * MOST, PAUSE_EVERY = 500, PAUSE_NS = 200000 };

typedef struct tally {
    long parts[PARTS]; /* plain memory: the pool alone orders the writes */
} tally;

static int calls;

static void count(void *context, int part)
{
    tally *const seen = context;
    seen->parts[part] += part + 1;
}

static int stress(int threads)
{
    const struct timespec pause = {0, PAUSE_NS}; /* long enough for workers to fall asleep */
    tally seen;
    long expected[PARTS] = {0};
    pool *const under_test = pool_new(threads);
    memset(&seen, 0, sizeof seen);
    for (int call = 0; under_test && call < calls; ++call) {
        const int parts = 1 + call % (3 * threads);
        pool_run(under_test, parts, count, &seen);
        for (int part = 0; part < parts; ++part)
            expected[part] += part + 1;
        if (memcmp(seen.parts, expected, sizeof expected) != 0)
            return 1;
        if (call % PAUSE_EVERY == 0)
            nanosleep(&pause, NULL);
    }
    pool_free(under_test);
    return under_test == NULL;
}

/* A part that does not end before all others have. */
typedef struct slow {
    int part, ended;
} slow;

static void wait_for_others(void *context, int part)
{
    slow *const self = context;
    while (part == self->part && __atomic_load_n(&self->ended, __ATOMIC_ACQUIRE) < PARTS - 1)
        sched_yield();
    __atomic_add_fetch(&self->ended, 1, __ATOMIC_RELEASE);
}

/* Whoever has the slow part, the other thread computes all that are left. */
static int one_slow_part_holds_nobody(void)
{
    pool *const under_test = pool_new(2);
    for (int part = 0; under_test && pool_threads(under_test) == 2 && part < PARTS; ++part) {
        slow context = {part, 0};
        pool_run(under_test, PARTS, wait_for_others, &context);
        if (context.ended != PARTS)
            return 1;
    }
    pool_free(under_test);
    return under_test == NULL;
}

static void nothing(void *context, int part)
{
    (void)context;
    (void)part;
}

static void count_late(void *context, int part)
{
    for (int i = 0; i < 300; ++i)
        __asm__ volatile("" ::: "memory");
    *(int *)context += part + 1;
}

/* A worker that is late for a call of two parts may take the only part of the next. */
static int a_late_worker_is_waited_for(void)
{
    pool *const under_test = pool_new(2);
    int seen = 0;
    for (int call = 1; under_test && call <= 100 * calls; ++call) {
        pool_run(under_test, 2, nothing, NULL);
        pool_run(under_test, 1, count_late, &seen);
        if (seen != call)
            return 1;
    }
    pool_free(under_test);
    return under_test == NULL;
}

static void *stress_all(void *failed)
{
    for (int threads = 1; threads <= MOST; ++threads)
        *(int *)failed |= stress(threads);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t other;
    int failed[2] = {0, 0};
    calls = argc == 2 ? atoi(argv[1]) : 0;
    if (calls < 1 || pthread_create(&other, NULL, stress_all, &failed[1]) != 0)
        return 2;
    stress_all(&failed[0]); /* two callers, each with pools of its own */
    pthread_join(other, NULL);
    for (int i = 0; i < 100; ++i)
        pool_free(pool_new(3));
    pool_free(NULL);
    return failed[0] || failed[1] || one_slow_part_holds_nobody() || a_late_worker_is_waited_for();
}
