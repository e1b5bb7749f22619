/*
 * Frames of a bundle in a queue, in C.
 *
 *   model_frames DIR INPUT OUTPUT
 *
 * Exit code 0: what the queue computes is what `run` computes, every wrong use has its code, frames of two handles are run
 * in the order of their priorities, late ones are counted, and none is lost; OUTPUT is one frame's. Else the number of the
 * first thing that was not so.
 */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MODEL_GENERIC_NAMES
#include "model.h"

enum { CAPACITY = 4, MOST_BYTES = 1 << 20, FRAMES = 400 };

static char input[MOST_BYTES], expected[MOST_BYTES], found[CAPACITY][MOST_BYTES];
static const void *inputs[] = {input};
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static int order[CAPACITY], ended, begun;

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A network of one's own: keeps the queue's thread busy until the gate opens, and notes its number. */
static int hold(void *handle, const void *const *from, void *const *to, frame_times *times)
{
    (void)from, (void)to, (void)times;
    __atomic_store_n(&begun, 1, __ATOMIC_RELEASE);
    pthread_mutex_lock(&gate);
    order[ended++ % CAPACITY] = *(int *)handle;
    pthread_mutex_unlock(&gate);
    return *(int *)handle == 3 ? 5 : 0;
}

static int order_and_counts(void)
{
    int names[CAPACITY] = {0, 1, 2, 3};
    static const int priorities[CAPACITY] = {0, 0, 1, 1};
    frame_queue *const queue = frame_queue_new(CAPACITY);
    frame_ticket tickets[CAPACITY + 1];
    frame_times times;
    void *outputs[] = {found[0]};
    if (!queue)
        return 20;
    pthread_mutex_lock(&gate); /* the first is taken at once and held: the others find their order behind it */
    for (int i = 0; i < CAPACITY; ++i) {
        const frame_job job = {inputs, outputs, priorities[i], i == 1 ? 1.0 : i == 2 ? now_s() + 1e3 : 0.0};
        if (queue->submit(queue, &names[i], hold, &job, &tickets[i]) != 0 || tickets[i] == 0)
            return 21;
        while (!__atomic_load_n(&begun, __ATOMIC_ACQUIRE))
            sched_yield();
    }
    const frame_job more = {inputs, outputs, 9, 0.0};
    if (queue->submit(queue, &names[0], hold, &more, &tickets[CAPACITY]) != FRAME_QUEUE_FULL ||
        tickets[CAPACITY] != 0)
        return 22;
    if (queue->end(queue, &names[1], tickets[1], 0, NULL) != FRAME_PENDING)
        return 23;
    pthread_mutex_unlock(&gate);
    if (queue->end(queue, &names[1], tickets[3], 1, NULL) != FRAME_OTHER_HANDLE ||
        queue->end(queue, &names[3], tickets[3], 1, NULL) != 5 ||
        queue->end(queue, &names[3], tickets[3], 1, NULL) != FRAME_UNKNOWN)
        return 24;
    if (queue->end(queue, &names[1], tickets[1], 1, &times) != 0 || !times.is_late ||
        !(times.submitted_s <= times.started_s && times.started_s <= times.ended_s))
        return 25;
    if (queue->end(queue, &names[2], tickets[2], 1, &times) != 0 || times.is_late)
        return 26;
    frame_counts counts;
    frame_queue_count(queue, &counts);
    if (counts.submitted != CAPACITY || counts.refused != 1 || counts.ended != CAPACITY || counts.failed != 1 ||
        counts.late != 1)
        return 27;
    frame_queue_free(queue); /* the first's end is never asked for */
    static const int wanted[CAPACITY] = {0, 2, 3, 1};
    return memcmp(order, wanted, sizeof order) == 0 ? 0 : 28;
}

static int wrong_uses(model_handle *model, frame_queue *queue)
{
    frame_ticket ticket;
    void *outputs[] = {found[0]};
    if (frame_queue_new(0) || frame_queue_new(1 << 20))
        return 10;
    if (model_submit(model, queue, NULL, &ticket) != FRAME_NO_ARRAYS ||
        model_submit(model, queue, &(frame_job){inputs, NULL, 0, 0.0}, &ticket) != FRAME_NO_ARRAYS || ticket != 0)
        return 11;
    if (model_wait(model, queue, 0, NULL) != FRAME_UNKNOWN || model_poll(model, queue, 12345, NULL) != FRAME_UNKNOWN)
        return 12;
    if (model_submit(model, queue, &(frame_job){inputs, outputs, 0, 0.0}, &ticket) != 0)
        return 13;
    int code;
    while ((code = model_poll(model, queue, ticket, NULL)) == FRAME_PENDING)
        ;
    return code == 0 && model_wait(model, queue, ticket, NULL) == FRAME_UNKNOWN ? 0 : 14;
}

/* Two handles in turn, always as many frames as the queue has room for. */
static int many(model_handle *const *models, frame_queue *queue, size_t bytes)
{
    frame_ticket tickets[CAPACITY] = {0};
    for (int i = 0; i < FRAMES + CAPACITY; ++i) {
        const int place = i % CAPACITY;
        void *outputs[] = {found[place]};
        static void *lists[CAPACITY][1];
        if (tickets[place]) {
            if (model_wait(models[place % 2], queue, tickets[place], NULL) != 0 ||
                memcmp(found[place], expected, bytes) != 0)
                return 30;
            memset(found[place], 0xFF, bytes);
            tickets[place] = 0;
        }
        lists[place][0] = outputs[0];
        if (i < FRAMES && model_submit(models[place % 2], queue, &(frame_job){inputs, lists[place], 0, 0.0}, &tickets[place]))
            return 31;
    }
    frame_counts counts;
    frame_queue_count(queue, &counts);
    return counts.ended == FRAMES + 1 && counts.refused == 0 ? 0 : 32;
}

int main(int argc, char **argv)
{
    char error[256] = "";
    FILE *file = argc == 4 ? fopen(argv[2], "rb") : NULL;
    const size_t wanted = 4 * model_describe()->inputs[0].elements, bytes = 4 * model_describe()->outputs[0].elements;
    if (!file || fread(input, 1, wanted, file) != wanted)
        return 1;
    fclose(file);
    model_handle *const models[] = {model_init(argv[1], error, sizeof error), model_init(argv[1], error, sizeof error)};
    frame_queue *const queue = frame_queue_new(CAPACITY);
    void *outputs[] = {expected};
    if (!models[0] || !models[1] || !queue)
        return fprintf(stderr, "%s\n", error), 2;
    if (model_run(models[0], (const void *)inputs, (void *)outputs) != 0)
        return 3;
    int code = wrong_uses(models[0], queue);
    code = code ? code : many(models, queue, bytes);
    frame_queue_free(queue);
    frame_queue_free(NULL);
    code = code ? code : order_and_counts();
    model_free(models[0]);
    model_free(models[1]);
    file = code ? NULL : fopen(argv[3], "wb");
    const int complete = file && fwrite(expected, 1, bytes, file) == bytes;
    return code ? code : file && fclose(file) == 0 && complete ? 0 : 1;
}
