#include "pi_clock.h"

#include <math.h>

#define PS_PER_S 1000000000000
#define PS_PER_US 1000000
#define PS_PER_NS 1000
/* Times that a whole number of instructions takes are far from where rounding would be a matter of luck. */
#define ROUNDING_PS 300

/* Since `counted_from` instructions: what the thread's clocks told then. */
typedef struct thread_time {
    uint64_t instructions, counted_from, time_ps, computed_ps;
} __attribute__((aligned(64))) thread_time;

static thread_time threads[PI_MOST_THREADS];
static double ps_per_instruction;

void pi_clock_start(double instructions_per_s) { ps_per_instruction = PS_PER_S / instructions_per_s; }

void pi_clock_count(unsigned thread, uint64_t instructions) { threads[thread % PI_MOST_THREADS].instructions += instructions; }

void pi_clock_pass(unsigned thread, double seconds)
{
    threads[thread % PI_MOST_THREADS].time_ps += (uint64_t)llround(seconds * PS_PER_S);
}

static uint64_t counted_ps(const thread_time *own)
{
    return (uint64_t)llround((double)(own->instructions - own->counted_from) * ps_per_instruction);
}

static uint64_t farthest_ps(void)
{
    uint64_t farthest = 0;
    for (unsigned i = 0; i < PI_MOST_THREADS; ++i) {
        const uint64_t own = threads[i].time_ps + counted_ps(&threads[i]);
        farthest = own > farthest ? own : farthest;
    }
    return farthest;
}

static uint64_t whole_ns(uint64_t ps) { return (ps + ROUNDING_PS) / PS_PER_NS; }

uint64_t pi_clock_ns(void) { return whole_ns(farthest_ps()); }

uint64_t pi_clock_thread_ns(unsigned thread)
{
    const thread_time *own = &threads[thread % PI_MOST_THREADS];
    return whole_ns(own->computed_ps + counted_ps(own));
}

uint64_t pi_clock_computed_ns(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < PI_MOST_THREADS; ++i)
        sum += pi_clock_thread_ns(i);
    return sum;
}

void pi_clock_join(unsigned thread)
{
    thread_time *own = &threads[thread % PI_MOST_THREADS];
    own->time_ps = farthest_ps() - counted_ps(own);
}

static uint64_t next(uint64_t time, uint64_t step) { return (time / step + 1) * step; }

void pi_clock_next_second(unsigned thread)
{
    thread_time *own = &threads[thread % PI_MOST_THREADS];
    own->time_ps = next(farthest_ps(), PS_PER_S);
    own->computed_ps = next(own->computed_ps + counted_ps(own), PS_PER_US);
    own->counted_from = own->instructions;
}
