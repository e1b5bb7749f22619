/* A kernel that measure.c times, and the sizes of what it works on. */
#ifndef MEASURE_H
#define MEASURE_H

#include <stddef.h>

typedef struct measured_kernel {
    void (*entry)(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part);
    int threads, input_count, output_count;
    const size_t *input_elements, *output_elements;
    size_t weight_elements, workspace_bytes;
} measured_kernel;

extern const measured_kernel measured; /* the kernel's file defines it */

#endif
