/* See threads.h. All constants are the core model's (core_model.h). */
#include "threads.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core_model.h"
#include "pipeline.h"

#define NEVER UINT64_MAX

enum { NOBODY = -1, ASLEEP_AHEAD = 10000 /* instructions, while clocks stand */, LOOK_US = 50, REFUSED = 70 };

typedef enum { ABSENT, RUNS, WAITS } thread_state; /* who waits has no core */

typedef struct {
    thread_state state;
    int core;           /* the last one that it had */
    uint64_t order;     /* instructions, while clocks stand */
    uint64_t begins;    /* cycles before which it does not go on */
    uint64_t cleared;
    uint64_t address, deadline, arrival; /* of a wait */
    uint32_t bits;
    bool woken;
    pthread_cond_t turn;
} thread;

static thread threads[MOST_THREADS];
static int on_core[CORES];
static unsigned known, begun, alive; /* `known`: one more than the largest number so far */
static uint64_t arrivals, limit = NEVER; /* the running thread goes on up to here */
static bool clocks_go, released;
static long leaving; /* the kernel's number of a thread that has not yet ended, or 0 */
static int starter = NOBODY, newest = NOBODY;
static int running = NOBODY; /* it alone changes what is here; others wait for `turn` */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void threads_refuse(const char *why)
{
    fprintf(stderr, "clock: %s\n", why);
    fflush(stderr);
    _exit(REFUSED);
}

unsigned threads_begun(void)
{
    return begun;
}

unsigned threads_core(unsigned which)
{
    return (unsigned)threads[which].core;
}

bool threads_are_several(void)
{
    return alive > 1;
}

bool threads_are_released(void)
{
    return __atomic_load_n(&released, __ATOMIC_ACQUIRE);
}

static uint64_t order_of(const thread *one)
{
    return clocks_go ? pipeline_cycles((unsigned)one->core) : one->order;
}

/* A core for a thread that goes on at `at`: its last one, or the first that is free. */
static void take_core(unsigned which, uint64_t at)
{
    thread *one = &threads[which];
    int core = one->core >= 0 && on_core[one->core] == NOBODY ? one->core : 0;
    while (core < CORES && on_core[core] != NOBODY)
        ++core;
    if (core == CORES) {
        static char why[128];
        snprintf(why, sizeof(why), "more than %d threads run at once, and the model has that many cores", CORES);
        threads_refuse(why);
    }
    on_core[core] = (int)which;
    one->core = core;
    one->state = RUNS;
    if (clocks_go)
        pipeline_resume((unsigned)core, at);
}

static void leave_core(unsigned which)
{
    on_core[threads[which].core] = NOBODY;
}

static bool competes(const thread *one, thread_state state)
{
    return one->state == state && (state == RUNS || one->deadline != NEVER);
}

/* The thread to go on, and in `second` the order of the one after it. Deadlines pass as clocks go, or where nobody runs. */
static int soonest(uint64_t *second)
{
    int best = NOBODY;
    uint64_t best_at = NEVER;
    *second = NEVER;
    for (thread_state state = RUNS; state <= WAITS; ++state)
        for (unsigned i = 0; i < known && (state == RUNS || clocks_go || best == NOBODY); ++i) {
            const thread *one = &threads[i];
            if (!competes(one, state))
                continue;
            const uint64_t at = state == RUNS ? order_of(one) : one->deadline;
            const bool sooner = best == NOBODY || at < best_at;
            const uint64_t other = sooner ? best_at : at;
            *second = other < *second ? other : *second;
            best = sooner ? (int)i : best;
            best_at = sooner ? at : best_at;
        }
    if (best != NOBODY && threads[best].state == WAITS) { /* its deadline has come */
        threads[best].deadline = NEVER;
        take_core((unsigned)best, best_at);
    }
    return best;
}

static void pass_to(int next)
{
    pthread_mutex_lock(&lock);
    __atomic_store_n(&running, next, __ATOMIC_RELEASE);
    if (next != NOBODY)
        pthread_cond_signal(&threads[next].turn);
    pthread_mutex_unlock(&lock);
}

/* Lets the thread go on whose turn it is. */
static void choose(void)
{
    uint64_t second;
    const int next = soonest(&second);
    if (next == NOBODY && alive > 0)
        threads_refuse("every thread of the program waits for another");
    const uint64_t ahead = clocks_go ? AHEAD_CYCLES : ASLEEP_AHEAD;
    limit = second == NEVER ? NEVER : second + ahead;
    pass_to(next);
}

/* Once its model has ended, the emulator clears a thread's word, which another may hold as a lock by then. */
static void see_off(void)
{
    char task[64];
    snprintf(task, sizeof(task), "/proc/self/task/%ld", leaving);
    while (access(task, F_OK) == 0)
        usleep(LOOK_US);
    leaving = 0;
}

