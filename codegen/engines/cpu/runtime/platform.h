/*
 * What a bundle asks of the machine it runs on: memory of the GPU and launches of its programs.
 *
 * Three implementations: platform_none.c (no GPU), platform_mailbox.c (a Raspberry Pi's firmware) and the
 * virtual board's. Every function that returns int gives PLATFORM_OK or a code below, and then
 * platform_message(code) says what happened. Nothing here may be called from two threads at once.
 */
#ifndef EXPLORE_PLATFORM_H
#define EXPLORE_PLATFORM_H

#include <stdint.h>

enum {
    PLATFORM_OK = 0,
    PLATFORM_UNAVAILABLE = 1, /* no GPU, or its interface is not there */
    PLATFORM_DENIED = 2,      /* the interface is there, but this user may not use it */
    PLATFORM_REFUSED = 3,     /* the firmware answered, but not with success */
    PLATFORM_NO_MEMORY = 4,   /* GPU memory is exhausted */
    PLATFORM_NO_MAPPING = 5,  /* GPU memory could not be mapped */
    PLATFORM_STOPPED = 6,     /* a launch failed: time limit, hazard, or stray access */
    PLATFORM_BAD_FILES = 7,   /* a bundle's file is missing, damaged or another plan's */
    PLATFORM_NO_RESOURCES = 8 /* the CPU's memory or threads are exhausted */
};

/* Whether a code says that the GPU is not to be had, for who could do without it; all else is a fault. */
#define PLATFORM_IS_ABSENCE(code) ((code) >= PLATFORM_UNAVAILABLE && (code) <= PLATFORM_NO_MAPPING)

/* Opens the GPU. Calls nest: every successful platform_open wants one platform_close. */
int platform_open(void);
void platform_close(void);

/* "none", "mailbox" or "virtual"; and what times of launches are: "none", "silicon" or "simulated". */
const char *platform_name(void);
const char *platform_gpu_kind(void);

/* One line about a code; after a failing call it may add what the machine said. Never NULL. */
const char *platform_message(int code);

/* GPU memory as the board usually has it, or as a plan wants it: cached in the L2 of the board's system, or past it. */
enum { PLATFORM_MEMORY_USUAL = 0, PLATFORM_MEMORY_CACHED = 1, PLATFORM_MEMORY_DIRECT = 2 };

/* Allocates GPU memory aligned to 4096 bytes: its bus address and where this process sees it. */
int platform_gpu_alloc(uint32_t bytes, int memory, uint32_t *bus, void **pointer);
void platform_gpu_free(uint32_t bus);

/*
 * Where a program defines these two, platform_mailbox.c calls them with the firmware's handle as soon as memory is taken
 * and once it is released: for one that frees its memory even when it is killed.
 */
void platform_memory_taken(uint32_t handle) __attribute__((weak));
void platform_memory_released(uint32_t handle) __attribute__((weak));

/* Of platform_mailbox.c alone, for such a program: frees what other processes, which were killed, had taken. Opening the
 * GPU does so as well. */
void platform_gpu_recover(void);

/*
 * Runs `num_qpus` programs; `control_bus` holds a pair of words (uniforms, code) for each. Returns when all have
 * ended. `*time_s` is the launch's time, overhead included. `mark_bus` is the bus address of an instruction
 * that every QPU passes once at the end of each layer, or 0.
 */
int platform_gpu_execute(uint32_t num_qpus, uint32_t control_bus, uint32_t mark_bus, double *time_s);

/*
 * Seconds from the start of the last launch to the n-th passing of its mark by the last QPU. Writes at most
 * `capacity` values and returns how many there were; 0 where the machine cannot tell.
 */
int platform_gpu_marks(double *seconds, int capacity);

/* Totals since platform_open, by name; returns how many, 0 where the machine counts nothing. */
int platform_gpu_counters(const char *const **names, const double **totals);

#endif
