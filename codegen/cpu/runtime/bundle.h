/*
 * Loading of a bundle's files and launching of its GPU program. Generated models call this; programs that use a
 * model do not.
 */
#ifndef EXPLORE_BUNDLE_H
#define EXPLORE_BUNDLE_H

#include <stddef.h>
#include <stdint.h>

enum { BUNDLE_VERSION = 1, BUNDLE_MOST_LAYERS = 512 };

/* What a generated model knows of its files; anything else is refused. */
typedef struct bundle_layout {
    unsigned char plan_id[8];    /* of the plan that all files were compiled from */
    size_t cpu_weights_bytes;    /* multiples of 64 */
    size_t arena_bytes;
    uint32_t gpu_bytes;          /* 0: no model.qpu */
    uint32_t gpu_weights_offset; /* where in GPU memory the GPU's words of weights.bin go */
    uint32_t gpu_weights_bytes;
    uint32_t launch_count;
} bundle_layout;

typedef struct bundle_launch_entry {
    uint32_t control_offset, num_qpus, mark_offset, layers;
} bundle_launch_entry;

/* Memory of one handle. All of it is allocated by bundle_load and freed by bundle_unload. */
typedef struct bundle_memory {
    void *block;
    unsigned char *weights; /* aligned to 64 bytes, as is the arena */
    unsigned char *arena;
    unsigned char *gpu; /* NULL without model.qpu */
    uint32_t gpu_bus;
    bundle_launch_entry *launches;
    int platform_is_open;
} bundle_memory;

/* 0, or a PLATFORM_ code with one line of text in `error`; then nothing is left allocated. */
int bundle_load(const char *directory, const bundle_layout *layout, bundle_memory *memory, char *error,
                size_t error_size);
void bundle_unload(bundle_memory *memory);

/*
 * Runs one launch. `steps` are the indices of its steps, in order; their times are written to steps_s, or -1
 * where the platform has no marks. Returns a PLATFORM_ code.
 */
int bundle_execute(const bundle_memory *memory, uint32_t launch, const int *steps, double *launch_s,
                   double *steps_s);

double bundle_clock_s(void);

#endif
