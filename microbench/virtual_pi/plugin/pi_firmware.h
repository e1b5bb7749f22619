/* The firmware's side of the mailbox: property calls on /dev/vcio, answered in the guest's message. */
#ifndef EXPLORE_PI_FIRMWARE_H
#define EXPLORE_PI_FIRMWARE_H

#include <stdint.h>

/* Of a whole call on a 32-bit and on a 64-bit system: the direction, the size of a pointer, type 100, number 0. */
#define PI_PROPERTY_CALL_32 0xC0046400u
#define PI_PROPERTY_CALL_64 0xC0086400u

/* Answers the tags of a message (public documentation of the mailbox); returns how long a launch in it took, in s. */
double pi_firmware_answer(uint32_t *message);

#endif
