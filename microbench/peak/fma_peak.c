/*
 * The most multiply-accumulates that one core does: independent chains of vector a = a * x + y in registers.
 *
 *   fma_peak RESULT SECONDS
 *
 * It repeats a piece of work of well below a time slice for at least SECONDS. RESULT receives two float64: the
 * floating-point operations of a piece, and the seconds of the fastest, which no other program disturbed.
 * PEAK_BYTES is the width of a vector, PEAK_CHAINS the number of chains: both defined on the command line, so that
 * latency times issue width is covered and all chains stay in registers.
 *
 * Exit code: 0 done; 1 bad arguments, or RESULT cannot be written.
 */
#define _POSIX_C_SOURCE 199309L

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef float vector __attribute__((vector_size(PEAK_BYTES)));

enum { ROUNDS = 1 << 16, LANES = PEAK_BYTES / sizeof(float) };

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

__attribute__((noinline)) static float work(float factor, float addend)
{
    const vector none = {0.0f}, x = none + factor, y = none + addend;
    vector chains[PEAK_CHAINS], sum;
    for (int i = 0; i < PEAK_CHAINS; ++i)
        chains[i] = x + (float)i;
    for (int round = 0; round < ROUNDS; ++round)
#pragma GCC unroll 32
        for (int i = 0; i < PEAK_CHAINS; ++i)
            chains[i] = chains[i] * x + y;
    sum = chains[0];
    for (int i = 1; i < PEAK_CHAINS; ++i)
        sum += chains[i];
    for (int lane = 1; lane < LANES; ++lane)
        sum[0] += sum[lane];
    return sum[0];
}

int main(int argc, char **argv)
{
    const double least_s = argc == 3 ? atof(argv[2]) : 0.0;
    if (argc != 3)
        return 1;
    volatile float factor = 0.5f, addend = 0.25f; /* read anew for each call, so that no call can be spared */
    volatile float kept = work(factor, addend);   /* warm-up: clock and wide units */
    const double start_s = now_s();
    double best_s = HUGE_VAL, before_s = start_s;
    do {
        kept = work(factor, addend);
        const double after_s = now_s();
        if (after_s - before_s < best_s)
            best_s = after_s - before_s;
        before_s = after_s;
    } while (before_s - start_s < least_s);
    (void)kept;
    const double result[2] = {2.0 * LANES * PEAK_CHAINS * ROUNDS, best_s};
    FILE *file = fopen(argv[1], "wb");
    if (!file || fwrite(result, sizeof(double), 2, file) != 2 || fclose(file) != 0) {
        fprintf(stderr, "error: the result cannot be written\n");
        return 1;
    }
    return 0;
}
