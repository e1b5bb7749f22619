/*
 * Loading of model.qpu and its launches: a piece of a generated model.c whose plan uses the GPU, after bundle.c. All
 * numbers are little-endian:
 *
 *   0  8 bytes  "EXPLQPU1"                28  u32  number of launches
 *   8  u32      version, 1                32  8 bytes  plan id
 *  12  u32      bytes of GPU memory       40  u32  CRC-32 of everything after byte 48
 *  16  u32      offset of the weights     44  u32  0
 *  20  u32      number of relocations     48  relocations: u32 index of a word each
 *  24  u32      words of code             ..  launches: u32 control offset, QPUs, mark offset (all ones: none), layers
 *                                         ..  the words of GPU memory below the weights
 *
 * To each relocated word of the loaded image the bus address of the memory is added.
 */
enum { QPU_HEADER = 48, LAUNCH_BYTES = 16, BUNDLE_MOST_LAYERS = 512 };

typedef struct contents {
    unsigned char *bytes;
    size_t size;
} contents;

static int read_program(const char *directory, contents *program, const failure *error)
{
    bundle_source source = {NULL, NULL, 0};
    uint32_t crc = 0;
    const int code = open_source(directory, "model.qpu", &source, error);
    if (code != PLATFORM_OK)
        return code;
    program->size = source.size;
    program->bytes = malloc(source.size + 1);
    const int complete = program->bytes && take(&source, program->bytes, source.size, &crc);
    fclose(source.file);
    return complete ? PLATFORM_OK
                    : refuse(error, PLATFORM_BAD_FILES, "model.qpu", "could not be read into memory");
}

static int check_program(const contents *file, const bundle_layout *layout, const failure *error)
{
    const char *name = "model.qpu";
    if (file->size < QPU_HEADER || memcmp(file->bytes, "EXPLQPU1", 8) != 0)
        return refuse(error, PLATFORM_BAD_FILES, name, "is no QPU program");
    if (word_at(file->bytes + 8) != BUNDLE_VERSION)
        return refuse(error, PLATFORM_BAD_FILES, name, "is of another version; compile the plan again");
    if (memcmp(file->bytes + 32, layout->plan_id, 8) != 0)
        return refuse(error, PLATFORM_BAD_FILES, name, "belongs to another plan; compile the plan again");
    const uint64_t relocations = word_at(file->bytes + 20), code_words = word_at(file->bytes + 24);
    const uint64_t expected = QPU_HEADER + 4 * relocations + LAUNCH_BYTES * (uint64_t)layout->launch_count +
                              4 * code_words;
    if (file->size != expected || word_at(file->bytes + 28) != layout->launch_count ||
        word_at(file->bytes + 12) != layout->gpu_bytes || word_at(file->bytes + 16) != layout->gpu_weights_offset ||
        4 * code_words != layout->gpu_weights_offset)
        return refuse(error, PLATFORM_BAD_FILES, name, "is truncated or not this model's; compile the plan again");
    if (word_at(file->bytes + 40) != crc32_of(0, file->bytes + QPU_HEADER, file->size - QPU_HEADER))
        return refuse(error, PLATFORM_BAD_FILES, name, "is damaged (checksum); compile the plan again");
    return PLATFORM_OK;
}

static int read_launches(const unsigned char *table, const bundle_layout *layout, bundle_memory *memory,
                         const failure *error)
{
    memory->launches = malloc(sizeof *memory->launches * (layout->launch_count + 1));
    if (!memory->launches)
        return refuse(error, PLATFORM_NO_RESOURCES, "model.qpu", "no memory for its launches");
    for (uint32_t l = 0; l < layout->launch_count; ++l, table += LAUNCH_BYTES) {
        const bundle_launch_entry entry = {word_at(table), word_at(table + 4), word_at(table + 8),
                                           word_at(table + 12)};
        memory->launches[l] = entry;
        if ((uint64_t)entry.control_offset + 8 * (uint64_t)entry.num_qpus > layout->gpu_bytes ||
            entry.layers > BUNDLE_MOST_LAYERS)
            return refuse(error, PLATFORM_BAD_FILES, "model.qpu", "has a launch outside its memory");
    }
    return PLATFORM_OK;
}

