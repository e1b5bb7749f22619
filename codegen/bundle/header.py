"""model.h: the API of a bundle."""

from __future__ import annotations

from codegen.element_type import FLOAT32
from codegen.engines.cpu.source import fill
from codegen.plan import Plan


def interface_element(plan: Plan) -> str:
    """What the C functions of a model take arrays of: floats where all that it reads and gives are, else anything."""
    return "float" if {tensor.dtype for tensor in (*plan.inputs, *plan.outputs)} == {FLOAT32.name} else "void"


def header_text(identifier: str, element: str, *, has_gpu: bool) -> str:
    """model.h, with plain names for programs that hold one model only; `element` as `interface_element` says.

    Weights in the caller's memory are for models of the CPU alone: the others want model.qpu too.
    """
    return fill(
        _HEADER,
        id=identifier,
        guard=identifier.upper(),
        element=element,
        from_memory="" if has_gpu else fill(_FROM_MEMORY, id=identifier),
        from_memory_name="" if has_gpu else f"#define model_init_from_memory {identifier}_init_from_memory",
    )


_HEADER = """
    /*
     * A network as C functions. One thread per handle at a time; different handles are independent, but for the
     * GPU, which one process uses from one thread. Where the plan splits a step over threads, a handle has some of
     * its own, from init to free: they sleep between runs, and do not survive a fork.
     */
    #ifndef ${guard}_MODEL_H
    #define ${guard}_MODEL_H

    #include <stddef.h>

    #include "frame_queue.h"
    #include "model_info.h"

    #ifdef __cplusplus
    extern "C" {
    #endif

    typedef struct ${id}_handle ${id}_handle;

    /* Names, sizes and steps of the model. */
    const model_info *${id}_describe(void);

    /* Loads the bundle in `directory`. 0 and the handle, or a PLATFORM_ code (platform.h) and NULL, then `error` says
     * what, where and how to mend it. PLATFORM_IS_ABSENCE tells codes of a GPU that is not to be had. */
    int ${id}_open(const char *directory, ${id}_handle **handle, char *error, size_t error_size);

    /* The same for who does not ask why: NULL on failure. */
    ${id}_handle *${id}_init(const char *directory, char *error, size_t error_size);
    $from_memory
    /* One inference on row-major arrays of the types in model_info. 0, or a PLATFORM_ code (platform.h); allocates
     * nothing. */
    int ${id}_run(${id}_handle *handle, const $element *const *inputs, $element *const *outputs);

    /* The same in a queue's turn (frame_queue.h) and in its thread: `submit` gives a ticket, or FRAME_QUEUE_FULL and 0;
     * `wait` returns when that frame has ended, with what its run returned, and `poll` returns FRAME_PENDING before.
     * Either tells the end once, which makes room for another frame; `times` may be NULL. */
    int ${id}_submit(${id}_handle *handle, frame_queue *queue, const frame_job *job, frame_ticket *ticket);
    int ${id}_wait(${id}_handle *handle, frame_queue *queue, frame_ticket ticket, frame_times *times);
    int ${id}_poll(${id}_handle *handle, frame_queue *queue, frame_ticket ticket, frame_times *times);

    /* Seconds of each step, and of each launch on the GPU, of the last run; -1 where a step's is not known. */
    void ${id}_step_times(const ${id}_handle *handle, double *seconds);
    void ${id}_launch_times(const ${id}_handle *handle, double *seconds);

    /* What a handle runs, whose times these are: what ${id}_describe gives, or of a bundle with a plan for the CPU too,
     * where the GPU was not to be had, that one: then ${id}_without_gpu says why, and is NULL otherwise. */
    const model_info *${id}_active(const ${id}_handle *handle);
    const char *${id}_without_gpu(const ${id}_handle *handle);

    /* Threads that a run uses, the caller's included: those of the plan, or as many as there are CPUs for. */
    int ${id}_threads(const ${id}_handle *handle);

    void ${id}_free(${id}_handle *handle);

    #ifdef __cplusplus
    }
    #endif

    #ifdef MODEL_GENERIC_NAMES
    #define model_handle ${id}_handle
    #define model_describe ${id}_describe
    #define model_open ${id}_open
    #define model_init ${id}_init
    #define model_active ${id}_active
    #define model_without_gpu ${id}_without_gpu
    #define model_run ${id}_run
    #define model_submit ${id}_submit
    #define model_wait ${id}_wait
    #define model_poll ${id}_poll
    #define model_step_times ${id}_step_times
    #define model_launch_times ${id}_launch_times
    #define model_threads ${id}_threads
    $from_memory_name
    #define model_free ${id}_free
    #endif

    #endif
"""

_FROM_MEMORY = """

    /* The same from the content of weights.bin, which is copied. */
    ${id}_handle *${id}_init_from_memory(const void *weights, size_t size, char *error,
                                            size_t error_size);
"""
