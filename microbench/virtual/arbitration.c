/* Who waits, and who is next: for the mutex and the two DMA engines, which one QPU at a time can have, and for semaphores.
 *
 * The mutex and the engines go to whoever asked first: published programs whose QPUs compete for the store engine take
 * their time only so. What becomes free is promised to one of those that wait, and nobody gets in between, not even in
 * the same cycle. A variant of the profile gives it to the lowest number instead. No source says in which order silicon
 * serves those that wait for a semaphore: all of them try again, by QPU number.
 */
#include "internal.h"

int qpu_block(qpu *q, enum cause cause, int what, int up)
{
    q->state = QPU_BLOCKED;
    q->blocked_on = cause;
    q->blocked_what = what;
    q->blocked_up = up;
    q->blocked_since = q->now;
    q->gpu->turns[q->index] = NO_TURN;
    return 0;
}

static void wake(qpu *q, cycles time)
{
    q->state = QPU_RUNNING;
    stall_until(q, time, q->blocked_on);
    q->gpu->turns[q->index] = turn_of(q);
    q->gpu->woken = 1;
}

static int waits_for(const qpu *q, enum cause cause, int what)
{
    return q->state == QPU_BLOCKED && q->blocked_on == cause && q->blocked_what == what;
}

void wake_for_semaphore(struct v3d *gpu, int semaphore, cycles now)
{
    for (int i = 0; i < gpu->qpu_count; i++)
        if (waits_for(&gpu->qpus[i], CAUSE_SEMAPHORE, semaphore))
            wake(&gpu->qpus[i], now);
}

static enum cause cause_of(enum resource resource)
{
    return resource == MUTEX ? CAUSE_MUTEX : CAUSE_DMA;
}

int arbitrate(qpu *q, enum resource resource, cycles free)
{
    struct v3d *gpu = q->gpu;
    int *promised = &gpu->promised[resource];
    if (gpu->lowest_first && *promised > q->index) {
        qpu_block(&gpu->qpus[*promised], cause_of(resource), resource, 0);
        *promised = -1;
    }
    if (free == NOT_KNOWN || (*promised >= 0 && *promised != q->index))
        return qpu_block(q, cause_of(resource), resource, 0);
    if (free <= q->now)
        return 1;
    *promised = q->index;
    stall_until(q, free, cause_of(resource));
    return 0;
}

void promise_next(struct v3d *gpu, enum resource resource, cycles free)
{
    qpu *first = NULL;
    for (int i = 0; i < gpu->qpu_count; i++) {
        qpu *q = &gpu->qpus[i];
        if (!waits_for(q, cause_of(resource), resource))
            continue;
        if (first == NULL || (!gpu->lowest_first && q->blocked_since < first->blocked_since))
            first = q;
    }
    gpu->promised[resource] = first ? first->index : -1;
    if (first)
        wake(first, free);
}
