/*
 * The runner's GPU is a Raspberry Pi's own. Its memory comes from the firmware, through the platform layer that bundles
 * use; programs are launched by the firmware too, or directly by the registers of the V3D block.
 */
#define _GNU_SOURCE

#include "backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conditions.h"
#include "firmware.h"
#include "guardian.h"
#include "peripherals.h"
#include "platform.h"
#include "protocol.h"
#include "registers.h"
#include "requests.h"
#include "software.h" /* made by the build: RUNNER_SOFTWARE */

#define DEVICE_TREE "/proc/device-tree"
#define BY_MAILBOX "mailbox"
#define BY_REGISTERS "registers"

enum { MOST_ALLOCATIONS = 16 };

typedef struct allocation {
    uint32_t bus; /* 0: none */
    uint8_t *pointer;
    uint32_t bytes;
} allocation;

static int opened;
static const char *way = BY_MAILBOX;
static int memory_kind = PLATFORM_MEMORY_USUAL;
static volatile uint32_t *registers; /* NULL unless they are mapped */
static allocation allocated[MOST_ALLOCATIONS];

int backend_prepare(const char *directory, const char *launch, backend_message *why)
{
    (void)directory;
    if (launch && strcmp(launch, BY_MAILBOX) != 0 && strcmp(launch, BY_REGISTERS) != 0)
        return fail(why, FAULT_PROTOCOL, "no way to launch is named %s; take " BY_MAILBOX " or " BY_REGISTERS, launch);
    way = launch && strcmp(launch, BY_REGISTERS) == 0 ? BY_REGISTERS : BY_MAILBOX;
    if (guardian_start() != 0)
        return fail(why, FAULT_BOARD, "cannot start the process that frees GPU memory: %s", strerror(errno));
    return 0;
}

const char *backend_name(void) { return way; }

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

static int by_registers(void) { return strcmp(way, BY_REGISTERS) == 0; }

/* After the firmware has powered the block: without power its registers read as nothing. */
static int open_registers(backend_message *why)
{
    int fault = map_v3d(DEVICE_TREE, &registers, why);
    if (!fault)
        fault = registers_check(registers, why);
    if (fault)
        backend_close();
    return fault;
}

int backend_open(const double *constants, uint32_t count, double *clock_hz, backend_message *why)
{
    backend_close();
    /* Silicon brings its own, but for how its memory is allocated. */
    memory_kind = count == 1 ? (int)constants[0] : PLATFORM_MEMORY_USUAL;
    const int code = platform_open();
    if (code != PLATFORM_OK)
        return explain(code, FAULT_BOARD, why);
    opened = 1;
    guardian_note_use(1);
    *clock_hz = v3d_clock_hz();
    return by_registers() ? open_registers(why) : 0;
}

int backend_alloc(uint32_t bytes, uint32_t *bus, void **pointer, backend_message *why)
{
    int place = 0;
    while (place < MOST_ALLOCATIONS && allocated[place].bus)
        ++place;
    if (!opened || place == MOST_ALLOCATIONS)
        return fail(why, FAULT_PROTOCOL, "the GPU is not open, or holds too many allocations");
    const int code = platform_gpu_alloc(bytes, memory_kind, bus, pointer);
    if (code != PLATFORM_OK)
        return explain(code, code == PLATFORM_NO_MEMORY ? FAULT_CANDIDATE : FAULT_BOARD, why);
    allocated[place] = (allocation){*bus, *pointer, bytes};
    return 0;
}

void backend_free(uint32_t bus)
{
    for (int i = 0; i < MOST_ALLOCATIONS; ++i)
        if (allocated[i].bus == bus) {
            allocated[i].bus = 0;
            platform_gpu_free(bus);
        }
}

int backend_counter_names(const char *const **names)
{
    static const char *const none[] = {NULL};
    *names = none;
    return 0;
}

static int execute_by_mailbox(const backend_launch *launch, backend_times *times, backend_message *why)
{
    const int code = platform_gpu_execute(launch->num_qpus, launch->control_bus, launch->mark_bus, &times->time_s);
    if (code != PLATFORM_OK)
        return explain(code, code == PLATFORM_STOPPED ? FAULT_STOPPED : FAULT_BOARD, why);
    const int marks = platform_gpu_marks(times->mark_s, BACKEND_MARKS);
    times->marks = marks < BACKEND_MARKS ? marks : BACKEND_MARKS;
    return 0;
}

/* Where this process sees so many bytes at a bus address; NULL where it does not. */
static const void *seen_at(uint32_t bus, uint32_t bytes)
{
    for (int i = 0; i < MOST_ALLOCATIONS; ++i) {
        const allocation *one = &allocated[i];
        if (one->bus && bus >= one->bus && bus - one->bus <= one->bytes && bytes <= one->bytes - (bus - one->bus))
            return one->pointer + (bus - one->bus);
    }
    return NULL;
}

/* Nothing but a loss of power stops a QPU: a program left running would write into memory that is another's by then. */
static void stop_qpus(void)
{
    const int device = firmware_open();
    if (device < 0)
        return;
    firmware_enable_qpus(device, 0);
    firmware_enable_qpus(device, 1);
    close(device);
}

static int execute_by_registers(const backend_launch *launch, backend_times *times, backend_message *why)
{
    const uint32_t *control = seen_at(launch->control_bus, 2 * sizeof *control * launch->num_qpus);
    if (!control || !registers)
        return fail(why, FAULT_PROTOCOL, "the GPU is not open, or the launch's control list not in its memory");
    const register_launch what = {control, launch->num_qpus, launch->limit_s};
    const int fault = registers_launch(registers, &what, &times->time_s, why);
    if (fault)
        stop_qpus();
    return fault;
}

int backend_execute(const backend_launch *launch, backend_times *times, backend_message *why)
{
    return by_registers() ? execute_by_registers(launch, times, why) : execute_by_mailbox(launch, times, why);
}

void backend_recover(void) { platform_gpu_recover(); }

void backend_close(void)
{
    for (int i = 0; i < MOST_ALLOCATIONS; ++i)
        if (allocated[i].bus)
            backend_free(allocated[i].bus);
    if (registers)
        unmap_v3d(registers);
    registers = NULL;
    if (opened)
        platform_close();
    opened = 0;
    guardian_note_use(0);
}
