/*
 * Launches of QPU programs by the registers of the V3D block, without the firmware.
 *
 * Broadcom, VideoCore IV 3D Architecture Reference Guide, chapter "V3D Registers": tables 65 to 68 (user program
 * requests), 71 and 72 (caches), 73 and 74 (QPU interrupts), 79 (identity).
 */
#ifndef EXPLORE_RUNNER_REGISTERS_H
#define EXPLORE_RUNNER_REGISTERS_H

#include <stdint.h>

#include "backend.h"

/* Byte offsets from the block's base (guide, table 48; those of the QPU interrupts: Linux, vc4_regs.h). */
enum v3d_register {
    V3D_IDENT0 = 0x000,
    V3D_L2CACTL = 0x020,
    V3D_SLCACTL = 0x024,
    V3D_SRQPC = 0x430,
    V3D_SRQUA = 0x434,
    V3D_SRQCS = 0x43c,
    V3D_DBQITE = 0xe2c,
    V3D_DBQITC = 0xe30,
    V3D_REGISTER_BYTES = 0x1000
};

/* Letters "V3D" and technology version 2 (guide, table 79); a block without power or clock reads as something else. */
#define V3D_IDENTITY 0x02443356u

typedef struct register_launch {
    const uint32_t *control; /* a pair of bus addresses (uniforms, code) for each QPU */
    uint32_t num_qpus;       /* at most 255: the counts are modulo 256 */
    double limit_s;
} register_launch;

/* 0 when the block that is mapped at `registers` is there and powered, else FAULT_BOARD. */
int registers_check(const volatile uint32_t *registers, backend_message *why);

/*
 * Runs the programs and waits, asleep, until all have completed; `*time_s` is the time from clearing the caches on,
 * too long by at most the last step of the wait: 1/64 of it, and no more than half a millisecond.
 *
 * FAULT_BOARD: no such block, or one that takes no requests. FAULT_STOPPED: the programs did not end within the
 * limit; QPUs may still be running, so that the block must be switched off before its memory is given away.
 */
int registers_launch(volatile uint32_t *registers, const register_launch *what, double *time_s, backend_message *why);

#endif
