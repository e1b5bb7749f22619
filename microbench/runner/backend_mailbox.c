/* The runner's GPU is a Raspberry Pi's own, through the platform layer that bundles use. */
#define _GNU_SOURCE

#include "backend.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "platform.h"
#include "protocol.h"
#include "software.h" /* made by the build: RUNNER_SOFTWARE */

/* Property interface: GET_CLOCK_RATE of clock 5, the V3D (public documentation of the firmware's mailbox). */
enum { TAG_GET_CLOCK_RATE = 0x30002, CLOCK_V3D = 5, MOST_ALLOCATIONS = 16 };
#define RESPONSE_GOOD 0x80000000u

static int opened;
static uint32_t allocated[MOST_ALLOCATIONS];

const char *backend_name(void) { return "mailbox"; }

const char *backend_kind(void) { return "silicon"; }

const char *backend_software(void) { return RUNNER_SOFTWARE; }

int backend_shares(void) { return 0; }

static double v3d_clock_hz(void)
{
    uint32_t message[8] __attribute__((aligned(16))) = {sizeof message, 0, TAG_GET_CLOCK_RATE, 8, 4, CLOCK_V3D, 0, 0};
    const int fd = open("/dev/vcio", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return 0.0;
    (void)ioctl(fd, _IOWR(100, 0, char *), message); /* judged by the response word */
    close(fd);
    return message[1] == RESPONSE_GOOD ? (double)message[6] : 0.0;
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
