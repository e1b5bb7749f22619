/*
 * What a pool asks of the system about threads and CPUs. Where that is not Linux the answers are that nothing is known and
 * nothing happens: only time depends on them.
 */
#ifndef EXPLORE_POOL_CPUS_H
#define EXPLORE_POOL_CPUS_H

#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <stdint.h>
#include <sys/syscall.h>
#endif

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

#ifdef __linux__
typedef cpu_set_t cpu_mask;

static int this_cpu(void)
{
    return sched_getcpu();
}

/* The system's name for the calling thread. */
static int this_thread(void)
{
    static __thread int id;
    if (id == 0)
        id = (int)syscall(SYS_gettid);
    return id;
}

/* CPUs that a thread may run on; whether the system said. */
static int get_cpus(int thread, cpu_mask *cpus)
{
    return sched_getaffinity(thread, sizeof *cpus, cpus) == 0;
}

static void set_cpus(int thread, const cpu_mask *cpus)
{
    (void)sched_setaffinity(thread, sizeof *cpus, cpus);
}

/* All CPUs of a set but one, or all where that would be none. */
static cpu_mask without_cpu(cpu_mask cpus, int cpu)
{
    if (cpu >= 0 && CPU_COUNT(&cpus) > 1)
        CPU_CLR(cpu, &cpus);
    return cpus;
}

static cpu_mask only_cpu(int cpu)
{
    cpu_mask one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return one;
}

/* Whether a thread does not run while this one looks, for so long. */
static int stands_still(int thread, double seconds)
{
    const clockid_t processor_time = (clockid_t)((~(unsigned)thread << 3) | 6); /* of that thread, by Linux's encoding */
    const double until_s = pool_clock_s() + seconds;
    struct timespec before, after;
    if (clock_gettime(processor_time, &before) != 0)
        return 0;
    while (pool_clock_s() < until_s)
        relax();
    return clock_gettime(processor_time, &after) == 0 && before.tv_sec == after.tv_sec && before.tv_nsec == after.tv_nsec;
}

/* Asks for the CPU in slices of a length, 0 for the system's own, which leaves this thread's share of it as it is. Linux
 * before 6.12 has one length for all. */
static void ask_for_slices(uint64_t length_ns)
{
#ifdef SYS_sched_setattr
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } attributes;
    memset(&attributes, 0, sizeof attributes);
    if (syscall(SYS_sched_getattr, 0, &attributes, (unsigned)sizeof attributes, 0u) != 0)
        return;
    attributes.runtime_ns = length_ns;
    (void)syscall(SYS_sched_setattr, 0, &attributes, 0u);
#else
    (void)length_ns;
#endif
}

static int cpu_count(const cpu_mask *cpus)
{
    return CPU_COUNT(cpus);
}
#else
typedef int cpu_mask;

static int this_cpu(void)
{
    return -1;
}

static int this_thread(void)
{
    return 0;
}

static int get_cpus(int thread, cpu_mask *cpus)
{
    (void)thread, (void)cpus;
    return 0;
}

static void set_cpus(int thread, const cpu_mask *cpus)
{
    (void)thread, (void)cpus;
}

static cpu_mask without_cpu(cpu_mask cpus, int cpu)
{
    (void)cpu;
    return cpus;
}

static cpu_mask only_cpu(int cpu)
{
    return cpu;
}

static int stands_still(int thread, double seconds)
{
    (void)thread, (void)seconds;
    return 0;
}

static void ask_for_slices(unsigned long long length_ns)
{
    (void)length_ns;
}

static int cpu_count(const cpu_mask *cpus)
{
    (void)cpus;
    return 0;
}
#endif

#endif
