/*
 * Loading of weights.bin, or of cpu_weights.bin for a plan beside another: a piece of every generated model.c, which
 * includes what it needs. All numbers are little-endian:
 *
 *   0  8 bytes  "EXPLWTS1"                24  u32  bytes for the GPU, from the weights' offset on
 *   8  u32      version, 1                28  u32  bytes for the CPU
 *  12  u32      CRC-32 of everything      32  32 bytes  0
 *               after byte 64             64  the GPU's part, zeros up to a multiple of 64 bytes, the CPU's part
 *  16  8 bytes  plan id
 */
enum { BUNDLE_VERSION = 1, WEIGHTS_HEADER = 64, BUNDLE_LINE = 64, HUGE_PAGE = 2 << 20 };

/* What a generated model knows of its files; anything else is refused. */
typedef struct bundle_layout {
    unsigned char plan_id[8];    /* of the plan that all files were compiled from */
    size_t cpu_weights_bytes;    /* multiples of 64 */
    size_t arena_bytes;
    uint32_t gpu_bytes;          /* 0: no model.qpu */
    uint32_t gpu_weights_offset; /* where in GPU memory the GPU's words of weights.bin go */
    uint32_t gpu_weights_bytes;
    uint32_t launch_count;
    int gpu_memory;              /* how it is allocated: PLATFORM_MEMORY_ (platform.h) */
    const char *weights_name;    /* of the file */
    const char *without_gpu;     /* said after why the GPU is not to be had */
} bundle_layout;

typedef struct bundle_launch_entry {
    uint32_t control_offset, num_qpus, mark_offset, layers;
} bundle_launch_entry;

/* Memory of one handle. All of it is allocated when a bundle is loaded; bundle_unload frees what is not the GPU's. */
typedef struct bundle_memory {
    void *block;
    unsigned char *weights; /* aligned to 64 bytes, as is the arena */
    unsigned char *arena;
    unsigned char *gpu; /* NULL without model.qpu */
    uint32_t gpu_bus;
    bundle_launch_entry *launches;
    double awaited_s; /* what launches took by this machine's clock, added up */
    int platform_is_open;
} bundle_memory;

/* Where weights are read from: a file, or the caller's memory. */
typedef struct bundle_source {
    FILE *file; /* NULL: memory */
    const unsigned char *bytes;
    size_t size;
} bundle_source;

typedef struct failure {
    char *text;
    size_t size;
} failure;

static double bundle_clock_s(void)
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

/* Goes on from `crc`, which is 0 at first: eight bytes at a time, each through a table of what it does that far ahead. */
static uint32_t crc32_of(uint32_t crc, const unsigned char *bytes, size_t size)
{
    uint32_t table[8][256];
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit)
            value = value & 1 ? 0xEDB88320u ^ value >> 1 : value >> 1;
        table[0][i] = value;
    }
    for (int ahead = 1; ahead < 8; ++ahead)
        for (int i = 0; i < 256; ++i)
            table[ahead][i] = table[0][table[ahead - 1][i] & 0xFF] ^ table[ahead - 1][i] >> 8;
    crc = ~crc;
    for (; size >= 8; bytes += 8, size -= 8) {
        const uint32_t low = crc ^ word_at(bytes), high = word_at(bytes + 4);
        crc = table[7][low & 0xFF] ^ table[6][low >> 8 & 0xFF] ^ table[5][low >> 16 & 0xFF] ^ table[4][low >> 24] ^
              table[3][high & 0xFF] ^ table[2][high >> 8 & 0xFF] ^ table[1][high >> 16 & 0xFF] ^ table[0][high >> 24];
    }
    for (size_t i = 0; i < size; ++i)
        crc = table[0][(crc ^ bytes[i]) & 0xFF] ^ crc >> 8;
    return ~crc;
}

static size_t lines_up(size_t bytes)
{
    return (bytes + BUNDLE_LINE - 1) / BUNDLE_LINE * BUNDLE_LINE;
}

static int open_source(const char *directory, const char *name, bundle_source *source, const failure *error)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
        return refuse(error, PLATFORM_BAD_FILES, name, "the bundle's path is too long");
    source->file = fopen(path, "rb");
    if (!source->file)
        return refuse(error, PLATFORM_BAD_FILES, path, strerror(errno));
    const long size = fseek(source->file, 0, SEEK_END) == 0 ? ftell(source->file) : -1;
    if (size >= 0 && fseek(source->file, 0, SEEK_SET) == 0) {
        source->size = (size_t)size;
        return PLATFORM_OK;
    }
    fclose(source->file);
    return refuse(error, PLATFORM_BAD_FILES, path, "is no file with a size");
}

