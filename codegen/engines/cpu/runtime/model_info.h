/* What a generated model says about itself; the same type for every bundle. */
#ifndef EXPLORE_MODEL_INFO_H
#define EXPLORE_MODEL_INFO_H

#include <stddef.h>
#include <stdint.h>

typedef struct model_tensor {
    const char *name;
    size_t elements;      /* row-major (NCHW) */
    const char *type;     /* of an element: "float32", "int64", ... */
    size_t element_bytes; /* of one */
    int rank;
    const size_t *shape; /* `rank` lengths; NULL of a scalar */
} model_tensor;

typedef struct model_step {
    const char *name;
    const char *engine; /* that computes it: "cpu", "videocore4" */
    int launch;         /* which launch computes it; -1 where it is called */
} model_step;

typedef struct model_info {
    const char *name;
    int input_count;
    const model_tensor *inputs;
    int output_count;
    const model_tensor *outputs;
    int step_count;
    const model_step *steps;
    int launch_count;
    int threads;          /* the most parts that a step is split into: threads that the plan wants */
    size_t weights_bytes; /* CPU memory of one handle: weights, */
    size_t arena_bytes;   /* activations and workspaces */
    size_t gpu_bytes;     /* GPU memory of one handle */
} model_info;

#endif
