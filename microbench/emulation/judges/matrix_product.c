/*
 * A product of two matrices of 500 x 500 floats, by rows times columns ("textbook") or with its two inner loops
 * interchanged ("interchanged"): programs whose times on a Raspberry Pi are published (programs_32.toml).
 */
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIZE = 500 };

static float a[SIZE][SIZE], b[SIZE][SIZE], product[SIZE][SIZE];

static void __attribute__((noinline)) textbook(void)
{
    for (int i = 0; i < SIZE; ++i)
        for (int j = 0; j < SIZE; ++j) {
            float sum = 0;
            for (int k = 0; k < SIZE; ++k)
                sum += a[i][k] * b[k][j];
            product[i][j] = sum;
        }
}

static void __attribute__((noinline)) interchanged(void)
{
    for (int i = 0; i < SIZE; ++i)
        for (int k = 0; k < SIZE; ++k)
            for (int j = 0; j < SIZE; ++j)
                product[i][j] += a[i][k] * b[k][j];
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    for (int i = 0; i < SIZE; ++i)
        for (int j = 0; j < SIZE; ++j) {
            a[i][j] = (float)rand() / (float)RAND_MAX;
            b[i][j] = (float)rand() / (float)RAND_MAX;
        }
    sched_yield();
    const int64_t begin = now_ns();
    if (strcmp(argv[1], "textbook") == 0)
        textbook();
    else
        interchanged();
    const int64_t end = now_ns();
    FILE *result = fopen(argv[2], "w");
    if (!result)
        return 1;
    fprintf(result, "%lld %.6f\n", (long long)(end - begin), (double)product[SIZE - 1][SIZE - 1]);
    return fclose(result);
}
