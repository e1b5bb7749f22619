/*
 * Times one kernel on this machine.
 *
 *   measure DATA RESULT REPEATS WARM_UP_S MINIMUM_TOTAL_S
 *
 * DATA holds all inputs one after another, then the packed weights (float32); RESULT receives the outputs, then the
 * time of each repeat in seconds (float64). A repeat is the mean of as many calls as take a fair share of the
 * minimum total, at least one; calls that are not timed go before, for WARM_UP_S, at least one. Generated: measure_config.h with MEASURE_ENTRY, MEASURE_INPUT_COUNT, MEASURE_INPUT_SIZES,
 * MEASURE_WEIGHTS, MEASURE_OUTPUT_COUNT, MEASURE_OUTPUT_SIZES (elements), MEASURE_WORKSPACE (bytes) and MEASURE_THREADS: with more than one, pool.c
 * is linked in, and its threads are awake when a repeat begins.
 *
 * With MEASURE_MODELLED the clock is a model's, which is read once: there is one call, and the model wakes, at
 * sched_yield, right before it. Caches then hold what they hold in a network, where the layer before was just computed.
 *
 * Exit code: 0 done; 1 files or memory.
 */
#define _POSIX_C_SOURCE 200112L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "measure_config.h"
#if MEASURE_MODELLED
#include <sched.h>
#endif
#if MEASURE_THREADS > 1
#include "pool.h"
#endif

void MEASURE_ENTRY(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part);

/* Between two runs of a layer a network reads the weights of all its other layers. Calls take turns with copies of the
 * weights, so that they come from as far away as they will then. */
enum { ROTATED_BYTES = 16 << 20, MOST_COPIES = 64, COPY_ELEMENTS = (MEASURE_WEIGHTS + 15) / 16 * 16 + 16 };
#define COPIES_FOR_ALL (MEASURE_MODELLED ? 1 : ROTATED_BYTES / (COPY_ELEMENTS * (int)sizeof(float)))
enum { COPIES = COPIES_FOR_ALL < 1 ? 1 : COPIES_FOR_ALL > MOST_COPIES ? MOST_COPIES : COPIES_FOR_ALL };
#define NEXT_WEIGHTS() (weights + (size_t)(turn++ % COPIES) * COPY_ELEMENTS)

#if MEASURE_THREADS > 1
#define CALL() pool_run_kernel(threads, MEASURE_THREADS, MEASURE_ENTRY, inputs, NEXT_WEIGHTS(), outputs, workspace)
#else
#define CALL() MEASURE_ENTRY(inputs, NEXT_WEIGHTS(), outputs, workspace, 0)
#endif

enum { CPU_LIMIT_S = 120 * MEASURE_THREADS };

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

#if MEASURE_MODELLED
static void visit(const float *array, size_t bytes)
{
    for (size_t place = 0; place < bytes; place += 64)
        (void)*(volatile const char *)((const char *)array + place);
}
#endif

int main(int argc, char **argv)
{
    static const size_t sizes[] = MEASURE_INPUT_SIZES;
    const struct rlimit limit = {CPU_LIMIT_S, CPU_LIMIT_S}; /* a kernel that hangs, when nobody waits for it any more */
    setrlimit(RLIMIT_CPU, &limit);
    static const size_t output_sizes[] = MEASURE_OUTPUT_SIZES;
    const float *inputs[MEASURE_INPUT_COUNT];
    float *outputs[MEASURE_OUTPUT_COUNT];
    const int repeats = argc == 6 ? atoi(argv[3]) : 0;
    const double warm_up_s = argc == 6 ? atof(argv[4]) : 0.0;
    const double minimum_total_s = argc == 6 ? atof(argv[5]) : 0.0;
    FILE *data = argc == 6 ? fopen(argv[1], "rb") : NULL;
    if (!data || repeats < 1)
        return fail("usage: measure DATA RESULT REPEATS WARM_UP_S MINIMUM_TOTAL_S");
    int good = 1;
    for (int i = 0; i < MEASURE_INPUT_COUNT; ++i) {
        float *input = aligned_block(sizes[i] * sizeof(float));
        good = good && input && fread(input, sizeof(float), sizes[i], data) == sizes[i];
        inputs[i] = input;
    }
    float *weights = aligned_block((size_t)COPIES * COPY_ELEMENTS * sizeof(float));
    unsigned turn = 0;
    for (int i = 0; i < MEASURE_OUTPUT_COUNT; ++i) {
        outputs[i] = aligned_block(output_sizes[i] * sizeof(float));
        good = good && outputs[i];
    }
    void *workspace = aligned_block((size_t)MEASURE_WORKSPACE);
    double *times_s = malloc((size_t)repeats * sizeof(double));
    good = good && weights && workspace && times_s;
    if (!good || fread(weights, sizeof(float), (size_t)MEASURE_WEIGHTS, data) != (size_t)MEASURE_WEIGHTS)
        return fail("data file is too short, or memory is out");
    for (size_t i = 1; i < COPIES; ++i)
        memcpy(weights + i * COPY_ELEMENTS, weights, (size_t)MEASURE_WEIGHTS * sizeof(float));
    fclose(data);
#if MEASURE_THREADS > 1
    pool *const threads = pool_new(MEASURE_THREADS);
    if (!threads)
        return fail("threads cannot be started");
#endif

#if MEASURE_MODELLED
    const long calls = 1;
    (void)warm_up_s;
    (void)minimum_total_s;
    sched_yield();
    visit(workspace, (size_t)MEASURE_WORKSPACE);
    for (int i = 0; i < MEASURE_OUTPUT_COUNT; ++i)
        visit(outputs[i], output_sizes[i] * sizeof(float));
    for (int i = 0; i < MEASURE_INPUT_COUNT; ++i)
        visit(inputs[i], sizes[i] * sizeof(float));
#else
    /* Pages, caches, threads, and a clock that rises with work; the last call is as fast as it gets. */
    const double warm_s = now_s() + warm_up_s;
    double once_s = 0.0, end_s = 0.0;
    do {
        const double begin_s = now_s();
        CALL();
        end_s = now_s();
        once_s = end_s - begin_s;
    } while (end_s < warm_s);
    const double share_s = minimum_total_s / repeats;
    const long calls = once_s >= share_s ? 1 : (long)(share_s / (once_s + 1e-8)) + 1;
#endif
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
    good = result != NULL;
    for (int i = 0; i < MEASURE_OUTPUT_COUNT && good; ++i)
        good = fwrite(outputs[i], sizeof(float), output_sizes[i], result) == output_sizes[i];
    if (!good || fwrite(times_s, sizeof(double), (size_t)repeats, result) != (size_t)repeats || fclose(result) != 0)
        return fail("result file could not be written");
    return 0;
}
