/* A bundle's platform on the virtual board: the simulator is linked in, its constants are those of one profile, or of
 * the board that it stands for where it runs. */
#include "platform.h"

#include <stddef.h>
#include <stdio.h>

#include "stand_in.h"
#include "v3d_profile.h" /* made by the build: V3D_LAUNCH_LIMIT_S, and v3d_profile or V3D_BOARD_FILE and V3D_MEMORY_IS_CACHED */

enum { ALIGNMENT = 4096, STRICT = 1, FLUSH = 0 };

static const char *const counter_names[] = {
    "cycles",
#define COUNTER_NAME(name) #name,
    V3D_COUNTERS(COUNTER_NAME)
#undef COUNTER_NAME
};

enum { COUNTERS = sizeof counter_names / sizeof *counter_names };

static stand_in board;
static v3d *gpu;
static int users;
static v3d_result last;
static double totals[COUNTERS];
static char stopped[V3D_MESSAGE_BYTES + 64];

static v3d *new_gpu(void)
{
#ifdef V3D_BOARD_FILE
    if (stand_in_read(V3D_BOARD_FILE, &board) != 0)
        return NULL;
    board.config.memory_is_cached = V3D_MEMORY_IS_CACHED;
#else
    board.config = v3d_profile;
#endif
    return stand_in_new(&board, STRICT);
}

int platform_open(void)
{
    if (!gpu)
        gpu = new_gpu();
    if (!gpu)
        return PLATFORM_UNAVAILABLE;
    if (users++ == 0)
        for (int i = 0; i < COUNTERS; ++i)
            totals[i] = 0.0;
    return PLATFORM_OK;
}

void platform_close(void)
{
    if (users == 0 || --users > 0)
        return;
    v3d_delete(gpu);
    gpu = NULL;
}

const char *platform_name(void)
{
    return "virtual";
}

const char *platform_gpu_kind(void)
{
    return "simulated";
}

const char *platform_message(int code)
{
    switch (code) {
    case PLATFORM_OK:
        return "done";
    case PLATFORM_NO_MEMORY:
        return "the virtual GPU's memory is exhausted";
    case PLATFORM_STOPPED:
        snprintf(stopped, sizeof stopped, "the virtual GPU stopped: %s", last.message);
        return stopped;
    default:
        return "the virtual GPU cannot be made: its constants are refused, or this machine's memory is short";
    }
}

/* How memory is allocated is a constant of the profile that the simulator was made for. */
int platform_gpu_alloc(uint32_t bytes, int memory, uint32_t *bus, void **pointer)
{
    (void)memory;
    *pointer = NULL;
    *bus = gpu ? v3d_alloc(gpu, bytes, ALIGNMENT) : 0;
    if (*bus)
        *pointer = v3d_map(gpu, *bus, bytes);
    return gpu ? (*pointer ? PLATFORM_OK : PLATFORM_NO_MEMORY) : PLATFORM_UNAVAILABLE;
}

void platform_gpu_free(uint32_t bus)
{
    if (gpu && bus)
        v3d_free(gpu, bus);
}

static void add_counters(void)
{
    const uint64_t values[] = {
        last.cycles,
#define COUNTER_VALUE(name) last.name,
        V3D_COUNTERS(COUNTER_VALUE)
#undef COUNTER_VALUE
    };
    for (int i = 0; i < COUNTERS; ++i)
        totals[i] += (double)values[i];
}

int platform_gpu_execute(uint32_t num_qpus, uint32_t control_bus, uint32_t mark_bus, double *time_s)
{
    if (!gpu)
        return PLATFORM_UNAVAILABLE;
    const int status = v3d_execute(gpu, num_qpus, control_bus, FLUSH, V3D_LAUNCH_LIMIT_S, mark_bus, &last);
    *time_s = stand_in_time_s(&board, last.time_s);
    add_counters();
    return status == V3D_OK ? PLATFORM_OK : PLATFORM_STOPPED;
}

/* The launch call's overhead comes before the first instruction: marks count from the call, as the time does. */
int platform_gpu_marks(double *seconds, int capacity)
{
    const int count = last.mark_count < V3D_MARKS ? (int)last.mark_count : V3D_MARKS;
    for (int i = 0; i < count && i < capacity; ++i)
        seconds[i] = board.config.launch_overhead_s + (double)last.mark_cycles[i] / board.config.clock_hz;
    return count;
}

int platform_gpu_counters(const char *const **names, const double **values)
{
    *names = counter_names;
    *values = totals;
    return COUNTERS;
}
