"""Functions of model.c that put frames into a queue (frame_queue.h), and are told their end."""

from __future__ import annotations

from codegen.engines.cpu.source import fill

QUEUE_SOURCE, QUEUE_HEADER = "frame_queue.c", "frame_queue.h"
QUEUE_FLAGS = ("-pthread",)


def frames_text(identifier: str, *, has_gpu: bool) -> str:
    """Of a model with one plan; its handle is `handle`."""
    return fill(_RUN_LAUNCHES if has_gpu else _RUN, id=identifier) + "\n" + fill(_FRAMES, id=identifier)


def frames_of_either_text(identifier: str) -> str:
    """Of a model with two plans: the frames are those of the plan that runs."""
    return fill(_FRAMES_OF_EITHER, id=identifier)


_RUN = """
    static int run_frame(void *handle, const void *const *inputs, void *const *outputs, frame_times *times)
    {
        (void)times;
        return ${id}_run(handle, (const void *)inputs, (const void *)outputs);
    }
"""

_RUN_LAUNCHES = """
    static int run_frame(void *context, const void *const *inputs, void *const *outputs, frame_times *times)
    {
        ${id}_handle *const handle = context;
        handle->memory.awaited_s = 0.0;
        const int code = ${id}_run(handle, (const void *)inputs, (const void *)outputs);
        times->awaited_s += handle->memory.awaited_s;
        for (int launch = 0; code == PLATFORM_OK && launch < LAUNCHES; ++launch)
            times->launched_s += handle->launch_s[launch];
        return code;
    }
"""

_FRAMES = """
    int ${id}_submit(${id}_handle *handle, frame_queue *queue, const frame_job *job, frame_ticket *ticket)
    {
        return queue->submit(queue, handle, run_frame, job, ticket);
    }

    int ${id}_wait(${id}_handle *handle, frame_queue *queue, frame_ticket ticket, frame_times *times)
    {
        return queue->end(queue, handle, ticket, 1, times);
    }

    int ${id}_poll(${id}_handle *handle, frame_queue *queue, frame_ticket ticket, frame_times *times)
    {
        return queue->end(queue, handle, ticket, 0, times);
    }
"""

_FRAMES_OF_EITHER = """
    int ${id}_submit(${id}_handle *handle, frame_queue *queue, const frame_job *job, frame_ticket *ticket)
    {
        return handle->cpu ? ${id}_cpu_submit(handle->cpu, queue, job, ticket)
                           : ${id}_gpu_submit(handle->gpu, queue, job, ticket);
    }

    int ${id}_wait(${id}_handle *handle, frame_queue *queue, frame_ticket ticket, frame_times *times)
    {
        return handle->cpu ? ${id}_cpu_wait(handle->cpu, queue, ticket, times)
                           : ${id}_gpu_wait(handle->gpu, queue, ticket, times);
    }

    int ${id}_poll(${id}_handle *handle, frame_queue *queue, frame_ticket ticket, frame_times *times)
    {
        return handle->cpu ? ${id}_cpu_poll(handle->cpu, queue, ticket, times)
                           : ${id}_gpu_poll(handle->gpu, queue, ticket, times);
    }
"""
