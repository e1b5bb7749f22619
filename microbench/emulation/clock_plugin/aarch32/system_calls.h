/* What system calls of Linux on 32-bit ARM do to what a program of one thread is told of time and of its core. */
#ifndef EXPLORE_SYSTEM_CALLS_H
#define EXPLORE_SYSTEM_CALLS_H

#include <stdint.h>

enum { EXIT_GROUP = 248, SCHED_YIELD = 158 };

/* The guest's memory is this far from its addresses. */
void system_calls_place(uint64_t guest_base);

/* The word that a thread which begins now clears when it ends: 0, since a second thread is refused. */
uint64_t system_calls_cleared(void);

/* Of the running thread: before the kernel is asked, and after it. */
void system_call_begins(unsigned thread, int64_t number, const uint64_t arguments[6]);
void system_call_ends(unsigned thread, int64_t number, int64_t result);

#endif
