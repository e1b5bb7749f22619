/*
 * One microbenchmark of a CPU.
 *
 *   cpu_suite RESULT KERNEL BYTES STRIDE SECONDS
 *
 * It repeats a piece of work of well below a time slice for at least SECONDS. RESULT receives two float64: how many of
 * what the kernel counts a piece has, and the seconds of the fastest piece, which no other program disturbed.
 *
 * KERNEL, what it counts, and what BYTES and STRIDE are to it:
 *   cycle   additions, each of which waits for the one before: cycles
 *   add     independent additions
 *   latency multiply-accumulates of float32, each of which waits for the one before
 *   load    loads of a word, from BYTES one after another
 *   store   stores of a word, to BYTES one after another
 *   chase   loads, each of whose addresses is what the one before found, STRIDE apart in a random order of all BYTES
 *   pairs   the same in blocks of BLOCK bytes, with a second load in each, whose address differs in the bit STRIDE
 *   read    bytes read one after another, of BYTES
 *   write   bytes written one after another, of BYTES
 *   call    calls of a function that does nothing
 *   share   pieces of no work, shared out between STRIDE threads that wait awake
 *   wake    the same where they sleep
 *
 * Exit code: 0 done; 1 bad arguments, no memory or no threads, or RESULT cannot be written.
 */
#define _GNU_SOURCE

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "pool.h"

enum { STEPS = 1 << 16, CHAINS = 8, BLOCK = 512, SLEEPS = 15, PAGE = 1 << 21 };

typedef struct {
    unsigned char *memory;
    size_t bytes, stride;
    pool *threads;
    uintptr_t state;
} bench;

typedef double kernel(bench *b);

/* The compiler must take the value for changed, so that no step can be spared. */
#define KEPT(value) __asm__ volatile("" : "+r"(value))
#define TOUCHED() __asm__ volatile("" : : : "memory")

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double cycle(bench *b)
{
    uintptr_t sum = b->state, step = b->stride;
    KEPT(step);
    for (int i = 0; i < STEPS; i += CHAINS)
#pragma GCC unroll 8
        for (int j = 0; j < CHAINS; ++j) {
            sum += step;
            KEPT(sum);
        }
    b->state = sum;
    return STEPS;
}

static double add(bench *b)
{
    uintptr_t a = 0, c = 1, d = 2, e = 3, f = 4, g = 5, step = b->stride;
    KEPT(step);
    for (int i = 0; i < STEPS; i += 6 * 4)
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
            a += step, c += step, d += step, e += step, f += step, g += step;
            KEPT(a);
            KEPT(c);
            KEPT(d);
            KEPT(e);
            KEPT(f);
            KEPT(g);
        }
    b->state += a + c + d + e + f + g;
    return (double)((STEPS + 23) / 24) * 24;
}

static double latency(bench *b)
{
    volatile float factor = 0.5f, addend = 0.25f, kept;
    const float x = factor, y = addend;
    float sum = (float)b->bytes;
    for (int i = 0; i < STEPS / 4; ++i)
        sum = sum * x + y;
    kept = sum;
    (void)kept;
    return STEPS / 4;
}

static double load(bench *b)
{
    const volatile uint32_t *words = (const volatile uint32_t *)b->memory;
    const size_t count = b->bytes / sizeof *words;
    for (int round = 0; round < 16; ++round)
        for (size_t i = 0; i < count; i += 8)
#pragma GCC unroll 8
            for (size_t j = 0; j < 8; ++j)
                (void)words[i + j];
    return 16.0 * (double)count;
}

static double store(bench *b)
{
    volatile uint32_t *words = (volatile uint32_t *)b->memory;
    const size_t count = b->bytes / sizeof *words;
    for (int round = 0; round < 16; ++round)
        for (size_t i = 0; i < count; i += 8)
#pragma GCC unroll 8
            for (size_t j = 0; j < 8; ++j)
                words[i + j] = 1;
    return 16.0 * (double)count;
}

static double chase(bench *b)
{
    uintptr_t at = b->state;
    for (int i = 0; i < STEPS / 8; ++i)
        at = *(const uintptr_t *)at;
    KEPT(at);
    b->state = at;
    return STEPS / 8;
}

static double pairs(bench *b)
{
    uintptr_t at = b->state;
    for (int i = 0; i < STEPS / 32; ++i) {
        const uintptr_t next = *(const uintptr_t *)at;
        at = next + *(const uintptr_t *)(next ^ b->stride); /* 0 lies there */
    }
    KEPT(at);
    b->state = at;
    return STEPS / 32;
}

static double read_all(bench *b)
{
    const uint32_t *words = (const uint32_t *)b->memory;
    uint32_t sum = 0;
    TOUCHED();
    for (size_t i = 0; i < b->bytes / sizeof *words; ++i)
        sum += words[i];
    KEPT(sum);
    return (double)b->bytes;
}

