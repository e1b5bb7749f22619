/* Keeps a second host away for as long as this process lives; the lock file is its pid file too. */
#ifndef EXPLORE_RUNNER_LOCK_H
#define EXPLORE_RUNNER_LOCK_H

#include "backend.h"

/*
 * Locks `directory`/lock in the name of `holder` and writes "PID HOLDER" into it. A runner that the same holder
 * left behind, its connection lost, is ended first. Returns 0, FAULT_BUSY with the other's pid and name, or
 * FAULT_BOARD.
 */
int lock_take(const char *directory, const char *holder, backend_message *why);

/* Empties the pid file; the lock itself goes with the process. */
void lock_leave(void);

#endif
