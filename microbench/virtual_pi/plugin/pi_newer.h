/*
 * Instructions of 32-bit ARM that a Cortex-A53 of a Raspberry Pi has not, and the emulator's newest core has: it has no
 * such core of its own. In A32 state; programs in Thumb are not looked at.
 */
#ifndef EXPLORE_PI_NEWER_H
#define EXPLORE_PI_NEWER_H

#include <stdint.h>

/* What the instruction belongs to, or NULL where the core has it. */
const char *pi_newer_than_a53(uint32_t word);

#endif
