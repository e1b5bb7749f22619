/*
 * Times one kernel on this machine.
 *
 *   measure DATA RESULT REPEATS WARM_UP_S MINIMUM_TOTAL_S
 *
 * DATA holds all inputs one after another, then the packed weights (float32); RESULT receives the outputs, then the
 * time of each repeat in seconds (float64). A repeat is the mean of as many calls as take a fair share of the
 * minimum total, at least one; calls that are not timed go before, for WARM_UP_S, at least one. This file knows no kernel,
 * and is compiled once for all: it is linked with one, and DATA begins with `kernel_sizes`, then with the elements of
 * each input and of each output (64 bits each). With MEASURE_THREADED pool.c is linked in, and its threads are awake
 * when a repeat begins.
 *
 * With MEASURE_MODELLED the clock is a model's, which is read once: there is one call, and the model wakes, at
 * sched_yield, right before it. Caches then hold what they hold in a network, where the layer before was just computed.
 *
 * Exit code: 0 done; 1 files or memory.
 */
#define _POSIX_C_SOURCE 200112L

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#if MEASURE_MODELLED
#include <sched.h>
#endif
#if MEASURE_THREADED
#include "pool.h"
#endif

typedef struct kernel_sizes {
    uint64_t threads, inputs, outputs, weight_elements, workspace_bytes;
} kernel_sizes;

extern void (*const measured_kernel)(const float *const *inputs, const float *weights, float *const *outputs,
                                     void *workspace, int part); /* which the kernel's file defines */

/* Between two runs of a layer a network reads the weights of all its other layers. Calls take turns with copies of the
 * weights, so that they come from as far away as they will then. */
enum { ROTATED_BYTES = 16 << 20, MOST_COPIES = 64 };

static size_t copies_of(size_t copy_elements)
{
    const size_t copies = MEASURE_MODELLED ? 1 : ROTATED_BYTES / (copy_elements * sizeof(float));
    return copies < 1 ? 1 : copies > MOST_COPIES ? MOST_COPIES : copies;
}

#if MEASURE_THREADED
#define CALL() pool_run_kernel(threads, (int)sizes.threads, measured_kernel, inputs, next_weights(&rotation), outputs, workspace)
#else
#define CALL() measured_kernel(inputs, next_weights(&rotation), outputs, workspace, 0)
#endif

typedef struct rotation {
    const float *first;
    size_t copy_elements, copies, turn;
} rotation;

static const float *next_weights(rotation *all)
{
    const size_t turn = all->turn;
    all->turn = turn + 1 < all->copies ? turn + 1 : 0;
    return all->first + turn * all->copy_elements;
}

enum { CPU_LIMIT_S = 120 };

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
    const int repeats = argc == 6 ? atoi(argv[3]) : 0;
    const double warm_up_s = argc == 6 ? atof(argv[4]) : 0.0;
    const double minimum_total_s = argc == 6 ? atof(argv[5]) : 0.0;
    FILE *data = argc == 6 ? fopen(argv[1], "rb") : NULL;
    if (!data || repeats < 1)
        return fail("usage: measure DATA RESULT REPEATS WARM_UP_S MINIMUM_TOTAL_S");
    kernel_sizes sizes = {0};
    int good = fread(&sizes, sizeof sizes, 1, data) == 1;
    const rlim_t limit_s = CPU_LIMIT_S * (rlim_t)sizes.threads;
    const struct rlimit limit = {limit_s, limit_s}; /* a kernel that hangs, when nobody waits for it any more */
    setrlimit(RLIMIT_CPU, &limit);
    uint64_t *const elements = malloc((size_t)(sizes.inputs + sizes.outputs + 1) * sizeof *elements);
    const uint64_t *const output_elements = elements + sizes.inputs;
    const float **inputs = malloc((size_t)(sizes.inputs + 1) * sizeof *inputs);
    float **outputs = malloc((size_t)(sizes.outputs + 1) * sizeof *outputs);
    good = good && elements && inputs && outputs;
    const size_t images = (size_t)(sizes.inputs + sizes.outputs);
    good = good && fread(elements, sizeof *elements, images, data) == images;
    for (size_t i = 0; i < sizes.inputs && good; ++i) {
        float *input = aligned_block((size_t)elements[i] * sizeof(float));
        good = input && fread(input, sizeof(float), (size_t)elements[i], data) == elements[i];
        inputs[i] = input;
    }
    const size_t weight_elements = (size_t)sizes.weight_elements;
    const size_t copy_elements = (weight_elements + 15) / 16 * 16 + 16, copies = copies_of(copy_elements);
    float *weights = aligned_block(copies * copy_elements * sizeof(float));
    rotation rotation = {weights, copy_elements, copies, 0};
    for (size_t i = 0; i < sizes.outputs && good; ++i) {
        outputs[i] = aligned_block((size_t)output_elements[i] * sizeof(float));
        good = good && outputs[i];
    }
    void *workspace = aligned_block((size_t)sizes.workspace_bytes);
    double *times_s = malloc((size_t)repeats * sizeof(double));
    good = good && weights && workspace && times_s;
    if (!good || fread(weights, sizeof(float), weight_elements, data) != weight_elements)
        return fail("data file is too short, or memory is out");
    for (size_t i = 1; i < copies; ++i)
        memcpy(weights + i * copy_elements, weights, weight_elements * sizeof(float));
    fclose(data);
#if MEASURE_THREADED
    pool *const threads = pool_new((int)sizes.threads);
    if (!threads)
        return fail("threads cannot be started");
#endif

#if MEASURE_MODELLED
    const long calls = 1;
    (void)warm_up_s;
    (void)minimum_total_s;
    sched_yield();
    visit(workspace, (size_t)sizes.workspace_bytes);
    for (size_t i = 0; i < sizes.outputs; ++i)
        visit(outputs[i], (size_t)output_elements[i] * sizeof(float));
    for (size_t i = 0; i < sizes.inputs; ++i)
        visit(inputs[i], (size_t)elements[i] * sizeof(float));
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

#if MEASURE_THREADED
    pool_free(threads);
#endif
    FILE *result = fopen(argv[2], "wb");
    good = result != NULL;
    for (size_t i = 0; i < sizes.outputs && good; ++i)
        good = fwrite(outputs[i], sizeof(float), (size_t)output_elements[i], result) == (size_t)output_elements[i];
    if (!good || fwrite(times_s, sizeof(double), (size_t)repeats, result) != (size_t)repeats || fclose(result) != 0)
        return fail("result file could not be written");
    return 0;
}
