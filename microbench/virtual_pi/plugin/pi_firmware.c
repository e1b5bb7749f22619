#include "pi_firmware.h"

#include <stddef.h>

#include "pi_board.h"
#include "pi_gpu.h"
#include "pi_registers.h"

enum {
    TAG_BOARD_REVISION = 0x10002,
    TAG_CLOCK_RATE = 0x30002,
    TAG_VOLTAGE = 0x30003,
    TAG_MAX_CLOCK_RATE = 0x30004,
    TAG_TEMPERATURE = 0x30006,
    TAG_ALLOCATE = 0x3000c,
    TAG_LOCK = 0x3000d,
    TAG_UNLOCK = 0x3000e,
    TAG_RELEASE = 0x3000f,
    TAG_EXECUTE_QPU = 0x30011,
    TAG_ENABLE_QPU = 0x30012,
    TAG_THROTTLED = 0x30046,
    TAG_CLOCK_MEASURED = 0x30047,
    CLOCK_ARM = 3,
    CLOCK_V3D = 5,
    MOST_MESSAGE_BYTES = 4096,
    HEADER_WORDS = 2,
    TAG_WORDS = 3,
    MS_PER_S = 1000
};

#define GOOD 0x80000000u
#define BAD 0x80000001u
#define REFUSED 0x80000000u /* what comes back in the place of 0 */

static const double LONGEST_LAUNCH_S = 1.0; /* the driver gives up whatever is asked for (raspberrypi/linux#4321) */

static double clock_of(const pi_conditions *now, uint32_t clock, int highest)
{
    if (clock == CLOCK_V3D)
        return now->v3d_clock_hz;
    return clock == CLOCK_ARM ? highest ? now->arm_highest_clock_hz : now->arm_clock_hz : 0.0;
}

/* Words of the answer; 0 for a tag that is no question of this kind. */
static uint32_t tell(const pi_conditions *now, uint32_t tag, uint32_t *values)
{
    switch (tag) {
    case TAG_BOARD_REVISION:
        values[0] = (uint32_t)now->board_revision;
        return 1;
    case TAG_CLOCK_RATE:
    case TAG_CLOCK_MEASURED:
        values[1] = (uint32_t)clock_of(now, values[0], 0);
        return 2;
    case TAG_MAX_CLOCK_RATE:
        values[1] = (uint32_t)clock_of(now, values[0], 1);
        return 2;
    case TAG_VOLTAGE:
        values[1] = (uint32_t)(1e6 * now->core_voltage_v + 0.5);
        return 2;
    case TAG_TEMPERATURE:
        values[1] = (uint32_t)(1e3 * now->temperature_c + 0.5);
        return 2;
    case TAG_THROTTLED:
        values[0] = (uint32_t)now->throttle_flags;
        return 1;
    default:
        return 0;
    }
}

static uint32_t execute(pi_state *state, const uint32_t *values, double *time_s)
{
    if (!state->qpus_enabled) {
        pi_log("launch: the QPUs are not enabled");
        return REFUSED;
    }
    const double asked_s = (double)values[3] / MS_PER_S;
    const double limit_s = asked_s < LONGEST_LAUNCH_S ? asked_s : LONGEST_LAUNCH_S;
    return pi_gpu_execute(state, values[0], values[1], values[2] != 0, limit_s, time_s) == 0 ? 0 : REFUSED;
}

/* As `tell`, of the QPUs and their memory. */
static uint32_t serve(pi_state *state, const pi_conditions *now, uint32_t tag, uint32_t *values, double *time_s)
{
    switch (tag) {
    case TAG_ALLOCATE:
        values[0] = pi_gpu_allocate(state, values[0], values[1], values[2]);
        return 1;
    case TAG_LOCK:
        values[0] = pi_gpu_lock(state, values[0]);
        return 1;
    case TAG_UNLOCK:
        values[0] = pi_gpu_unlock(state, values[0]) == 0 ? 0 : REFUSED;
        return 1;
    case TAG_RELEASE:
        values[0] = pi_gpu_release(state, values[0]) == 0 ? 0 : REFUSED;
        return 1;
    case TAG_EXECUTE_QPU:
        values[0] = execute(state, values, time_s);
        return 1;
    case TAG_ENABLE_QPU:
        state->qpus_enabled = values[0] != 0 && now->refuses_qpus == 0.0;
        pi_registers_power(state->qpus_enabled);
        values[0] = now->refuses_qpus != 0.0 ? REFUSED : 0;
        return 1;
    default:
        return 0;
    }
}

static uint32_t room_wanted(uint32_t tag)
{
    return tag == TAG_EXECUTE_QPU ? 4 : tag == TAG_ALLOCATE ? 3 : tag == TAG_BOARD_REVISION ? 1 : 2;
}

static int has_room(uint32_t tag, uint32_t bytes)
{
    const int one_word = tag == TAG_THROTTLED || tag == TAG_LOCK || tag == TAG_UNLOCK || tag == TAG_RELEASE || tag == TAG_ENABLE_QPU;
    return bytes / 4 >= (one_word ? 1 : room_wanted(tag));
}

double pi_firmware_answer(uint32_t *message)
{
    const uint32_t words = message[0] / 4;
    double time_s = 0.0;
    pi_state *state = message[0] <= MOST_MESSAGE_BYTES ? pi_state_hold() : NULL;
    message[1] = state ? GOOD : BAD;
    if (!state)
        return 0.0;
    for (uint32_t at = HEADER_WORDS; at + TAG_WORDS <= words && message[at]; at += TAG_WORDS + (message[at + 1] + 3) / 4) {
        uint32_t *values = message + at + TAG_WORDS;
        if (message[at + 1] > 4 * (words - at - TAG_WORDS)) {
            message[1] = BAD;
            break;
        }
        if (!has_room(message[at], message[at + 1]))
            continue;
        const pi_conditions now = pi_conditions_after(state->launches);
        uint32_t told = tell(&now, message[at], values);
        if (!told && pi_gpu_there())
            told = serve(state, &now, message[at], values, &time_s);
        if (told)
            message[at + 2] = GOOD | 4 * told;
    }
    pi_state_let_go();
    return time_s;
}
