/* What the machine says of itself before and after a batch: clocks, temperature, throttling, voltage. */
#ifndef EXPLORE_RUNNER_CONDITIONS_H
#define EXPLORE_RUNNER_CONDITIONS_H

#include "wire.h"

/* Why a reading has a value, or none. */
enum reading_state {
    READING_GOOD = 0,
    READING_NO_FIRMWARE = 1, /* no firmware interface on this machine */
    READING_DENIED = 2,      /* there is one, and this user may not open it */
    READING_REFUSED = 3      /* the firmware does not answer this question */
};

/* The order in which they are sent. */
enum reading { V3D_CLOCK_HZ, ARM_CLOCK_HZ, TEMPERATURE_C, THROTTLE_FLAGS, CORE_VOLTAGE_V, READINGS };

typedef struct conditions {
    enum reading_state states[READINGS];
    double values[READINGS]; /* 0 unless READING_GOOD */
} conditions;

/* Takes every reading. */
conditions read_conditions(void);

/* Appends them: u32 count, then {u32 state, f64 value}. */
void put_conditions(writer *answer, const conditions *taken);

#endif
