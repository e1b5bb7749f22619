/* Everything that ends the runner from outside: a closed connection, a signal, a time limit. */
#ifndef EXPLORE_RUNNER_WATCH_H
#define EXPLORE_RUNNER_WATCH_H

#include <sys/types.h>

/* Starts watching `input_fd`; `release` is called once before the process ends. 0 when watching. */
int watch_start(int input_fd, void (*release)(void));

/* The process ends unless this is called again within so many seconds. */
void watch_limit(double seconds);

/* A child that must not outlive this process; 0 when there is none. */
void watch_child(pid_t child);

/* From here on the process ends by itself, and nothing else ends it. */
void watch_leave(void);

/* Held while the GPU works, so that its memory is not freed under a running program. */
void watch_gpu_begin(void);
void watch_gpu_end(void);

#endif
