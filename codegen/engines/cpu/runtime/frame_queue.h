/*
 * A queue of frames: inferences of one network or of several, run one after another by a thread of the queue's own while
 * the caller prepares the next input.
 *
 * Each bundle's model.h has `submit`, `wait` and `poll`, which take a queue. A queue takes frames of any number of
 * handles, from any thread. Handles that use the GPU share one queue, for one thread of a process uses the GPU. From its
 * first frame's submission until the last one's end a handle belongs to the queue: it is neither run nor freed meanwhile.
 * A program that queues nothing needs neither frame_queue.c nor a thread.
 */
#ifndef EXPLORE_FRAME_QUEUE_H
#define EXPLORE_FRAME_QUEUE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What submit, wait and poll return beside the PLATFORM_ codes of the run itself (platform.h). */
enum {
    FRAME_PENDING = 32,      /* poll: it waits for its turn, or runs */
    FRAME_QUEUE_FULL = 33,   /* submit: nothing was taken; wait for an earlier frame, or drop this one */
    FRAME_UNKNOWN = 34,      /* wait, poll: the queue gave no such ticket, or its end was told already */
    FRAME_OTHER_HANDLE = 35, /* wait, poll: the ticket is of another handle's frame */
    FRAME_NO_ARRAYS = 36     /* submit: no frame, or one without inputs or outputs */
};

/* A frame in a queue; never 0. */
typedef uint64_t frame_ticket;

/* The arrays, and these lists of their addresses, are the queue's until the frame's end is told. */
typedef struct frame_job {
    const void *const *inputs;
    void *const *outputs;
    int priority;      /* higher ones first; of equal ones that which was submitted first. A frame that runs ends first */
    double deadline_s; /* of CLOCK_MONOTONIC; 0: none. A frame that ends later is late; it is run all the same */
} frame_job;

/* When a frame was what; of CLOCK_MONOTONIC. */
typedef struct frame_times {
    double submitted_s, started_s, ended_s;
    double awaited_s;  /* how long its run waited for launches on the GPU, which costs the CPU nothing but on the virtual board */
    double launched_s; /* what these launches took by the platform's clock */
    int is_late;
} frame_times;

/* Totals since the queue was made. */
typedef struct frame_counts {
    uint64_t submitted; /* taken in */
    uint64_t refused;   /* because the queue was full */
    uint64_t ended;     /* with any code */
    uint64_t failed;    /* with another one than 0 */
    uint64_t late;
} frame_counts;

typedef struct frame_queue frame_queue;

/* One inference of a handle. Adds to `awaited_s` and `launched_s` of `times`. 0 or a PLATFORM_ code. */
typedef int frame_run(void *handle, const void *const *inputs, void *const *outputs, frame_times *times);

/* What model.c calls: through the queue, so that it links without frame_queue.c, and queues cross libraries. */
struct frame_queue {
    int (*submit)(frame_queue *self, void *handle, frame_run *run, const frame_job *job, frame_ticket *ticket);
    int (*end)(frame_queue *self, const void *handle, frame_ticket ticket, int waits, frame_times *times);
};

/* A queue with room for `capacity` frames (1 to 65536) that are submitted and not told the end of, and its thread; it
 * takes memory here and never again. NULL where the capacity is out of range, or memory or threads are exhausted. */
frame_queue *frame_queue_new(int capacity);

void frame_queue_count(frame_queue *queue, frame_counts *counts);

/* Runs what is queued to its end, and frees; no other call may be under way. NULL is allowed. */
void frame_queue_free(frame_queue *queue);

#ifdef __cplusplus
}
#endif

#endif
