/* What system calls of Linux on AArch64 do to threads and to what a program is told of time and of its cores. */
#ifndef EXPLORE_SYSTEM_CALLS_H
#define EXPLORE_SYSTEM_CALLS_H

#include <stdint.h>

enum { EXIT_GROUP = 94, SCHED_YIELD = 124 };

/* The guest's memory is this far from its addresses. */
void system_calls_place(uint64_t guest_base);

/* The word that a thread which begins now clears when it ends, or 0. */
uint64_t system_calls_cleared(void);

/* Of the running thread: before the kernel is asked, and after it. Other threads may go on before the first returns. */
void system_call_begins(unsigned thread, int64_t number, const uint64_t arguments[6]);
void system_call_ends(unsigned thread, int64_t number, int64_t result);

#endif
