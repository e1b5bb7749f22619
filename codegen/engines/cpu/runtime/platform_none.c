/* A machine without a GPU that QPU programs could run on: everything but the CPU is refused. */
#include "platform.h"

#include <stddef.h>

int platform_open(void)
{
    return PLATFORM_OK;
}

void platform_close(void)
{
}

const char *platform_name(void)
{
    return "none";
}

const char *platform_gpu_kind(void)
{
    return "none";
}

const char *platform_message(int code)
{
    return code == PLATFORM_OK ? "done" : "this machine has no VideoCore IV; build with platform_mailbox.c on a Pi";
}

int platform_gpu_alloc(uint32_t bytes, int memory, uint32_t *bus, void **pointer)
{
    (void)bytes, (void)memory;
    *bus = 0;
    *pointer = NULL;
    return PLATFORM_UNAVAILABLE;
}

void platform_gpu_free(uint32_t bus)
{
    (void)bus;
}

int platform_gpu_execute(uint32_t num_qpus, uint32_t control_bus, uint32_t mark_bus, double *time_s)
{
    (void)num_qpus;
    (void)control_bus;
    (void)mark_bus;
    *time_s = 0.0;
    return PLATFORM_UNAVAILABLE;
}

int platform_gpu_marks(double *seconds, int capacity)
{
    (void)seconds;
    (void)capacity;
    return 0;
}

int platform_gpu_counters(const char *const **names, const double **totals)
{
    *names = NULL;
    *totals = NULL;
    return 0;
}
