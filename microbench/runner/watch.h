/* Everything that ends the runner from outside: a closed connection, a signal, a time limit. */
#ifndef EXPLORE_RUNNER_WATCH_H
#define EXPLORE_RUNNER_WATCH_H

#include <sys/types.h>

/*
 * Starts watching `input_fd`; `leave` is called before the process is ended. 0 when watching.
 *
 * The GPU belongs to the thread that serves and to no other: what ends the process does not touch it, and what is left
 * taken of it then the guardian frees (mailbox/guardian.h).
 */
int watch_start(int input_fd, void (*leave)(void));

/* Whether a limit can be kept: seconds above 0 and no more than a month. */
int watch_takes(double seconds);

/* The process ends unless this is called again within so many seconds. */
void watch_limit(double seconds);

/*
 * Between the two nothing ends the process, but for a wait that has become hopeless: for steps that are noted down
 * when they are done, such as taking memory, and that must not end between one and the other.
 */
void watch_hold(void);
void watch_go_on(void);

/* A child that must not outlive this process; 0 when there is none. Its number may change while held only. */
void watch_child(pid_t child);

/* From here on the process ends by itself, and soon. */
void watch_leave(void);

#endif
