/*
 * Loading of a bundle's files and launching of its GPU program.
 *
 * All numbers are little-endian. model.qpu:
 *
 *   0  8 bytes  "EXPLQPU1"                28  u32  number of launches
 *   8  u32      version, 1                32  8 bytes  plan id
 *  12  u32      bytes of GPU memory       40  u32  CRC-32 of everything after byte 48
 *  16  u32      offset of the weights     44  u32  0
 *  20  u32      number of relocations     48  relocations: u32 index of a word each
 *  24  u32      words of code             ..  launches: u32 control offset, QPUs, mark offset (all ones: none), layers
 *                                         ..  the words of GPU memory below the weights
 *
 * To each relocated word of the loaded image the bus address of the memory is added. weights.bin:
 *
 *   0  8 bytes  "EXPLWTS1"                24  u32  bytes for the GPU, from the weights' offset on
 *   8  u32      version, 1                28  u32  bytes for the CPU
 *  12  u32      CRC-32 of everything      32  32 bytes  0
 *               after byte 64             64  the GPU's part, zeros up to a multiple of 64 bytes, the CPU's part
 *  16  8 bytes  plan id
 */
#define _POSIX_C_SOURCE 199309L

#include "bundle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "platform.h"

enum { QPU_HEADER = 48, WEIGHTS_HEADER = 64, LINE = 64, LAUNCH_BYTES = 16 };

typedef struct contents {
    unsigned char *bytes;
    size_t size;
} contents;

typedef struct failure {
    char *text;
    size_t size;
} failure;

double bundle_clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int refuse(const failure *error, int code, const char *what, const char *why)
{
    if (error->text && error->size)
        snprintf(error->text, error->size, "%s: %s", what, why);
    return code;
}

static uint32_t word_at(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static uint32_t crc32_of(const unsigned char *bytes, size_t size)
{
    uint32_t table[256];
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit)
            value = value & 1 ? 0xEDB88320u ^ value >> 1 : value >> 1;
        table[i] = value;
    }
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; ++i)
        crc = table[(crc ^ bytes[i]) & 0xFF] ^ crc >> 8;
    return ~crc;
}

static size_t lines_up(size_t bytes)
{
    return (bytes + LINE - 1) / LINE * LINE;
}

static int read_file(const char *directory, const char *name, contents *file, const failure *error)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
        return refuse(error, PLATFORM_UNAVAILABLE, name, "the bundle's path is too long");
    FILE *stream = fopen(path, "rb");
    if (!stream)
        return refuse(error, PLATFORM_UNAVAILABLE, path, strerror(errno));
    long size = -1;
    if (fseek(stream, 0, SEEK_END) == 0)
        size = ftell(stream);
    file->bytes = size >= 0 && fseek(stream, 0, SEEK_SET) == 0 ? malloc((size_t)size + 1) : NULL;
    file->size = size >= 0 ? (size_t)size : 0;
    const int complete = file->bytes && fread(file->bytes, 1, file->size, stream) == file->size;
    fclose(stream);
    if (complete)
        return PLATFORM_OK;
    free(file->bytes);
    file->bytes = NULL;
    return refuse(error, PLATFORM_UNAVAILABLE, path, "could not be read into memory");
}

static int check_weights(const contents *file, const bundle_layout *layout, const failure *error)
{
    const char *name = "weights.bin";
    if (file->size < WEIGHTS_HEADER || memcmp(file->bytes, "EXPLWTS1", 8) != 0)
        return refuse(error, PLATFORM_UNAVAILABLE, name, "is no file of weights");
    if (word_at(file->bytes + 8) != BUNDLE_VERSION)
        return refuse(error, PLATFORM_UNAVAILABLE, name, "is of another version; compile the plan again");
    if (memcmp(file->bytes + 16, layout->plan_id, 8) != 0)
        return refuse(error, PLATFORM_UNAVAILABLE, name, "belongs to another plan; compile the plan again");
    const size_t expected = WEIGHTS_HEADER + lines_up(layout->gpu_weights_bytes) + layout->cpu_weights_bytes;
    if (word_at(file->bytes + 24) != layout->gpu_weights_bytes ||
        word_at(file->bytes + 28) != layout->cpu_weights_bytes || file->size != expected)
        return refuse(error, PLATFORM_UNAVAILABLE, name, "is truncated or not this model's; compile the plan again");
    if (word_at(file->bytes + 12) != crc32_of(file->bytes + WEIGHTS_HEADER, file->size - WEIGHTS_HEADER))
        return refuse(error, PLATFORM_UNAVAILABLE, name, "is damaged (checksum); compile the plan again");
    return PLATFORM_OK;
}