/* The next `size` bytes of a source, and the checksum with them. */
static int take(bundle_source *source, unsigned char *bytes, size_t size, uint32_t *crc)
{
    if (size == 0)
        return 1;
    if (source->file) {
        if (fread(bytes, 1, size, source->file) != size)
            return 0;
    } else {
        memcpy(bytes, source->bytes, size);
        source->bytes += size;
    }
    *crc = crc32_of(*crc, bytes, size);
    return 1;
}

static int check_weights(const unsigned char *header, size_t size, const bundle_layout *layout,
                         const failure *error)
{
    const char *name = layout->weights_name;
    if (memcmp(header, "EXPLWTS1", 8) != 0)
        return refuse(error, PLATFORM_BAD_FILES, name, "is no file of weights");
    if (word_at(header + 8) != BUNDLE_VERSION)
        return refuse(error, PLATFORM_BAD_FILES, name, "is of another version; compile the plan again");
    if (memcmp(header + 16, layout->plan_id, 8) != 0)
        return refuse(error, PLATFORM_BAD_FILES, name, "belongs to another plan; compile the plan again");
    const size_t expected = WEIGHTS_HEADER + lines_up(layout->gpu_weights_bytes) + layout->cpu_weights_bytes;
    if (word_at(header + 24) != layout->gpu_weights_bytes || word_at(header + 28) != layout->cpu_weights_bytes ||
        size != expected)
        return refuse(error, PLATFORM_BAD_FILES, name, "is truncated or not this model's; compile the plan again");
    return PLATFORM_OK;
}

/* Weights and activations of the CPU, in huge pages where the kernel has them: fewer misses of the TLB. */
static int allocate_block(const bundle_layout *layout, bundle_memory *memory)
{
    const size_t bytes = layout->cpu_weights_bytes + layout->arena_bytes;
    const size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : BUNDLE_LINE;
    if (posix_memalign(&memory->block, alignment, bytes ? bytes : BUNDLE_LINE) != 0) {
        memory->block = NULL;
        return 0;
    }
#ifdef MADV_HUGEPAGE
    if (alignment == HUGE_PAGE)
        (void)madvise(memory->block, bytes, MADV_HUGEPAGE); /* advice: without it all is as right */
#endif
    memory->weights = memory->block;
    memory->arena = memory->weights + layout->cpu_weights_bytes;
    memset(memory->arena, 0, layout->arena_bytes);
    return 1;
}

static void bundle_unload(bundle_memory *memory)
{
    free(memory->block);
    memset(memory, 0, sizeof *memory);
}

static int read_weights(bundle_source *source, const bundle_layout *layout, bundle_memory *memory,
                        unsigned char *for_gpu, const failure *error)
{
    const char *name = layout->weights_name;
    const uint32_t probe = 1;
    unsigned char header[WEIGHTS_HEADER];
    uint32_t crc = 0;
    if (*(const unsigned char *)&probe != 1)
        return refuse(error, PLATFORM_BAD_FILES, name, "needs a little-endian machine");
    if (source->size < WEIGHTS_HEADER || !take(source, header, WEIGHTS_HEADER, &crc))
        return refuse(error, PLATFORM_BAD_FILES, name, "is no file of weights");
    const int code = check_weights(header, source->size, layout, error);
    if (code != PLATFORM_OK)
        return code;
    if (!allocate_block(layout, memory))
        return refuse(error, PLATFORM_NO_RESOURCES, "memory", "not enough for weights and activations");
    crc = 0;
    if (!take(source, for_gpu, lines_up(layout->gpu_weights_bytes), &crc) ||
        !take(source, memory->weights, layout->cpu_weights_bytes, &crc))
        return refuse(error, PLATFORM_BAD_FILES, name, "could not be read into memory");
    if (word_at(header + 12) != crc)
        return refuse(error, PLATFORM_BAD_FILES, name, "is damaged (checksum); compile the plan again");
    return PLATFORM_OK;
}

/*
 * Fills `memory` from a directory's file of weights, or where that is NULL from `bytes`; the GPU's part goes to
 * `for_gpu`, which has room for whole lines of it. Returns 0, or a PLATFORM_ code with one line of text in `error`;
 * then nothing is left allocated.
 */
static int bundle_load(const char *directory, const void *bytes, size_t size, const bundle_layout *layout,
                       bundle_memory *memory, unsigned char *for_gpu, const failure *error)
{
    bundle_source source = {NULL, bytes, size};
    int code = directory ? open_source(directory, layout->weights_name, &source, error) : PLATFORM_OK;
    memset(memory, 0, sizeof *memory);
    if (code != PLATFORM_OK)
        return code;
    code = read_weights(&source, layout, memory, for_gpu, error);
    if (source.file)
        fclose(source.file);
    if (code != PLATFORM_OK)
        bundle_unload(memory);
    return code;
}