void threads_enter(unsigned which)
{
    if (threads_are_released())
        return;
    if (__atomic_load_n(&running, __ATOMIC_ACQUIRE) != (int)which) {
        pthread_mutex_lock(&lock);
        while (running != (int)which && !threads_are_released())
            pthread_cond_wait(&threads[which].turn, &lock);
        pthread_mutex_unlock(&lock);
    }
    if (leaving && running == (int)which)
        see_off();
}

void threads_begin(unsigned which, uint64_t cleared)
{
    if (which >= MOST_THREADS)
        threads_refuse("the program has too many threads");
    thread *one = &threads[which];
    if (begun == 0)
        for (int i = 0; i < CORES; ++i)
            on_core[i] = NOBODY;
    const uint64_t at = begun && clocks_go ? pipeline_cycles(threads_core((unsigned)running)) + WAKE_CYCLES : 0;
    *one = (thread){.core = NOBODY, .cleared = cleared, .deadline = NEVER, .turn = PTHREAD_COND_INITIALIZER};
    one->order = begun ? threads[running].order : 0;
    if (which >= known)
        known = which + 1;
    ++begun;
    ++alive;
    take_core(which, at);
    if (begun == 1)
        running = (int)which;
    else
        newest = (int)which;
}

void threads_start(unsigned which)
{
    if (newest == NOBODY)
        return;
    starter = (int)which;
    limit = NEVER;
    const int child = newest;
    newest = NOBODY;
    pass_to(child);
    threads_enter(which);
}

void threads_started(unsigned which)
{
    if (starter == NOBODY)
        return;
    const int first = starter;
    starter = NOBODY;
    limit = 0; /* whose turn it is has to be asked again */
    pass_to(first);
    threads_enter(which);
}

void threads_clears(unsigned which, uint64_t cleared)
{
    threads[which].cleared = cleared;
}

void threads_end(unsigned which)
{
    if (threads_are_released())
        return;
    if (threads[which].cleared)
        threads_signal(which, threads[which].cleared, UINT32_MAX, UINT32_MAX, 0, 0);
    leave_core(which);
    threads[which].state = ABSENT;
    --alive;
    leaving = syscall(SYS_gettid);
    choose();
}

void threads_ran(unsigned which, unsigned instructions)
{
    thread *one = &threads[which];
    one->order += instructions;
    if (limit == NEVER || order_of(one) <= limit)
        return;
    choose();
    threads_enter(which);
}

void threads_wake(void)
{
    clocks_go = true;
    limit = 0;
}

void threads_wait(unsigned which, uint64_t address, uint32_t bits, uint64_t deadline)
{
    thread *one = &threads[which];
    one->state = WAITS;
    one->address = address;
    one->bits = bits;
    one->deadline = deadline;
    one->arrival = ++arrivals;
    one->woken = false;
    one->begins = pipeline_cycles((unsigned)one->core);
    leave_core(which);
    choose();
    threads_enter(which);
}

bool threads_was_woken(unsigned which)
{
    return threads[which].woken;
}

static int first_waiter(uint64_t address, uint32_t bits)
{
    int first = NOBODY;
    for (unsigned i = 0; i < known; ++i) {
        const thread *one = &threads[i];
        if (one->state == WAITS && one->address == address && (one->bits & bits) &&
            (first == NOBODY || one->arrival < threads[first].arrival))
            first = (int)i;
    }
    return first;
}

void threads_signal(unsigned which, uint64_t address, uint32_t bits, uint32_t most, uint64_t to, uint32_t moved)
{
    int waiter;
    bool woke = false;
    for (; most > 0 && (waiter = first_waiter(address, bits)) != NOBODY; --most, woke = true) {
        thread *one = &threads[waiter];
        const uint64_t woken = pipeline_cycles(threads_core(which)) + WAKE_CYCLES;
        one->woken = true;
        one->deadline = NEVER;
        one->order = threads[which].order;
        take_core((unsigned)waiter, woken > one->begins ? woken : one->begins);
    }
    for (; moved > 0 && (waiter = first_waiter(address, bits)) != NOBODY; --moved)
        threads[waiter].address = to;
    if (!woke)
        return;
    if (clocks_go)
        pipeline_resume(threads_core(which), pipeline_cycles(threads_core(which)) + WAKING_CYCLES);
    limit = 0;
}

void threads_release(void)
{
    pthread_mutex_lock(&lock);
    __atomic_store_n(&released, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < known; ++i)
        if (threads[i].state == RUNS)
            pthread_cond_broadcast(&threads[i].turn);
    pthread_mutex_unlock(&lock);
}
