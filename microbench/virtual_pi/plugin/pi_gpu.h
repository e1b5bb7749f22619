/* The board's V3D: the simulator, on memory that the guest's /dev/mem has too. */
#ifndef EXPLORE_PI_GPU_H
#define EXPLORE_PI_GPU_H

#include <stdint.h>

#include "pi_board.h"

enum { PI_MOST_QPUS = 16 };

/* Whether the board has a V3D: a file of its constants that can be read. */
int pi_gpu_there(void);

/*
 * Gives a block of so many bytes an address and a handle; 0 where there is no room.
 */
uint32_t pi_gpu_allocate(pi_state *state, uint32_t bytes, uint32_t align, uint32_t flags);
uint32_t pi_gpu_lock(pi_state *state, uint32_t handle); /* its bus address, or 0 */
int pi_gpu_unlock(pi_state *state, uint32_t handle);
int pi_gpu_release(pi_state *state, uint32_t handle); /* 0 when there was such a block */

/*
 * Runs a launch; 0 when its programs ended within the limit. `*time_s` is what it took, call included. What the
 * hardware's rules forbid counts as never ending; the log says what it was.
 */
int pi_gpu_execute(pi_state *state, uint32_t qpus, uint32_t control_bus, int keeps_caches, double limit_s, double *time_s);

/* The same for programs that were requested by registers: pairs of bus addresses (uniforms, code), without a call. */
int pi_gpu_run(pi_state *state, const uint32_t *pairs, uint32_t qpus, double *time_s);

int pi_gpu_is_bcm2835(void);

#endif
