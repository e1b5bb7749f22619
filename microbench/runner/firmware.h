/* Property calls to the firmware of a Raspberry Pi (public documentation of the mailbox). */
#ifndef EXPLORE_RUNNER_FIRMWARE_H
#define EXPLORE_RUNNER_FIRMWARE_H

#include <stdint.h>

enum { FIRMWARE_MOST_VALUES = 4 };

/* A descriptor, or -1 with errno: EACCES or EPERM where this user may not, anything else where there is none. */
int firmware_open(void);

/*
 * One call: `values` holds `sent` words and receives `received`, both at most FIRMWARE_MOST_VALUES. 1 when the firmware
 * answered this tag with as many; its response words tell, not what ioctl returns.
 */
int firmware_call(int device, uint32_t tag, uint32_t *values, uint32_t sent, uint32_t received);

/* Powers the QPUs, or stops and unpowers them. */
int firmware_enable_qpus(int device, uint32_t enable);

#endif