static int check_program(const contents *file, const bundle_layout *layout, const failure *error)
{
    const char *name = "model.qpu";
    if (file->size < QPU_HEADER || memcmp(file->bytes, "EXPLQPU1", 8) != 0)
        return refuse(error, PLATFORM_UNAVAILABLE, name, "is no QPU program");
    if (word_at(file->bytes + 8) != BUNDLE_VERSION)
        return refuse(error, PLATFORM_UNAVAILABLE, name, "is of another version; compile the plan again");
    if (memcmp(file->bytes + 32, layout->plan_id, 8) != 0)
        return refuse(error, PLATFORM_UNAVAILABLE, name, "belongs to another plan; compile the plan again");
    const uint64_t relocations = word_at(file->bytes + 20), code_words = word_at(file->bytes + 24);
    const uint64_t expected = QPU_HEADER + 4 * relocations + LAUNCH_BYTES * (uint64_t)layout->launch_count +
                              4 * code_words;
    if (file->size != expected || word_at(file->bytes + 28) != layout->launch_count ||
        word_at(file->bytes + 12) != layout->gpu_bytes || word_at(file->bytes + 16) != layout->gpu_weights_offset ||
        4 * code_words != layout->gpu_weights_offset)
        return refuse(error, PLATFORM_UNAVAILABLE, name, "is truncated or not this model's; compile the plan again");
    if (word_at(file->bytes + 40) != crc32_of(file->bytes + QPU_HEADER, file->size - QPU_HEADER))
        return refuse(error, PLATFORM_UNAVAILABLE, name, "is damaged (checksum); compile the plan again");
    return PLATFORM_OK;
}

static int read_launches(const unsigned char *table, const bundle_layout *layout, bundle_memory *memory,
                         const failure *error)
{
    memory->launches = malloc(sizeof *memory->launches * (layout->launch_count + 1));
    if (!memory->launches)
        return refuse(error, PLATFORM_NO_MEMORY, "model.qpu", "no memory for its launches");
    for (uint32_t l = 0; l < layout->launch_count; ++l, table += LAUNCH_BYTES) {
        const bundle_launch_entry entry = {word_at(table), word_at(table + 4), word_at(table + 8),
                                           word_at(table + 12)};
        memory->launches[l] = entry;
        if ((uint64_t)entry.control_offset + 8 * (uint64_t)entry.num_qpus > layout->gpu_bytes ||
            entry.layers > BUNDLE_MOST_LAYERS)
            return refuse(error, PLATFORM_UNAVAILABLE, "model.qpu", "has a launch outside its memory");
    }
    return PLATFORM_OK;
}

/* Copies the image into GPU memory and adds the bus address to its relocated words. */
static int fill_gpu(const contents *program, const contents *weights, const bundle_layout *layout,
                    bundle_memory *memory, const failure *error)
{
    const uint32_t relocations = word_at(program->bytes + 20);
    const uint32_t image_words = (layout->gpu_weights_offset + layout->gpu_weights_bytes) / 4;
    const unsigned char *table = program->bytes + QPU_HEADER + 4 * (size_t)relocations;
    const int code = read_launches(table, layout, memory, error);
    if (code != PLATFORM_OK)
        return code;
    memcpy(memory->gpu, table + LAUNCH_BYTES * (size_t)layout->launch_count, layout->gpu_weights_offset);
    memcpy(memory->gpu + layout->gpu_weights_offset, weights->bytes + WEIGHTS_HEADER, layout->gpu_weights_bytes);
    uint32_t *words = (uint32_t *)(void *)memory->gpu;
    for (uint32_t i = 0; i < relocations; ++i) {
        const uint32_t index = word_at(program->bytes + QPU_HEADER + 4 * (size_t)i);
        if (index >= image_words)
            return refuse(error, PLATFORM_UNAVAILABLE, "model.qpu", "has a relocation outside its image");
        words[index] += memory->gpu_bus;
    }
    return PLATFORM_OK;
}

