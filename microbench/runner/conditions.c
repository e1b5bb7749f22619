/* Property interface of the firmware (public documentation of the mailbox); a tag is judged by its response word. */
#define _GNU_SOURCE

#include "conditions.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef FIRMWARE_DEVICE
#define FIRMWARE_DEVICE "/dev/vcio"
#endif

enum {
    TAG_CLOCK_RATE = 0x30002,
    TAG_VOLTAGE = 0x30003,
    TAG_TEMPERATURE = 0x30006,
    TAG_THROTTLED = 0x30046,
    TAG_CLOCK_MEASURED = 0x30047,
    CLOCK_ARM = 3,
    CLOCK_V3D = 5,
    VOLTAGE_CORE = 1
};

#define RESPONSE_GOOD 0x80000000u
#define CALL _IOWR(100, 0, char *)

/* One question: `argument` goes out in the first word, the answer comes back in the word `place`. */
typedef struct question {
    uint32_t tag, argument, place;
    double unit;
} question;

static int ask(int device, const question *what, double *value)
{
    uint32_t message[8] __attribute__((aligned(16))) = {sizeof message, 0, what->tag, 8, 8, what->argument, 0, 0};
    (void)ioctl(device, CALL, message);
    const uint32_t answered = message[4] & ~RESPONSE_GOOD;
    if (message[1] != RESPONSE_GOOD || !(message[4] & RESPONSE_GOOD) || answered < 4 * (what->place + 1))
        return 0;
    *value = message[5 + what->place] * what->unit;
    return 1;
}

/* The measured rate where the firmware measures, else the rate that is set. */
static int ask_clock(int device, uint32_t clock, double *hz)
{
    const question measured = {TAG_CLOCK_MEASURED, clock, 1, 1.0}, set = {TAG_CLOCK_RATE, clock, 1, 1.0};
    return (ask(device, &measured, hz) && *hz > 0.0) || (ask(device, &set, hz) && *hz > 0.0);
}

static int take(int device, enum reading which, double *value)
{
    /* An argument of 0 leaves the flags "since boot" as they are. */
    static const question temperature = {TAG_TEMPERATURE, 0, 1, 1e-3}, throttled = {TAG_THROTTLED, 0, 0, 1.0},
                          voltage = {TAG_VOLTAGE, VOLTAGE_CORE, 1, 1e-6};
    switch (which) {
    case V3D_CLOCK_HZ:
        return ask_clock(device, CLOCK_V3D, value);
    case ARM_CLOCK_HZ:
        return ask_clock(device, CLOCK_ARM, value);
    case TEMPERATURE_C:
        return ask(device, &temperature, value);
    case THROTTLE_FLAGS:
        return ask(device, &throttled, value);
    case CORE_VOLTAGE_V:
        return ask(device, &voltage, value);
    default:
        return 0;
    }
}

conditions read_conditions(void)
{
    conditions taken;
    const int device = open(FIRMWARE_DEVICE, O_RDWR | O_CLOEXEC);
    const enum reading_state closed = errno == EACCES || errno == EPERM ? READING_DENIED : READING_NO_FIRMWARE;
    for (int i = 0; i < READINGS; ++i) {
        double value = 0.0;
        const int good = device >= 0 && take(device, (enum reading)i, &value);
        taken.states[i] = device < 0 ? closed : good ? READING_GOOD : READING_REFUSED;
        taken.values[i] = good ? value : 0.0;
    }
    if (device >= 0)
        close(device);
    return taken;
}

void put_conditions(writer *answer, const conditions *taken)
{
    put_u32(answer, READINGS);
    for (int i = 0; i < READINGS; ++i) {
        put_u32(answer, taken->states[i]);
        put_f64(answer, taken->values[i]);
    }
}
