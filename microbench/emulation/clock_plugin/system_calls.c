/* See system_calls.h. Numbers are those of Linux's asm-generic/unistd.h, operations those of futex(2) and clone(2). */
#include "system_calls.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "core_model.h"
#include "pipeline.h"
#include "threads.h"

enum {
    EPOLL_PWAIT = 22,
    PSELECT6 = 72,
    PPOLL = 73,
    WAITID = 95,
    SET_TID_ADDRESS = 96,
    FUTEX = 98,
    NANOSLEEP = 101,
    CLOCK_GETTIME = 113,
    CLOCK_NANOSLEEP = 115,
    SCHED_GETAFFINITY = 123,
    RT_SIGSUSPEND = 133,
    RT_SIGTIMEDWAIT = 137,
    GETCPU = 168,
    GETTIMEOFDAY = 169,
    CLONE = 220,
    WAIT4 = 260
};
enum { WAIT, WAKE, REQUEUE = 3, COMPARE_REQUEUE, WAIT_BITS = 9, WAKE_BITS, OPERATION = 127 };
enum { CLONE_THREAD = 0x10000, CLONE_CHILD_CLEARS = 0x200000, ABSOLUTE_TIME = 1, NS_PER_US = 1000 };

typedef struct {
    uint64_t arguments[6];
    bool withheld; /* the kernel is asked to wait for another value than there is, so that it does not */
} system_call;

static system_call calls[MOST_THREADS];
static uint64_t guest_base, cleared;

void system_calls_place(uint64_t base)
{
    guest_base = base;
}

uint64_t system_calls_cleared(void)
{
    return cleared;
}

static void *at(uint64_t address)
{
    return (void *)(uintptr_t)(guest_base + address);
}

static uint32_t word_at(uint64_t address)
{
    uint32_t word;
    memcpy(&word, at(address), sizeof(word));
    return word;
}

static void put_word(uint64_t address, uint32_t word)
{
    memcpy(at(address), &word, sizeof(word));
}

static uint64_t cycles_of(uint64_t timespec)
{
    int64_t time[2];
    memcpy(time, at(timespec), sizeof(time));
    return (uint64_t)(((double)time[0] + (double)time[1] / NS_PER_S) * CLOCK_HZ);
}

static uint64_t deadline(unsigned thread, uint64_t timespec, bool absolute)
{
    return cycles_of(timespec) + (absolute ? 0 : pipeline_cycles(threads_core(thread)));
}

/* The kernel's own wait must not be, since it is not the kernel that wakes: the word differs while it is asked. */
static void wait_in_futex(unsigned thread, system_call *call, bool by_bits)
{
    const uint64_t *given = call->arguments;
    const uint32_t wanted = (uint32_t)given[2], bits = by_bits ? (uint32_t)given[5] : UINT32_MAX;
    if (word_at(given[0]) != wanted || !threads_are_several())
        return;
    threads_wait(thread, given[0], bits, given[3] ? deadline(thread, given[3], by_bits) : UINT64_MAX);
    call->withheld = threads_was_woken(thread) && word_at(given[0]) == wanted;
    if (call->withheld)
        put_word(given[0], wanted ^ 1);
}

static void call_futex(unsigned thread, system_call *call)
{
    const uint64_t *given = call->arguments;
    const int operation = (int)given[1] & OPERATION;
    const uint32_t most = (uint32_t)given[2], moved = (uint32_t)given[3];
    switch (operation) {
    case WAIT:
    case WAIT_BITS:
        wait_in_futex(thread, call, operation == WAIT_BITS);
        return;
    case WAKE:
    case WAKE_BITS:
        threads_signal(thread, given[0], operation == WAKE_BITS ? (uint32_t)given[5] : UINT32_MAX, most, 0, 0);
        return;
    case COMPARE_REQUEUE:
        if (word_at(given[0]) != (uint32_t)given[5])
            return;
        threads_signal(thread, given[0], UINT32_MAX, most, given[4], moved);
        return;
    case REQUEUE:
        threads_signal(thread, given[0], UINT32_MAX, most, given[4], moved);
        return;
    default:
        if (threads_are_several())
            threads_refuse("a program of several threads uses a futex operation that is not modelled");
    }
}

static void sleep_until(unsigned thread, uint64_t timespec, bool absolute)
{
    if (threads_are_several())
        threads_wait(thread, 0, 0, deadline(thread, timespec, absolute));
}

void system_call_begins(unsigned thread, int64_t number, const uint64_t arguments[6])
{
    system_call *call = &calls[thread];
    memcpy(call->arguments, arguments, sizeof(call->arguments));
    call->withheld = false;
    switch (number) {
    case FUTEX:
        call_futex(thread, call);
        return;
    case CLONE:
        cleared = arguments[0] & CLONE_CHILD_CLEARS ? arguments[4] : 0;
        return;
    case SET_TID_ADDRESS:
        threads_clears(thread, arguments[0]);
        return;
    case NANOSLEEP:
        sleep_until(thread, arguments[0], false);
        return;
    case CLOCK_NANOSLEEP:
        sleep_until(thread, arguments[2], arguments[1] & ABSOLUTE_TIME);
        return;
    case EPOLL_PWAIT:
    case PSELECT6:
    case PPOLL:
    case WAITID:
    case WAIT4:
    case RT_SIGSUSPEND:
    case RT_SIGTIMEDWAIT:
        if (threads_are_several())
            threads_refuse("a program of several threads waits for files, signals or processes, which is not modelled");
        return;
    default:
        return;
    }
}

static void tell_time(unsigned thread, uint64_t address, bool in_ns)
{
    const double elapsed_s = (double)pipeline_cycles(threads_core(thread)) / CLOCK_HZ;
    const int64_t whole_s = (int64_t)elapsed_s;
    const int64_t ns = (int64_t)((elapsed_s - (double)whole_s) * NS_PER_S + 0.5);
    const int64_t time[2] = {whole_s, in_ns ? ns : ns / NS_PER_US};
    if (address)
        memcpy(at(address), time, sizeof(time)); /* over what the kernel wrote */
}

/* All of the model's cores, whatever this machine has. */
static void tell_affinity(uint64_t address, int64_t bytes)
{
    memset(at(address), 0, (size_t)bytes);
    put_word(address, (1u << CORES) - 1);
}

void system_call_ends(unsigned thread, int64_t number, int64_t result)
{
    system_call *call = &calls[thread];
    const uint64_t *given = call->arguments;
    if (call->withheld)
        put_word(given[0], (uint32_t)given[2]);
    call->withheld = false;
    if (number == CLONE && result > 0)
        threads_start(thread);
    else if (number == CLOCK_GETTIME && result == 0)
        tell_time(thread, given[1], true);
    else if (number == GETTIMEOFDAY && result == 0)
        tell_time(thread, given[0], false);
    else if (number == SCHED_GETAFFINITY && result > 0)
        tell_affinity(given[2], result);
    else if (number == GETCPU && result == 0 && given[0])
        put_word(given[0], threads_core(thread));
}
