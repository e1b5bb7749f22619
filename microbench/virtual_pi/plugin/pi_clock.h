/*
 * The clock of the emulated CPU: each instruction takes the same time, a launch what the simulator says, a sleep
 * what was asked for. A wait for somebody else takes what it takes here.
 *
 * The process' time is that of the thread that is farthest. Nothing of it depends on this machine but such waits.
 */
#ifndef EXPLORE_PI_CLOCK_H
#define EXPLORE_PI_CLOCK_H

#include <stdint.h>

enum { PI_MOST_THREADS = 1024 };

void pi_clock_start(double instructions_per_s);
void pi_clock_count(unsigned thread, uint64_t instructions);
/* Time that passes without an instruction. */
void pi_clock_pass(unsigned thread, double seconds);

/* Since the process began: its time, and how long its CPUs computed. */
uint64_t pi_clock_ns(void);
uint64_t pi_clock_computed_ns(void);
/* Of one thread: how long it computed. */
uint64_t pi_clock_thread_ns(unsigned thread);
/* A thread that waited for another has the process' time. */
void pi_clock_join(unsigned thread);
/* A thread that waited for a request: a new second begins, so that what it takes does not depend on what was before. */
void pi_clock_next_second(unsigned thread);

#endif
