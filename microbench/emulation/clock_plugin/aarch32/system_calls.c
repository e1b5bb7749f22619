/* See system_calls.h. Numbers are those of Linux's arch/arm/tools/syscall.tbl. */
#include "system_calls.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "core_model.h"
#include "pipeline.h"
#include "threads.h"

enum {
    GETTIMEOFDAY = 78,
    CLONE = 120,
    SCHED_GETAFFINITY = 242,
    CLOCK_GETTIME = 263,
    GETCPU = 345,
    CLOCK_GETTIME64 = 403
};
enum { NS_PER_US = 1000 };

static uint64_t guest_base, given[6];

void system_calls_place(uint64_t base)
{
    guest_base = base;
}

uint64_t system_calls_cleared(void)
{
    return 0;
}

static void *at(uint64_t address)
{
    return (void *)(uintptr_t)(guest_base + address);
}

void system_call_begins(unsigned thread, int64_t number, const uint64_t arguments[6])
{
    (void)thread;
    memcpy(given, arguments, sizeof(given));
    if (number == CLONE)
        threads_refuse("threads are not modelled in 32-bit state: the program may have one");
}

/* In nanoseconds or microseconds; fields of 64 bits or of 32. Over what the kernel wrote. */
static void tell_time(unsigned thread, uint64_t address, bool in_ns, bool wide)
{
    const double elapsed_s = (double)pipeline_cycles(threads_core(thread)) / CLOCK_HZ;
    const int64_t whole_s = (int64_t)elapsed_s;
    const int64_t ns = (int64_t)((elapsed_s - (double)whole_s) * NS_PER_S + 0.5);
    const int64_t time[2] = {whole_s, in_ns ? ns : ns / NS_PER_US};
    const int32_t narrow[2] = {(int32_t)time[0], (int32_t)time[1]};
    if (address)
        memcpy(at(address), wide ? (const void *)time : narrow, wide ? sizeof(time) : sizeof(narrow));
}

void system_call_ends(unsigned thread, int64_t number, int64_t result)
{
    static const uint32_t first_core = 1;
    if (number == CLOCK_GETTIME64 && result == 0)
        tell_time(thread, given[1], true, true);
    else if (number == CLOCK_GETTIME && result == 0)
        tell_time(thread, given[1], true, false);
    else if (number == GETTIMEOFDAY && result == 0)
        tell_time(thread, given[0], false, false);
    else if (number == SCHED_GETAFFINITY && result >= (int64_t)sizeof(first_core)) {
        memset(at(given[2]), 0, (size_t)result);
        memcpy(at(given[2]), &first_core, sizeof(first_core));
    } else if (number == GETCPU && result == 0 && given[0]) {
        memset(at(given[0]), 0, sizeof(uint32_t));
    }
}
