/*
 * The C API of a bundle without names of its own: loads it twice, from its directory and from memory, and runs both.
 *
 *   model_api DIR INPUT OUTPUT
 *
 * Linked with --wrap for every function that takes memory. Exit code 0: no run took any, and both handles computed the same,
 * which is written to OUTPUT; 1 files, 2 init, 3 run, 4 memory was taken, 5 other results, 6 bad weights were taken.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define MODEL_GENERIC_NAMES
#include "model.h"

enum { MOST_BYTES = 1 << 22, RUNS = 5 };

static int is_running;
static long taken;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
int __real_posix_memalign(void **block, size_t alignment, size_t size);
void *__real_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset);

void *__wrap_malloc(size_t size)
{
    taken += is_running;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    taken += is_running;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    taken += is_running;
    return __real_realloc(block, size);
}

int __wrap_posix_memalign(void **block, size_t alignment, size_t size)
{
    taken += is_running;
    return __real_posix_memalign(block, alignment, size);
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset)
{
    taken += is_running;
    return __real_mmap(at, size, protection, flags, file, offset);
}

static size_t content(const char *directory, const char *name, void *bytes)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    const size_t size = file ? fread(bytes, 1, MOST_BYTES, file) : 0;
    if (file)
        fclose(file);
    return size;
}

int main(int argc, char **argv)
{
    static char weights[MOST_BYTES], input[MOST_BYTES], first[MOST_BYTES], second[MOST_BYTES];
    char error[256] = "";
    const float *inputs[] = {(const float *)(void *)input};
    float *const firsts[] = {(float *)(void *)first}, *const seconds[] = {(float *)(void *)second};
    const size_t size = argc == 4 ? content(argv[1], "weights.bin", weights) : 0;
    if (size == 0 || content("", argv[2], input) != 4 * model_describe()->inputs[0].elements)
        return 1;
    model_handle *from_file = model_init(argv[1], error, sizeof error);
    model_handle *from_memory = model_init_from_memory(weights, size, error, sizeof error);
    if (!from_file || !from_memory)
        return fprintf(stderr, "%s\n", error), 2;
    is_running = 1;
    for (int run = 0; run < RUNS; ++run)
        if (model_run(from_file, inputs, firsts) != 0 || model_run(from_memory, inputs, seconds) != 0)
            return 3;
    is_running = 0;
    if (taken != 0)
        return 4;
    const size_t bytes = 4 * model_describe()->outputs[0].elements;
    if (memcmp(first, second, bytes) != 0)
        return 5;
    model_free(from_file);
    model_free(from_memory);
    weights[size - 1] ^= 1;
    if (model_init_from_memory(weights, size, error, sizeof error) || !strstr(error, "damaged") ||
        model_init_from_memory(weights, 8, error, sizeof error) || model_init_from_memory(weights, 0, NULL, 0) ||
        model_init("/nowhere", error, sizeof error) || !strstr(error, "/nowhere/weights.bin"))
        return 6;
    FILE *file = fopen(argv[3], "wb");
    const int complete = file && fwrite(first, 1, bytes, file) == bytes;
    return file && fclose(file) == 0 && complete ? 0 : 1;
}
