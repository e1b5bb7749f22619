/*
 * A pool of two threads beside a busy process. Exit code 0: threads that lost their CPU to it were moved, every part of
 * every call ran once all the same, and who keeps off a CPU may run there again once it no longer does. 77: one CPU.
 */
#define POOL_LINKAGE static
#include "pool.c"

#include <sys/prctl.h>
#include <sys/wait.h>

enum { MOVES = 5, ALONE = 77 };
static const double LIMIT_S = 60.0;

typedef struct tally {
    long parts[2];
} tally;

static void count(void *context, int part)
{
    for (int i = 0; i < 20000; ++i)
        __asm__ volatile("" ::: "memory");
    ++((tally *)context)->parts[part];
}

static int last_cpu(const cpu_mask *cpus)
{
    int last = -1;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        last = CPU_ISSET(cpu, cpus) ? cpu : last;
    return last;
}

/* Calls until threads were moved so often; exit code. */
static int call_until_moved(pool *under_test)
{
    const double until_s = pool_clock_s() + LIMIT_S;
    tally seen = {{0, 0}};
    for (long calls = 1; under_test->moves < MOVES; ++calls) {
        pool_run(under_test, 2, count, &seen);
        if (seen.parts[0] != calls || seen.parts[1] != calls)
            return 1;
        if (pool_clock_s() > until_s)
            return 2;
    }
    return 0;
}

/* Done by this thread in a worker's place. */
static int keeps_off_and_returns(pool *under_test)
{
    const int cpu = last_cpu(&under_test->cpus);
    worker self = {.owner = under_test, .avoided_cpu = -1};
    cpu_mask off, on;
    keep_off(&self, cpu);
    if (!get_cpus(0, &off))
        return 0;
    keep_off(&self, -1);
    return get_cpus(0, &on) && !CPU_ISSET(cpu, &off) && CPU_COUNT(&off) == CPU_COUNT(&under_test->cpus) - 1 &&
           CPU_EQUAL(&on, &under_test->cpus);
}

int main(void)
{
    pool *const under_test = pool_new(2);
    if (!under_test)
        return 3;
    if (pool_threads(under_test) < 2)
        return ALONE;
    const cpu_mask shared = only_cpu(last_cpu(&under_test->cpus));
    const pid_t busy = fork();
    if (busy == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        set_cpus(0, &shared);
        for (;;)
            relax();
    }
    const int failed = busy < 0 ? 4 : call_until_moved(under_test);
    if (busy > 0) {
        kill(busy, SIGKILL);
        waitpid(busy, NULL, 0);
    }
    const int returned = keeps_off_and_returns(under_test);
    pool_free(under_test);
    return failed ? failed : returned ? 0 : 5;
}
