/*
 * Times one kernel on this machine.
 *
 *   measure DATA RESULT REPEATS BUDGET_S
 *
 * DATA holds all inputs one after another, then the packed weights (float32); RESULT receives the output, then the
 * time of each repeat in seconds (float64). A repeat is the mean of as many calls as take a fair share of the
 * budget, at least one. Generated: measure_config.h with MEASURE_ENTRY, MEASURE_INPUT_COUNT, MEASURE_INPUT_SIZES,
 * MEASURE_WEIGHTS, MEASURE_OUTPUT (elements), MEASURE_WORKSPACE (bytes) and MEASURE_THREADS: with more than one, pool.c
 * is linked in, and its threads are awake when a repeat begins.
 *
 * Exit code: 0 done; 1 files or memory.
 */
#define _POSIX_C_SOURCE 200112L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "measure_config.h"
#if MEASURE_THREADS > 1
#include "pool.h"
#endif

void MEASURE_ENTRY(const float *const *inputs, const float *weights, float *output, void *workspace, int part);

#if MEASURE_THREADS > 1
#define CALL() pool_run_kernel(threads, MEASURE_THREADS, MEASURE_ENTRY, inputs, weights, output, workspace)
#else
#define CALL() MEASURE_ENTRY(inputs, weights, output, workspace, 0)
#endif

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *aligned_block(size_t bytes)
{
    void *block = NULL;
    if (posix_memalign(&block, 64, bytes + 64) != 0)
        return NULL;
    memset(block, 0xFF, bytes + 64); /* not a number: what is read before it is written shows */
    return block;
}

static int fail(const char *what)
{
    fprintf(stderr, "error: %s\n", what);
    return 1;
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = MEASURE_INPUT_SIZES;
    const float *inputs[MEASURE_INPUT_COUNT];
    const int repeats = argc == 5 ? atoi(argv[3]) : 0;
    const double budget_s = argc == 5 ? atof(argv[4]) : 0.0;
    FILE *data = argc == 5 ? fopen(argv[1], "rb") : NULL;
    if (!data || repeats < 1)
        return fail("usage: measure DATA RESULT REPEATS BUDGET_S");
    int good = 1;
    for (int i = 0; i < MEASURE_INPUT_COUNT; ++i) {
        float *input = aligned_block(sizes[i] * sizeof(float));
        good = good && input && fread(input, sizeof(float), sizes[i], data) == sizes[i];
        inputs[i] = input;
    }
    float *weights = aligned_block((size_t)MEASURE_WEIGHTS * sizeof(float));
    float *output = aligned_block((size_t)MEASURE_OUTPUT * sizeof(float));
    void *workspace = aligned_block((size_t)MEASURE_WORKSPACE);
    double *times_s = malloc((size_t)repeats * sizeof(double));
    good = good && weights && output && workspace && times_s;
    if (!good || fread(weights, sizeof(float), (size_t)MEASURE_WEIGHTS, data) != (size_t)MEASURE_WEIGHTS)
        return fail("data file is too short, or memory is out");
    fclose(data);
#if MEASURE_THREADS > 1
    pool *const threads = pool_new(MEASURE_THREADS);
    if (!threads)
        return fail("threads cannot be started");
#endif

    CALL(); /* warm-up: pages, caches, clock, threads */
    const double start_s = now_s();
    CALL();
    const double once_s = now_s() - start_s;
    const double share_s = budget_s / repeats;
    const long calls = once_s >= share_s ? 1 : (long)(share_s / (once_s + 1e-8)) + 1;
    for (int r = 0; r < repeats; ++r) {
        const double begin_s = now_s();
        for (long i = 0; i < calls; ++i)
            CALL();
        times_s[r] = (now_s() - begin_s) / (double)calls;
    }

#if MEASURE_THREADS > 1
    pool_free(threads);
#endif
    FILE *result = fopen(argv[2], "wb");
    if (!result || fwrite(output, sizeof(float), (size_t)MEASURE_OUTPUT, result) != (size_t)MEASURE_OUTPUT ||
        fwrite(times_s, sizeof(double), (size_t)repeats, result) != (size_t)repeats || fclose(result) != 0)
        return fail("result file could not be written");
    return 0;
}