/* Copies the image into GPU memory and adds the bus address to its relocated words. */
static int fill_gpu(const contents *program, const unsigned char *weights, const bundle_layout *layout,
                    bundle_memory *memory, const failure *error)
{
    const uint32_t relocations = word_at(program->bytes + 20);
    const uint32_t image_words = (layout->gpu_weights_offset + layout->gpu_weights_bytes) / 4;
    const unsigned char *table = program->bytes + QPU_HEADER + 4 * (size_t)relocations;
    const int code = read_launches(table, layout, memory, error);
    if (code != PLATFORM_OK)
        return code;
    memcpy(memory->gpu, table + LAUNCH_BYTES * (size_t)layout->launch_count, layout->gpu_weights_offset);
    memcpy(memory->gpu + layout->gpu_weights_offset, weights, layout->gpu_weights_bytes);
    uint32_t *words = (uint32_t *)(void *)memory->gpu;
    for (uint32_t i = 0; i < relocations; ++i) {
        const uint32_t index = word_at(program->bytes + QPU_HEADER + 4 * (size_t)i);
        if (index >= image_words)
            return refuse(error, PLATFORM_BAD_FILES, "model.qpu", "has a relocation outside its image");
        words[index] += memory->gpu_bus;
    }
    return PLATFORM_OK;
}

/* Why the GPU is not to be had, and what else could be done. */
static int lack(const failure *error, int code, const char *what, const bundle_layout *layout)
{
    char why[640];
    snprintf(why, sizeof why, "%s%s", platform_message(code), layout->without_gpu);
    return refuse(error, code, what, why);
}

static int load_gpu(const char *directory, const unsigned char *weights, const bundle_layout *layout,
                    bundle_memory *memory, const failure *error)
{
    int code = platform_open();
    if (code != PLATFORM_OK)
        return lack(error, code, "GPU", layout);
    memory->platform_is_open = 1;
    contents program = {NULL, 0};
    code = read_program(directory, &program, error);
    if (code == PLATFORM_OK)
        code = check_program(&program, layout, error);
    if (code == PLATFORM_OK) {
        void *pointer = NULL;
        code = platform_gpu_alloc(layout->gpu_bytes, layout->gpu_memory, &memory->gpu_bus, &pointer);
        memory->gpu = code == PLATFORM_OK ? pointer : NULL;
        if (code != PLATFORM_OK)
            lack(error, code, "GPU memory", layout);
        else
            code = fill_gpu(&program, weights, layout, memory, error);
    }
    free(program.bytes);
    return code;
}

static void bundle_unload_gpu(bundle_memory *memory)
{
    if (memory->gpu)
        platform_gpu_free(memory->gpu_bus);
    if (memory->platform_is_open)
        platform_close();
    free(memory->launches);
    bundle_unload(memory);
}

/* As bundle_load, and the GPU's memory with it; bundle_unload_gpu frees all. */
static int bundle_load_gpu(const char *directory, const bundle_layout *layout, bundle_memory *memory,
                           const failure *error)
{
    memset(memory, 0, sizeof *memory);
    unsigned char *weights = malloc(lines_up(layout->gpu_weights_bytes) + 1);
    if (!weights)
        return refuse(error, PLATFORM_NO_RESOURCES, "memory", "not enough for the GPU's weights");
    int code = bundle_load(directory, NULL, 0, layout, memory, weights, error);
    if (code == PLATFORM_OK) {
        code = load_gpu(directory, weights, layout, memory, error);
        if (code != PLATFORM_OK)
            bundle_unload_gpu(memory);
    }
    free(weights);
    return code;
}

/*
 * Runs one launch. `steps` are the indices of the steps that its marks are of, in order; their times are added to
 * steps_s, which are -1 where the platform has no marks. Returns a PLATFORM_ code.
 */
static int bundle_execute(bundle_memory *memory, uint32_t launch, const int *steps, double *launch_s,
                          double *steps_s)
{
    const bundle_launch_entry *entry = &memory->launches[launch];
    const uint32_t mark_bus = entry->mark_offset == 0xFFFFFFFFu ? 0 : memory->gpu_bus + entry->mark_offset;
    const int layers = (int)entry->layers;
    double marks[BUNDLE_MOST_LAYERS];
    const double start_s = bundle_clock_s();
    const int code =
        platform_gpu_execute(entry->num_qpus, memory->gpu_bus + entry->control_offset, mark_bus, launch_s);
    memory->awaited_s += bundle_clock_s() - start_s;
    if (code != PLATFORM_OK)
        return code;
    const int known = platform_gpu_marks(marks, BUNDLE_MOST_LAYERS) == layers || layers == 1;
    for (int i = 0; i < layers; ++i) {
        const double start = i == 0 ? 0.0 : marks[i - 1];
        const double end = i == layers - 1 ? *launch_s : marks[i];
        steps_s[steps[i]] = known && steps_s[steps[i]] >= 0.0 ? steps_s[steps[i]] + (end - start) : -1.0;
    }
    return PLATFORM_OK;
}
