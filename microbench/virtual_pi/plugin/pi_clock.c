#include "pi_clock.h"

typedef struct thread_time {
    uint64_t instructions;
    double passed_s;
} __attribute__((aligned(64))) thread_time;

static thread_time threads[PI_MOST_THREADS];
static double ns_per_instruction;

static const double NS_PER_S = 1e9;

void pi_clock_start(double instructions_per_s) { ns_per_instruction = NS_PER_S / instructions_per_s; }

void pi_clock_count(unsigned thread, uint64_t instructions) { threads[thread % PI_MOST_THREADS].instructions += instructions; }

void pi_clock_pass(unsigned thread, double seconds) { threads[thread % PI_MOST_THREADS].passed_s += seconds; }

uint64_t pi_clock_thread_ns(unsigned thread)
{
    return (uint64_t)((double)threads[thread % PI_MOST_THREADS].instructions * ns_per_instruction);
}

static double time_ns(unsigned thread)
{
    return (double)threads[thread].instructions * ns_per_instruction + threads[thread].passed_s * NS_PER_S;
}

static double farthest_ns(void)
{
    double farthest = 0.0;
    for (unsigned i = 0; i < PI_MOST_THREADS; ++i) {
        const double own = time_ns(i);
        farthest = own > farthest ? own : farthest;
    }
    return farthest;
}

uint64_t pi_clock_ns(void) { return (uint64_t)farthest_ns(); }

uint64_t pi_clock_computed_ns(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < PI_MOST_THREADS; ++i)
        sum += pi_clock_thread_ns(i);
    return sum;
}

void pi_clock_join(unsigned thread)
{
    const double behind_ns = farthest_ns() - time_ns(thread % PI_MOST_THREADS);
    pi_clock_pass(thread, behind_ns / NS_PER_S);
}
