/* Programs that the guest starts, and what it asks of those that run: the emulator stands between it and the kernel. */
#ifndef EXPLORE_PI_PROGRAMS_H
#define EXPLORE_PI_PROGRAMS_H

#include <stdint.h>

/*
 * Becomes the emulator of that program, with the guest's arguments and environment (arrays of the guest's addresses, of
 * `pointer_bytes` each). Comes back where the kernel can do it itself, or says better than this why not.
 */
void pi_programs_execute(uint64_t base, uint64_t path, uint64_t arguments, uint64_t environment, unsigned pointer_bytes);

/* A question for /proc/N/exe where N runs the same program as this process becomes one for /proc/self/exe. */
void pi_programs_read_link(char *path);

#endif
