/*
 * The registers of the V3D block in the guest's /dev/mem: requests for user programs, their counts and the block's
 * identity (Broadcom, VideoCore IV 3D Architecture Reference Guide, chapter "V3D Registers", tables 65 to 68 and 79).
 *
 * Programs that are requested one after another run together, from the last request on, once the guest sleeps.
 */
#ifndef EXPLORE_PI_REGISTERS_H
#define EXPLORE_PI_REGISTERS_H

#include <stdint.h>

/* Whether pages at this place of /dev/mem are the block's; then it is where this process sees them. */
int pi_registers_are_at(uint64_t physical);
void pi_registers_mapped(uint64_t guest, volatile uint32_t *registers);
/* Whether stores have to be told. */
int pi_registers_watched(void);

/* The guest has stored at an address of its own. */
void pi_registers_stored(uint64_t guest);
/* The guest has slept: what was requested runs, and what has ended by now is counted. */
void pi_registers_slept(void);

/* The block gets or loses its power, and forgets what was requested. */
void pi_registers_power(int is_on);

#endif
