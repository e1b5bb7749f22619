/* What the firmware tells, and where it does not, the kernel's own files (sensors.h). */
#define _GNU_SOURCE

#include "conditions.h"

#include <errno.h>
#include <unistd.h>

#include "firmware.h"
#include "sensors.h"

enum {
    TAG_CLOCK_RATE = 0x30002,
    TAG_VOLTAGE = 0x30003,
    TAG_MAX_CLOCK_RATE = 0x30004,
    TAG_TEMPERATURE = 0x30006,
    TAG_THROTTLED = 0x30046,
    TAG_CLOCK_MEASURED = 0x30047,
    CLOCK_ARM = 3,
    CLOCK_V3D = 5,
    VOLTAGE_CORE = 1
};

/* One question: `argument` goes out in the first word, the answer comes back in the word `place`. */
typedef struct question {
    uint32_t tag, argument, place;
    double unit;
} question;

static int ask(int device, const question *what, double *value)
{
    uint32_t words[2] = {what->argument, 0};
    if (!firmware_call(device, what->tag, words, 2, what->place + 1))
        return 0;
    *value = words[what->place] * what->unit;
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

/* What the kernel tells even where nobody may ask the firmware. */
static int take_from_kernel(const char *system, enum reading which, double *value)
{
    switch (which) {
    case ARM_CLOCK_HZ:
        return read_cpu_clock(system, "scaling_cur_freq", value);
    case TEMPERATURE_C:
        return read_temperature(system, value);
    case THROTTLE_FLAGS:
        return read_throttle_flags(system, value);
    default:
        return 0;
    }
}

conditions read_conditions_of(const char *system)
{
    conditions taken;
    const int device = firmware_open();
    const enum reading_state closed = errno == EACCES || errno == EPERM ? READING_DENIED : READING_NO_FIRMWARE;
    for (int i = 0; i < READINGS; ++i) {
        double value = 0.0;
        const int good = (device >= 0 && take(device, (enum reading)i, &value)) ||
                         take_from_kernel(system, (enum reading)i, &value);
        taken.states[i] = good ? READING_GOOD : device < 0 ? closed : READING_REFUSED;
        taken.values[i] = good ? value : 0.0;
    }
    if (device >= 0)
        close(device);
    return taken;
}

conditions read_conditions(void) { return read_conditions_of(SYSTEM_DIRECTORY); }

double highest_cpu_clock_hz(const char *system)
{
    double value = 0.0;
    if (read_cpu_clock(system, "cpuinfo_max_freq", &value))
        return value;
    const question highest = {TAG_MAX_CLOCK_RATE, CLOCK_ARM, 1, 1.0};
    const int device = firmware_open();
    if (device >= 0) {
        value = ask(device, &highest, &value) ? value : 0.0;
        close(device);
    }
    return value;
}

void put_conditions(writer *answer, const conditions *taken)
{
    put_u32(answer, READINGS);
    for (int i = 0; i < READINGS; ++i) {
        put_u32(answer, taken->states[i]);
        put_f64(answer, taken->values[i]);
    }
}
