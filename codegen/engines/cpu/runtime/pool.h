/*
 * Threads that wait for work: a bundle's handle has a pool where a step of its plan is split over threads.
 *
 * A pool belongs to one thread at a time, its caller; different pools are independent. Workers that find nothing
 * to do spin for a moment, since the next step often follows at once, and then sleep. There are never more threads
 * than CPUs that the one which makes the pool may run on. Parts are dealt out evenly, neighbours to one thread; a thread
 * that is done takes over parts that others have not begun, also from one that does not come to run at all.
 */
#ifndef EXPLORE_POOL_H
#define EXPLORE_POOL_H

#ifndef POOL_LINKAGE
#define POOL_LINKAGE extern
#endif

typedef struct pool pool;

/* A piece of work, called once for every part, each time from another thread or from the caller's. */
typedef void pool_task(void *context, int part);

/* A generated kernel (codegen/program.py). */
typedef void pool_kernel(const float *const *inputs, const float *weights, float *const *outputs, void *workspace,
                         int part);

/* A pool that runs up to `threads` parts at once, the caller's included. NULL where they cannot be started. */
POOL_LINKAGE pool *pool_new(int threads);

/* How many it has, the caller included: `threads`, or as many as there are CPUs for. */
POOL_LINKAGE int pool_threads(const pool *threads);

/* Runs parts 0 to parts - 1, at most 65535 of them, and returns when all have ended. */
POOL_LINKAGE void pool_run(pool *threads, int parts, pool_task *task, void *context);

/* The same for a kernel. */
POOL_LINKAGE void pool_run_kernel(pool *threads, int parts, pool_kernel *kernel, const float *const *inputs,
                                  const float *weights, float *const *outputs, void *workspace);

/* Ends the threads; NULL is allowed. */
POOL_LINKAGE void pool_free(pool *threads);

#endif
