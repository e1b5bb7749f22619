/*
 * Which of a program's threads goes on, and on which core: always one whose core's clock is least, so that cores meet in
 * the order of their clocks and not in that of this machine's scheduler. Every other thread stands still meanwhile.
 *
 * A thread that waits in futex has no core. It goes on when another wakes it, at that one's clock and WAKE_CYCLES, or at
 * its deadline. The kernel is told nothing of such waits: it is asked only once the thread goes on.
 */
#ifndef EXPLORE_THREADS_H
#define EXPLORE_THREADS_H

#include <stdbool.h>
#include <stdint.h>

enum { MOST_THREADS = 64, NS_PER_S = 1000000000 };

/* How many there have been. */
unsigned threads_begun(void);

/* The core of a thread that runs. */
unsigned threads_core(unsigned thread);

/* Begins a thread: the first, or one that the running thread made. `cleared`: the address of a word that the kernel sets
 * to zero, waking who waits for it, when the thread ends; or 0. */
void threads_begin(unsigned thread, uint64_t cleared);
void threads_clears(unsigned thread, uint64_t cleared);

/* Lets the newest thread, which the running one made, go on up to its first system call, and then this one again. The
 * emulator makes its translations anew once there are two threads, and waits until none is within them. */
void threads_start(unsigned thread);

/* Of the running thread, at a system call. */
void threads_started(unsigned thread);

/* Ends the running thread: another goes on. */
void threads_end(unsigned thread);

/* Returns when the thread is the one that runs. */
void threads_enter(unsigned thread);

/* Of the running thread, which has run so many instructions: another may go on before this returns. */
void threads_ran(unsigned thread, unsigned instructions);

/* The model is awake: clocks go. */
void threads_wake(void);

/* The running thread waits in futex until it is woken, or the clock is at `deadline` (in cycles; UINT64_MAX: never). */
void threads_wait(unsigned thread, uint64_t address, uint32_t bits, uint64_t deadline);

/* Whether the thread's last wait ended because another woke it. */
bool threads_was_woken(unsigned thread);

/* Wakes up to `most` that wait at an address with one of the bits, and lets up to `moved` others wait at `to` instead. */
void threads_signal(unsigned thread, uint64_t address, uint32_t bits, uint32_t most, uint64_t to, uint32_t moved);

/* Whether more than one has begun and not ended. */
bool threads_are_several(void);

/* The program ends: every thread that stands still is let go, and none is modelled any more. */
void threads_release(void);
bool threads_are_released(void);

/* Ends the program with a message. */
void threads_refuse(const char *why) __attribute__((noreturn));

#endif
