/* The board's own files, in one directory of this machine (board.py writes them). */
#ifndef EXPLORE_PI_BOARD_H
#define EXPLORE_PI_BOARD_H

#include <stdint.h>

enum { PI_PATH_BYTES = 4096, PI_MOST_BLOCKS = 64 };

/* What the firmware tells of the board; units are in the names. */
#define PI_CONDITIONS(X) \
    X(v3d_clock_hz) \
    X(arm_clock_hz) \
    X(arm_highest_clock_hz) \
    X(temperature_c) \
    X(throttle_flags) \
    X(core_voltage_v) \
    X(board_revision) \
    X(refuses_qpus)

typedef struct pi_conditions {
#define PI_FIELD(name) double name;
    PI_CONDITIONS(PI_FIELD)
#undef PI_FIELD
} pi_conditions;

typedef struct pi_block {
    uint32_t handle; /* 0: none */
    uint32_t bus, bytes, flags, locked;
} pi_block;

/* What the firmware keeps from one process to the next, until the board boots. */
typedef struct pi_state {
    uint32_t launches, qpus_enabled, last_handle;
    pi_block blocks[PI_MOST_BLOCKS]; /* ascending by address, those without a handle last */
} pi_state;

/* The board's directory; -1 where it cannot be used. */
int pi_board_open(const char *directory);

/* The path of a file of the board's. */
void pi_board_path(const char *name, char *path);

/*
 * The state, for the caller alone until it is let go; NULL where the board was taken away. A process that ends
 * lets it go.
 */
pi_state *pi_state_hold(void);
void pi_state_let_go(void);

/* As the board's script has them after so many launches; a line is a name, a number, and from which launch on it holds. */
pi_conditions pi_conditions_after(uint32_t launches);

/* One line in the board's log. */
void pi_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
