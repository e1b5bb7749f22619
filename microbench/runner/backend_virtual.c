/* The runner's GPU is the simulator, linked in: for boards that exist only as a profile, and for those that it stands
 * for, whose constants are in a file beside the runner's (stand_in.h). */
#include "backend.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "protocol.h"
#include "software.h" /* made by the build: RUNNER_SOFTWARE */
#include "stand_in.h"
#include "v3d.h"

#define BOARD_FILE "board.constants"

enum { ALIGNMENT = 4096, STRICT = 1, FLUSH = 0, PATH_BYTES = 4096, SOFTWARE_BYTES = 160 };

static const char *const counter_names[] = {
    "cycles",
#define COUNTER_NAME(name) #name,
    V3D_COUNTERS(COUNTER_NAME)
#undef COUNTER_NAME
};

enum { COUNTERS = sizeof counter_names / sizeof *counter_names };
_Static_assert((int)COUNTERS <= (int)BACKEND_COUNTERS, "the answer has too few places for counters");
_Static_assert((int)V3D_MARKS <= (int)BACKEND_MARKS, "the answer has too few places for marks");

static v3d *gpu;
static stand_in board; /* with constants from the host: without habits or noise */
static char board_file[PATH_BYTES], software[SOFTWARE_BYTES] = RUNNER_SOFTWARE;
static int configured, stands_in;
static uint32_t image_bus;

int backend_prepare(const char *directory, const char *launch, backend_message *why)
{
    snprintf(board_file, sizeof board_file, "%s/" BOARD_FILE, directory);
    if (!launch)
        return 0;
    snprintf(why->text, sizeof why->text, "the simulator knows no way to launch named %s", launch);
    return FAULT_PROTOCOL;
}

const char *backend_name(void) { return "virtual"; }

const char *backend_kind(void) { return "simulated"; }

const char *backend_software(void) { return software; }

int backend_shares(void) { return 1; }

static int take_constants(const double *constants, uint32_t count, backend_message *why)
{
    memset(&board, 0, sizeof board);
    stands_in = 0;
    if (count * sizeof(double) != sizeof board.config) {
        snprintf(why->text, sizeof why->text, "the simulator has %u constants (%s), given %u",
                 (unsigned)(sizeof board.config / sizeof(double)), v3d_config_names(), (unsigned)count);
        return FAULT_PROTOCOL;
    }
    memcpy(&board.config, constants, sizeof board.config);
    return 0;
}

/* Of a board that is stood for the host says, as of silicon, no more than how memory is to be allocated. */
static int take_board(double memory_is_cached, backend_message *why)
{
    if (stand_in_read(board_file, &board) != 0) {
        snprintf(why->text, sizeof why->text,
                 "%.1024s is not there, or does not hold each constant of a board once, a name and a number a line",
                 board_file);
        return FAULT_BOARD;
    }
    stands_in = 1;
    board.config.memory_is_cached = memory_is_cached;
    snprintf(software, sizeof software, "%.128s, board %08x", RUNNER_SOFTWARE, (unsigned)board.digest);
    return 0;
}

int backend_open(const double *constants, uint32_t count, double *clock_hz, backend_message *why)
{
    backend_close();
    const int fault = count == 1 ? take_board(constants[0], why) : take_constants(constants, count, why);
    if (fault)
        return fault;
    gpu = stand_in_new(&board, STRICT);
    configured = gpu != NULL;
    *clock_hz = board.config.clock_hz;
    backend_close();
    if (configured)
        return 0;
    snprintf(why->text, sizeof why->text, "the simulator refuses these constants, or memory is short");
    return FAULT_BOARD;
}

/* Every program gets a GPU of its own, so that nothing of an earlier one is left in it. */
int backend_alloc(uint32_t bytes, uint32_t *bus, void **pointer, backend_message *why)
{
    *pointer = NULL;
    backend_close();
    gpu = configured ? stand_in_new(&board, STRICT) : NULL;
    if (!gpu) {
        snprintf(why->text, sizeof why->text, "the simulator was not opened, or memory is short");
        return FAULT_BOARD;
    }
    *bus = image_bus = v3d_alloc(gpu, bytes, ALIGNMENT);
    *pointer = *bus ? v3d_map(gpu, *bus, bytes) : NULL;
    if (*pointer)
        return 0;
    snprintf(why->text, sizeof why->text, "GPU memory is exhausted: no room for %u bytes", (unsigned)bytes);
    return FAULT_CANDIDATE;
}

void backend_free(uint32_t bus)
{
    (void)bus;
    backend_close();
}

int backend_counter_names(const char *const **names)
{
    *names = counter_names;
    return COUNTERS;
}

static void copy_counters(const v3d_result *result, double *counters)
{
    const uint64_t values[] = {
        result->cycles,
#define COUNTER_VALUE(name) result->name,
        V3D_COUNTERS(COUNTER_VALUE)
#undef COUNTER_VALUE
    };
    for (int i = 0; i < COUNTERS; ++i)
        counters[i] = (double)values[i];
}

/* What silicon would compute with is luck, so the program counts as stopped. */
static int stale(const v3d_result *result, backend_message *why)
{
    snprintf(why->text, sizeof why->text,
             "virtual GPU: %llu reads of stale cached data, the first of 0x%08x (byte %u of the image) by "
             "instruction %u of QPU %u; no address may be read again after a DMA store to it within a launch",
             (unsigned long long)result->stale_reads, (unsigned)result->first_stale_bus,
             (unsigned)(result->first_stale_bus - image_bus), (unsigned)result->first_stale_instruction,
             (unsigned)result->first_stale_qpu);
    return FAULT_STOPPED;
}

/* What only programs of others need is a fault of one of the project's kernels; a board lets it pass. */
static int warned(const v3d_result *result, backend_message *why)
{
    static const char *const names[] = {
#define WARNING_NAME(name) #name,
        V3D_WARNINGS(WARNING_NAME)
#undef WARNING_NAME
    };
    int first = 0;
    while (result->warned[first].count == 0)
        first++;
    const v3d_warned *w = &result->warned[first];
    snprintf(why->text, sizeof why->text,
             "virtual GPU: %s, %llu times, first by instruction %d of QPU %u; silicon lets it pass, and no kernel of this "
             "project needs it",
             names[first], (unsigned long long)w->count, (int)w->instruction, (unsigned)w->qpu);
    return FAULT_STOPPED;
}

int backend_execute(const backend_launch *launch, backend_times *times, backend_message *why)
{
    static v3d_result result;
    memset(&result, 0, sizeof result);
    const int status = v3d_execute(gpu, launch->num_qpus, launch->control_bus, FLUSH, launch->limit_s,
                                   launch->mark_bus, &result);
    if (status != V3D_OK) {
        snprintf(why->text, sizeof why->text, "virtual GPU: %s", result.message);
        return status == V3D_USAGE ? FAULT_CANDIDATE : FAULT_STOPPED;
    }
    if (result.stale_reads)
        return stale(&result, why);
    if (result.warnings && !stands_in)
        return warned(&result, why);
    times->time_s = stand_in_time_s(&board, result.time_s);
    times->marks = result.mark_count < V3D_MARKS ? (int)result.mark_count : V3D_MARKS;
    for (int i = 0; i < times->marks; ++i)
        times->mark_s[i] = board.config.launch_overhead_s + (double)result.mark_cycles[i] / board.config.clock_hz;
    copy_counters(&result, times->counters);
    return 0;
}

void backend_recover(void) {}

void backend_close(void)
{
    v3d_delete(gpu);
    gpu = NULL;
}
