/*
 * Threads that wait for work: a bundle's handle has a pool where a step of its plan is split over threads.
 *
 * A pool belongs to one thread at a time, its caller; different pools are independent. Workers that find nothing
 * to do spin for a moment, since the next step often follows at once, and then sleep.
 */
#ifndef EXPLORE_POOL_H
#define EXPLORE_POOL_H

typedef struct pool pool;

/* A piece of work, called once for every part, each time from another thread or from the caller's. */
typedef void pool_task(void *context, int part);

/* A generated kernel (codegen/program.py). */
typedef void pool_kernel(const float *const *inputs, const float *weights, float *output, void *workspace,
                         int part);

/* A pool that runs up to `threads` parts at once, the caller's included. NULL where they cannot be started. */
pool *pool_new(int threads);

/* Runs parts 0 to parts - 1, part 0 in the caller's thread, and returns when all have ended; parts <= threads. */
void pool_run(pool *threads, int parts, pool_task *task, void *context);

/* The same for a kernel. */
void pool_run_kernel(pool *threads, int parts, pool_kernel *kernel, const float *const *inputs,
                     const float *weights, float *output, void *workspace);

/* Ends the threads; NULL is allowed. */
void pool_free(pool *threads);

#endif
