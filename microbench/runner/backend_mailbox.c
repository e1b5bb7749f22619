/* The runner's GPU is a Raspberry Pi's own, through the platform layer that bundles use. */
#define _GNU_SOURCE

#include "backend.h"

#include <stdio.h>
#include <string.h>

#include "conditions.h"
#include "platform.h"
#include "protocol.h"
#include "software.h" /* made by the build: RUNNER_SOFTWARE */

enum { MOST_ALLOCATIONS = 16 };

static int opened;
static uint32_t allocated[MOST_ALLOCATIONS];

const char *backend_name(void) { return "mailbox"; }

const char *backend_kind(void) { return "silicon"; }

const char *backend_software(void) { return RUNNER_SOFTWARE; }

int backend_shares(void) { return 0; }

static double v3d_clock_hz(void)
{
    return read_conditions().values[V3D_CLOCK_HZ]; /* 0 where there is none */
}

static int explain(int code, int fault, backend_message *why)
{
    snprintf(why->text, sizeof why->text, "%s", platform_message(code));
    return fault;
}

int backend_open(const double *constants, uint32_t count, double *clock_hz, backend_message *why)
{
    (void)constants, (void)count; /* silicon brings its own */
    backend_close();
    const int code = platform_open();
    if (code != PLATFORM_OK)
        return explain(code, FAULT_BOARD, why);
    opened = 1;
    *clock_hz = v3d_clock_hz();
    return 0;
}

int backend_alloc(uint32_t bytes, uint32_t *bus, void **pointer, backend_message *why)
{
    int place = 0;
    while (place < MOST_ALLOCATIONS && allocated[place])
        ++place;
    if (!opened || place == MOST_ALLOCATIONS) {
        snprintf(why->text, sizeof why->text, "the GPU is not open, or holds too many allocations");
        return FAULT_PROTOCOL;
    }
    const int code = platform_gpu_alloc(bytes, bus, pointer);
    if (code != PLATFORM_OK)
        return explain(code, code == PLATFORM_NO_MEMORY ? FAULT_CANDIDATE : FAULT_BOARD, why);
    allocated[place] = *bus;
    return 0;
}

void backend_free(uint32_t bus)
{
    for (int i = 0; i < MOST_ALLOCATIONS; ++i)
        if (allocated[i] == bus) {
            allocated[i] = 0;
            platform_gpu_free(bus);
        }
}

int backend_counter_names(const char *const **names)
{
    static const char *const none[] = {NULL};
    *names = none;
    return 0;
}

int backend_execute(const backend_launch *launch, backend_times *times, backend_message *why)
{
    const int code = platform_gpu_execute(launch->num_qpus, launch->control_bus, launch->mark_bus, &times->time_s);
    if (code != PLATFORM_OK)
        return explain(code, code == PLATFORM_STOPPED ? FAULT_STOPPED : FAULT_BOARD, why);
    const int marks = platform_gpu_marks(times->mark_s, BACKEND_MARKS);
    times->marks = marks < BACKEND_MARKS ? marks : BACKEND_MARKS;
    return 0;
}

void backend_close(void)
{
    for (int i = 0; i < MOST_ALLOCATIONS; ++i)
        if (allocated[i])
            backend_free(allocated[i]);
    if (opened)
        platform_close();
    opened = 0;
}