static int load_gpu(const char *directory, const contents *weights, const bundle_layout *layout,
                    bundle_memory *memory, const failure *error)
{
    int code = platform_open();
    if (code != PLATFORM_OK)
        return refuse(error, code, "GPU", platform_message(code));
    memory->platform_is_open = 1;
    if (layout->gpu_bytes == 0)
        return PLATFORM_OK;
    contents program = {NULL, 0};
    code = read_file(directory, "model.qpu", &program, error);
    if (code != PLATFORM_OK)
        return code;
    code = check_program(&program, layout, error);
    if (code == PLATFORM_OK) {
        void *pointer = NULL;
        code = platform_gpu_alloc(layout->gpu_bytes, &memory->gpu_bus, &pointer);
        memory->gpu = code == PLATFORM_OK ? pointer : NULL;
        if (code != PLATFORM_OK)
            refuse(error, code, "GPU memory", platform_message(code));
        else
            code = fill_gpu(&program, weights, layout, memory, error);
    }
    free(program.bytes);
    return code;
}

static int load_cpu(const contents *weights, const bundle_layout *layout, bundle_memory *memory,
                    const failure *error)
{
    memory->block = malloc(layout->cpu_weights_bytes + layout->arena_bytes + LINE);
    if (!memory->block)
        return refuse(error, PLATFORM_NO_MEMORY, "memory", "not enough for weights and activations");
    memory->weights = (unsigned char *)memory->block + (LINE - (uintptr_t)memory->block % LINE) % LINE;
    memory->arena = memory->weights + layout->cpu_weights_bytes;
    memcpy(memory->weights, weights->bytes + WEIGHTS_HEADER + lines_up(layout->gpu_weights_bytes),
           layout->cpu_weights_bytes);
    memset(memory->arena, 0, layout->arena_bytes);
    return PLATFORM_OK;
}

int bundle_load(const char *directory, const bundle_layout *layout, bundle_memory *memory, char *error,
                size_t error_size)
{
    const failure report = {error, error_size};
    const uint32_t probe = 1;
    contents weights = {NULL, 0};
    memset(memory, 0, sizeof *memory);
    if (*(const unsigned char *)&probe != 1)
        return refuse(&report, PLATFORM_UNAVAILABLE, "weights.bin", "needs a little-endian machine");
    int code = read_file(directory, "weights.bin", &weights, &report);
    if (code == PLATFORM_OK)
        code = check_weights(&weights, layout, &report);
    if (code == PLATFORM_OK)
        code = load_cpu(&weights, layout, memory, &report);
    if (code == PLATFORM_OK)
        code = load_gpu(directory, &weights, layout, memory, &report);
    free(weights.bytes);
    if (code != PLATFORM_OK)
        bundle_unload(memory);
    return code;
}

void bundle_unload(bundle_memory *memory)
{
    if (memory->gpu)
        platform_gpu_free(memory->gpu_bus);
    if (memory->platform_is_open)
        platform_close();
    free(memory->launches);
    free(memory->block);
    memset(memory, 0, sizeof *memory);
}

int bundle_execute(const bundle_memory *memory, uint32_t launch, const int *steps, double *launch_s,
                   double *steps_s)
{
    const bundle_launch_entry *entry = &memory->launches[launch];
    const uint32_t mark_bus = entry->mark_offset == 0xFFFFFFFFu ? 0 : memory->gpu_bus + entry->mark_offset;
    const int layers = (int)entry->layers;
    double marks[BUNDLE_MOST_LAYERS];
    const int code =
        platform_gpu_execute(entry->num_qpus, memory->gpu_bus + entry->control_offset, mark_bus, launch_s);
    if (code != PLATFORM_OK)
        return code;
    const int known = platform_gpu_marks(marks, BUNDLE_MOST_LAYERS) == layers || layers == 1;
    for (int i = 0; i < layers; ++i) {
        const double start = i == 0 ? 0.0 : marks[i - 1];
        const double end = i == layers - 1 ? *launch_s : marks[i];
        steps_s[steps[i]] = known ? end - start : -1.0;
    }
    return PLATFORM_OK;
}
