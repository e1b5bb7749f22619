/* The GPU as the runner sees it: backend_virtual.c simulates one, backend_mailbox.c is a Raspberry Pi's. */
#ifndef EXPLORE_RUNNER_BACKEND_H
#define EXPLORE_RUNNER_BACKEND_H

#include <stdint.h>

enum { BACKEND_MARKS = 512, BACKEND_COUNTERS = 64, BACKEND_MESSAGE_BYTES = 2304 };

/* What went wrong, for the host. Functions that return int give 0 or an enum fault (protocol.h). */
typedef struct backend_message {
    char text[BACKEND_MESSAGE_BYTES];
} backend_message;

typedef struct backend_launch {
    uint32_t num_qpus, control_bus;
    uint32_t mark_bus; /* 0: none */
    double limit_s;
} backend_launch;

typedef struct backend_times {
    double time_s;
    int marks;
    double mark_s[BACKEND_MARKS]; /* since the launch's start */
    double counters[BACKEND_COUNTERS];
} backend_times;

/*
 * What must come before the lock, the first thread and HELLO. `directory` is the runner's; `launch` is how programs are
 * to be launched, one of the backend's ways ("mailbox", "registers"), or NULL.
 */
int backend_prepare(const char *directory, const char *launch, backend_message *why);

const char *backend_name(void);
const char *backend_kind(void);     /* "simulated" or "silicon" */
const char *backend_software(void); /* what gives the times, with its version */
int backend_shares(void);           /* whether runners beside this one leave its times as they are */

/* Opens the GPU; a second call replaces the first one's. Constants are those of HELLO. */
int backend_open(const double *constants, uint32_t count, double *clock_hz, backend_message *why);
int backend_alloc(uint32_t bytes, uint32_t *bus, void **pointer, backend_message *why);
void backend_free(uint32_t bus);

/* Names of the counters, the same for every launch. Returns how many. */
int backend_counter_names(const char *const **names);
int backend_execute(const backend_launch *launch, backend_times *times, backend_message *why);

/* Frees what a program beside the runner, which was ended, left taken of the GPU. */
void backend_recover(void);

/* Frees everything; harmless when nothing is open. */
void backend_close(void);

#endif
