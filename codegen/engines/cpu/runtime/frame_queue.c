/* One mutex guards all; it is free while a frame runs. Whoever waits sleeps. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "frame_queue.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_FRAMES = 1 << 16 };

typedef enum slot_state { SLOT_FREE = 0, SLOT_WAITS, SLOT_RUNS, SLOT_ENDED } slot_state;

typedef struct slot {
    slot_state state;
    frame_ticket ticket;
    void *handle;
    frame_run *run;
    frame_job job;
    frame_times times;
    int code;
} slot;

typedef struct queue {
    frame_queue functions; /* first: what callers see of it */
    pthread_mutex_t mutex;
    pthread_cond_t submitted, ended;
    pthread_t thread;
    int is_closing;
    uint64_t tickets; /* given so far */
    frame_counts counts;
    int capacity;
    slot slots[];
} queue;

static double clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Tickets are multiples of the capacity, which count up, and the slot's number. */
static slot *slot_of(queue *self, frame_ticket ticket)
{
    slot *const found = &self->slots[ticket % (unsigned)self->capacity];
    return ticket && found->state != SLOT_FREE && found->ticket == ticket ? found : NULL;
}

static slot *free_slot(queue *self)
{
    for (int i = 0; i < self->capacity; ++i)
        if (self->slots[i].state == SLOT_FREE)
            return &self->slots[i];
    return NULL;
}

static int is_before(const slot *one, const slot *other)
{
    if (one->job.priority != other->job.priority)
        return one->job.priority > other->job.priority;
    return one->ticket < other->ticket;
}

static slot *next_slot(queue *self)
{
    slot *next = NULL;
    for (int i = 0; i < self->capacity; ++i) {
        slot *const each = &self->slots[i];
        if (each->state == SLOT_WAITS && (!next || is_before(each, next)))
            next = each;
    }
    return next;
}

static void run_slot(queue *self, slot *chosen)
{
    chosen->state = SLOT_RUNS;
    pthread_mutex_unlock(&self->mutex);
    chosen->times.started_s = clock_s();
    chosen->code = chosen->run(chosen->handle, chosen->job.inputs, chosen->job.outputs, &chosen->times);
    chosen->times.ended_s = clock_s();
    pthread_mutex_lock(&self->mutex);
    chosen->times.is_late = chosen->job.deadline_s > 0.0 && chosen->times.ended_s > chosen->job.deadline_s;
    chosen->state = SLOT_ENDED;
    self->counts.ended += 1;
    self->counts.failed += chosen->code != 0;
    self->counts.late += (unsigned)chosen->times.is_late;
    pthread_cond_broadcast(&self->ended);
}

static void *queue_work(void *argument)
{
    queue *const self = argument;
    pthread_mutex_lock(&self->mutex);
    for (;;) {
        slot *const next = next_slot(self);
        if (next)
            run_slot(self, next);
        else if (self->is_closing)
            break;
        else
            pthread_cond_wait(&self->submitted, &self->mutex);
    }
    pthread_mutex_unlock(&self->mutex);
    return NULL;
}

static int queue_submit(frame_queue *functions, void *handle, frame_run *run, const frame_job *job, frame_ticket *ticket)
{
    queue *const self = (queue *)(void *)functions;
    *ticket = 0;
    if (!job || !job->inputs || !job->outputs)
        return FRAME_NO_ARRAYS;
    pthread_mutex_lock(&self->mutex);
    slot *const taken = free_slot(self);
    if (taken) {
        const uint64_t number = (uint64_t)(taken - self->slots);
        *ticket = ++self->tickets * (unsigned)self->capacity + number;
        *taken = (slot){SLOT_WAITS, *ticket, handle, run, *job, {.submitted_s = clock_s()}, 0};
        pthread_cond_signal(&self->submitted);
    }
    self->counts.submitted += taken != NULL;
    self->counts.refused += taken == NULL;
    pthread_mutex_unlock(&self->mutex);
    return taken ? 0 : FRAME_QUEUE_FULL;
}

/* Looks the slot up anew each time: while one thread waits, another may be told the end. */
static int end_of(queue *self, const void *handle, frame_ticket ticket, int waits, frame_times *times)
{
    for (;;) {
        slot *const found = slot_of(self, ticket);
        if (!found)
            return FRAME_UNKNOWN;
        if (found->handle != handle)
            return FRAME_OTHER_HANDLE;
        if (found->state == SLOT_ENDED) {
            found->state = SLOT_FREE;
            if (times)
                *times = found->times;
            return found->code;
        }
        if (!waits)
            return FRAME_PENDING;
        pthread_cond_wait(&self->ended, &self->mutex);
    }
}

static int queue_end(frame_queue *functions, const void *handle, frame_ticket ticket, int waits, frame_times *times)
{
    queue *const self = (queue *)(void *)functions;
    pthread_mutex_lock(&self->mutex);
    const int code = end_of(self, handle, ticket, waits, times);
    pthread_mutex_unlock(&self->mutex);
    return code;
}

static int init_gates(queue *self)
{
    if (pthread_mutex_init(&self->mutex, NULL) != 0)
        return -1;
    if (pthread_cond_init(&self->submitted, NULL) == 0) {
        if (pthread_cond_init(&self->ended, NULL) == 0)
            return 0;
        pthread_cond_destroy(&self->submitted);
    }
    pthread_mutex_destroy(&self->mutex);
    return -1;
}

static void destroy_gates(queue *self)
{
    pthread_cond_destroy(&self->ended);
    pthread_cond_destroy(&self->submitted);
    pthread_mutex_destroy(&self->mutex);
}

/* The program's signals are for the program's own threads. */
static int start_thread(queue *self)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&self->thread, NULL, queue_work, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

frame_queue *frame_queue_new(int capacity)
{
    if (capacity < 1 || capacity > MOST_FRAMES)
        return NULL;
    queue *const made = calloc(1, sizeof *made + (size_t)capacity * sizeof(slot));
    if (!made)
        return NULL;
    made->functions = (frame_queue){queue_submit, queue_end};
    made->capacity = capacity;
    if (init_gates(made) == 0) {
        if (start_thread(made) == 0)
            return &made->functions;
        destroy_gates(made);
    }
    free(made);
    return NULL;
}

void frame_queue_count(frame_queue *functions, frame_counts *counts)
{
    queue *const self = (queue *)(void *)functions;
    pthread_mutex_lock(&self->mutex);
    *counts = self->counts;
    pthread_mutex_unlock(&self->mutex);
}

void frame_queue_free(frame_queue *functions)
{
    queue *const self = (queue *)(void *)functions;
    if (!self)
        return;
    pthread_mutex_lock(&self->mutex);
    self->is_closing = 1;
    pthread_cond_signal(&self->submitted);
    pthread_mutex_unlock(&self->mutex);
    pthread_join(self->thread, NULL);
    destroy_gates(self);
    free(self);
}