static double write_all(bench *b)
{
    uint32_t *words = (uint32_t *)b->memory, value = 1;
    KEPT(value); /* or it would be memset, which has ways of its own */
    for (size_t i = 0; i < b->bytes / sizeof *words; ++i)
        words[i] = value + (uint32_t)i;
    TOUCHED();
    return (double)b->bytes;
}

__attribute__((noinline)) static void nothing(void *context, int part)
{
    (void)context;
    (void)part;
    TOUCHED();
}

static double call(bench *b)
{
    pool_task *volatile task = nothing;
    for (int i = 0; i < STEPS / 8; ++i)
        task(b, 0);
    return STEPS / 8;
}

static double share(bench *b)
{
    for (int i = 0; i < 64; ++i)
        pool_run(b->threads, (int)b->stride, nothing, NULL);
    return 64;
}

/* Small, so that all systems' random numbers are alike. */
static size_t drawn(uint32_t *seed, size_t below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (size_t)(((uint64_t)*seed * below) >> 32);
}

/* A random cycle (Sattolo's shuffle) through one place of every `step` bytes: the first, or any, so that no prefetcher
 * learns where. */
static int link_places(bench *b, size_t step, int anywhere)
{
    const size_t count = b->bytes / step, words = step / sizeof(uintptr_t);
    uint32_t seed = 1;
    uintptr_t *places = malloc(count * sizeof *places);
    if (!places || count < 2)
        return 1;
    for (size_t i = 0; i < count; ++i)
        places[i] = (uintptr_t)(b->memory + step * i) + (anywhere ? sizeof(uintptr_t) * drawn(&seed, words) : 0);
    for (size_t i = count - 1; i > 0; --i) {
        const size_t j = drawn(&seed, i);
        const uintptr_t swapped = places[i];
        places[i] = places[j];
        places[j] = swapped;
    }
    for (size_t i = 0; i < count; ++i)
        *(uintptr_t *)places[i] = places[(i + 1) % count];
    b->state = places[0];
    free(places);
    return 0;
}

static double woken_s(bench *b)
{
    const struct timespec sleep = {0, 5000000}; /* longer than workers of a pool look for work */
    double best = HUGE_VAL;
    for (int i = 0; i < SLEEPS; ++i) {
        nanosleep(&sleep, NULL);
        const double start_s = now_s();
        pool_run(b->threads, (int)b->stride, nothing, NULL);
        const double taken_s = now_s() - start_s;
        if (taken_s < best)
            best = taken_s;
    }
    return best;
}

static double best_s(bench *b, kernel *work, double least_s, double *units)
{
    double best = HUGE_VAL, start_s, before_s;
    work(b); /* caches, clock */
    start_s = before_s = now_s();
    do {
        *units = work(b);
        const double after_s = now_s();
        if (after_s - before_s < best)
            best = after_s - before_s;
        before_s = after_s;
    } while (before_s - start_s < least_s);
    return best;
}

static kernel *named(const char *name)
{
    static const struct {
        const char *name;
        kernel *work;
    } known[] = {{"cycle", cycle}, {"add", add},       {"latency", latency},    {"load", load},
                 {"store", store}, {"chase", chase},   {"pairs", pairs},        {"read", read_all},
                 {"call", call},   {"write", write_all}, {"share", share}};
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i)
        if (strcmp(known[i].name, name) == 0)
            return known[i].work;
    return NULL;
}

static int prepared(bench *b, const char *name)
{
    if (strcmp(name, "chase") == 0)
        return link_places(b, b->stride, 0);
    if (strcmp(name, "pairs") == 0)
        return link_places(b, BLOCK, 1);
    if (strcmp(name, "share") == 0 || strcmp(name, "wake") == 0)
        return (b->threads = pool_new((int)b->stride)) == NULL;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 1;
    const char *const name = argv[2];
    bench b = {NULL, strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10), NULL, 0};
    void *memory = NULL;
    const size_t pages = (b.bytes + PAGE - 1) / PAGE * PAGE;
    if (posix_memalign(&memory, PAGE, pages) != 0)
        return 1;
    madvise(memory, pages, MADV_HUGEPAGE); /* or misses of the TLB hide those of caches; not all systems have them */
    b.memory = memory;
    memset(memory, 0, pages);
    if (prepared(&b, name) != 0)
        return 1;
    double result[2] = {1.0, 0.0};
    if (strcmp(name, "wake") == 0)
        result[1] = woken_s(&b);
    else if (named(name))
        result[1] = best_s(&b, named(name), atof(argv[5]), &result[0]);
    else
        return 1;
    pool_free(b.threads);
    free(memory);
    FILE *file = fopen(argv[1], "wb");
    if (!file || fwrite(result, sizeof(double), 2, file) != 2 || fclose(file) != 0) {
        fprintf(stderr, "error: the result cannot be written\n");
        return 1;
    }
    return 0;
}
