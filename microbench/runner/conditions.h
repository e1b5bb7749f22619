/* What the machine says of itself before and after a batch: clocks, temperature, throttling, voltage. */
#ifndef EXPLORE_RUNNER_CONDITIONS_H
#define EXPLORE_RUNNER_CONDITIONS_H

#include "wire.h"

/* Why a reading has a value, or none. */
enum reading_state {
    READING_GOOD = 0,
    READING_NO_FIRMWARE = 1, /* no firmware interface on this machine, and its kernel does not tell */
    READING_DENIED = 2,      /* there is one that this user may not open, and the kernel does not tell */
    READING_REFUSED = 3      /* neither the firmware nor the kernel answers this question */
};

/* The order in which they are sent. */
enum reading { V3D_CLOCK_HZ, ARM_CLOCK_HZ, TEMPERATURE_C, THROTTLE_FLAGS, CORE_VOLTAGE_V, READINGS };

typedef struct conditions {
    enum reading_state states[READINGS];
    double values[READINGS]; /* 0 unless READING_GOOD */
} conditions;

#define SYSTEM_DIRECTORY "/sys"

/* Takes every reading; `system` is where sysfs is mounted. */
conditions read_conditions(void);
conditions read_conditions_of(const char *system);

/* The highest clock of any core, by the kernel, else by the firmware; 0 where neither tells. */
double highest_cpu_clock_hz(const char *system);

/* Appends them: u32 count, then {u32 state, f64 value}. */
void put_conditions(writer *answer, const conditions *taken);

#endif
