"""model.c: kernels, the runtime, tables about the model, and the functions that run its steps in order.

One translation unit that needs the C library alone, and the platform's functions where it uses the GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import indent

from codegen.bundle.entries import one_unit
from codegen.bundle.frames import frames_text
from codegen.bundle.header import interface_element
from codegen.bundle.memory import Place
from codegen.bundle.model import Model
from codegen.bundle.names import c_comment, c_string
from codegen.bundle.pool import POOL_PIECES, pool_text
from codegen.bundle.tasks import Task
from codegen.element_type import FLOAT32
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.toolchain import runtime_source
from codegen.plan import PlanTensor


@dataclass(frozen=True)
class Surroundings:
    """What a model's C file needs to know of its bundle: its header and file of weights, and what is said after why the
    GPU is not to be had.
    """

    header: str = "model.h"
    weights: str = "weights.bin"
    without_gpu: str = "; or compile the plan --with-cpu-plan: its bundle then uses the CPU"


def model_text(model: Model, surroundings: Surroundings = Surroundings()) -> str:
    """model.c: kernels, the runtime, tables, and the API.

    The kernels come first: none of the names behind them can disturb theirs.
    """
    pool = pool_text(model.sections.threads)
    threading = POOL_PIECES if model.sections.threads > 1 else ()
    runtime = (*threading, "bundle.c", *(["bundle_gpu.c"] if model.image else []))
    return "\n".join(
        [
            fill(_START, name=c_comment(model.plan.model_name)),
            one_unit(model.sections.sources),
            fill(_INCLUDES, include_pool=pool["include_pool"], header=surroundings.header),
            *(_piece(name) for name in runtime),
            _tables(model, surroundings),
            _functions(model),
        ]
    )


def _piece(name: str) -> str:
    """A file of the runtime as a part of another: without the headers that lie beside it."""
    lines = runtime_source(name).splitlines()
    return "\n".join(line for line in lines if not line.startswith('#include "')) + "\n"


def _tables(model: Model, surroundings: Surroundings) -> str:
    gpu, steps = model.image, model.plan.steps
    launch_of: dict[int, int] = {}
    for launch, tasks in enumerate(model.launches):
        for task in tasks:
            launch_of.setdefault(task.index, launch)
    rows = [
        f"    {{{c_string(step.name)}, {c_string(step.choice.engine)}, {launch_of.get(i, -1)}}},"
        for i, step in enumerate(steps)
    ]
    gpu_weights = gpu.words.nbytes - gpu.weights_offset_bytes if gpu else 0
    return fill(
        """
        enum { STEPS = $step_count, LAUNCHES = $launch_count };

        static const model_tensor input_tensors[] = {
        $inputs
        };

        static const model_tensor output_tensors[] = {
        $outputs
        };

        static const model_step step_table[STEPS] = {
        $steps
        };

        static const model_info info = {$name, $input_count, input_tensors, $output_count, output_tensors,
                                        STEPS, step_table, LAUNCHES, $threads, $cpu_weights, $arena, $gpu_bytes};

        static const bundle_layout layout = {
            {$plan_id}, $cpu_weights, $arena, $gpu_bytes, $gpu_offset, $gpu_weights, LAUNCHES,
            $gpu_memory, $weights_name, $without_gpu,
        };

        struct ${id}_handle {
            bundle_memory memory;
        $pool_member
            double step_s[STEPS];
            double launch_s[LAUNCHES + 1];
        };
        """,
        id=model.identifier,
        name=c_string(model.plan.model_name),
        step_count=len(steps),
        launch_count=len(model.launches),
        inputs=_tensor_rows(model.plan.inputs),
        outputs=_tensor_rows(model.plan.outputs),
        input_count=len(model.plan.inputs),
        output_count=len(model.plan.outputs),
        steps="\n".join(rows),
        threads=model.sections.threads,
        arena=f"{model.memory.arena_bytes}u",
        plan_id=", ".join(f"0x{byte:02x}" for byte in model.plan_id),
        cpu_weights=f"{len(model.sections.packed_weights)}u",
        gpu_bytes=f"{gpu.size_bytes if gpu else 0}u",
        gpu_offset=f"{gpu.weights_offset_bytes if gpu else 0}u",
        gpu_weights=f"{gpu_weights}u",
        gpu_memory=_GPU_MEMORY[model.plan.gpu_memory if gpu else None],
        weights_name=c_string(surroundings.weights),
        without_gpu=c_string(surroundings.without_gpu if gpu else ""),
        pool_member=pool_text(model.sections.threads)["pool_member"],
    )


# By what a plan says; without a GPU the platform's header is not read.
_GPU_MEMORY = {None: "0", "cached": "PLATFORM_MEMORY_CACHED", "direct": "PLATFORM_MEMORY_DIRECT"}


def _tensor_rows(tensors: Sequence[PlanTensor]) -> str:
    rows = []
    for tensor in tensors:
        elements = 1
        for size in tensor.shape:
            elements *= size
        size_bytes = tensor.type.element_type.size_bytes
        lengths = ", ".join(f"{size}u" for size in tensor.shape)
        shape = f"(const size_t[]){{{lengths}}}" if lengths else "NULL"
        fields = (c_string(tensor.name), f"{elements}u", c_string(tensor.dtype), f"{size_bytes}u")
        rows.append(f"    {{{', '.join(fields)}, {len(tensor.shape)}, {shape}}},")
    return "\n".join(rows) or "    {0, 0, 0, 0, 0, 0},"


def _functions(model: Model) -> str:
    body = [*_copies_in(model), *_calls(model), *_copies_out(model)]
    unload = "bundle_unload_gpu" if model.image else "bundle_unload"
    return fill(
        _FUNCTIONS,
        id=model.identifier,
        element=interface_element(model.plan),
        locals="    int code;\n" if model.launches else "",
        body="\n".join(body),
        load="bundle_load_gpu(directory, &layout, &handle->memory, error)"
        if model.image
        else "bundle_load(directory, weights, size, &layout, &handle->memory, NULL, error)",
        weights="" if model.image else ", const void *weights, size_t size",
        no_weights="" if model.image else ", NULL, 0",
        pass_weights="" if model.image else ", weights, size",
        unload=unload,
        init_from_memory="" if model.image else fill(_INIT_FROM_MEMORY, id=model.identifier),
        frames=frames_text(model.identifier, has_gpu=model.image is not None),
        **pool_text(model.sections.threads, unload),
    )


def _calls(model: Model) -> list[str]:
    lines: list[str] = ["    memset(handle->step_s, 0, sizeof handle->step_s);"] if model.launches else []
    begun: dict[int, list[int]] = {}
    for launch, tasks in enumerate(model.launches):
        begun.setdefault(tasks[0].index, []).append(launch)
    for task in model.schedule.tasks:
        if task.is_view:
            lines += [
                f"    /* {c_comment(task.step.name)}: a view */",
                f"    handle->step_s[{task.index}] = 0.0;",
            ]
        elif not task.is_launched:
            lines.append(_cpu_call(model, task))
        else:
            lines += [_launch_call(launch, model.launches[launch]) for launch in begun.get(task.index, ())]
    return lines


def _cpu_call(model: Model, task: Task) -> str:
    places, program = model.memory.places, model.sections.programs[task.index]
    workspace = model.memory.workspaces.get(task.index)
    weights = f"at(handle->memory.weights, {model.sections.weight_offsets[task.index]}u)"
    arguments = f"from, {weights}, to, {_pointer(workspace) if workspace else 'NULL'}"
    text = fill(
        """
        {   /* $name */
            const float *const from[] = {$sources};
            float *const to[] = {$results};
            const double start_s = bundle_clock_s();
            $call;
            handle->step_s[$index] = bundle_clock_s() - start_s;
        }
        """,
        name=c_comment(task.step.name),
        sources=", ".join(_pointer(places[name]) for name in task.reads),
        results=", ".join(_pointer(places[name]) for name in task.writes),
        call=f"{program.entry}({arguments}, 0)"
        if program.threads == 1
        else f"pool_run_kernel(handle->threads, {program.threads}, {program.entry}, {arguments})",
        index=task.index,
    )
    return indent(text.rstrip(), "    ")


def _launch_call(number: int, tasks: Sequence[Task]) -> str:
    names = ", ".join(c_comment(task.step.name) for task in (tasks[0], tasks[-1]))
    return "\n".join(
        [
            f"    {{   /* {len({task.index for task in tasks})} layers on the QPUs, from and to: {names} */",
            f"        static const int steps[] = {{{', '.join(str(task.index) for task in tasks)}}};",
            f"        code = bundle_execute(&handle->memory, {number}u, steps, &handle->launch_s[{number}],",
            "                              handle->step_s);",
            "        if (code != PLATFORM_OK)",
            "            return code;",
            "    }",
        ]
    )


def _copies_in(model: Model) -> list[str]:
    """Inputs that the QPUs read as they are go to GPU memory first."""
    return [
        f"    memcpy({_pointer(model.memory.places[name])}, inputs[{index}], {model.schedule.sizes[name]}u);"
        for index, name in enumerate(model.schedule.inputs)
        if model.memory.places[name].base == "gpu"
    ]


def _copies_out(model: Model) -> list[str]:
    """Outputs that could not be computed in place: two of one buffer, a view of an input, the GPU's."""
    return [
        f"    memcpy(outputs[{index}], {_pointer(model.memory.places[name])}, {model.schedule.sizes[name]}u);"
        for index, name in enumerate(model.schedule.outputs)
        if model.memory.places[name] != Place("output", index)
    ]


def _pointer(place: Place) -> str:
    if place.base in ("input", "output"):
        array = f"{place.base}s[{place.offset}]"
        return (
            f"(float *){array} + {place.inside_bytes // FLOAT32.size_bytes}" if place.inside_bytes else array
        )
    return f"at(handle->memory.{place.base}, {place.offset}u)"


_FUNCTIONS = """
    static float *at(unsigned char *base, size_t offset)
    {
        return (float *)(void *)(base + offset);
    }

    const model_info *${id}_describe(void)
    {
        return &info;
    }

    static int load_into(${id}_handle *handle, const char *directory$weights, const failure *error)
    {
        const int code = $load;
        if (code != PLATFORM_OK)
            return code;
    $started
    }

    static int load(const char *directory$weights, ${id}_handle **loaded, const failure *error)
    {
        ${id}_handle *handle = calloc(1, sizeof *handle);
        *loaded = NULL;
        if (!handle)
            return refuse(error, PLATFORM_NO_RESOURCES, "memory", "not enough for a handle");
        const int code = load_into(handle, directory$pass_weights, error);
        if (code == PLATFORM_OK)
            *loaded = handle;
        else
            free(handle);
        return code;
    }

    int ${id}_open(const char *directory, ${id}_handle **handle, char *error, size_t error_size)
    {
        return load(directory$no_weights, handle, &(failure){error, error_size});
    }

    ${id}_handle *${id}_init(const char *directory, char *error, size_t error_size)
    {
        ${id}_handle *handle;
        (void)${id}_open(directory, &handle, error, error_size);
        return handle;
    }
    $init_from_memory
    int ${id}_run(${id}_handle *handle, const $element *const *inputs, $element *const *outputs)
    {
    $locals$body
        return PLATFORM_OK;
    }

    $frames
    void ${id}_step_times(const ${id}_handle *handle, double *seconds)
    {
        memcpy(seconds, handle->step_s, sizeof handle->step_s);
    }

    void ${id}_launch_times(const ${id}_handle *handle, double *seconds)
    {
        memcpy(seconds, handle->launch_s, LAUNCHES * sizeof *seconds);
    }

    const model_info *${id}_active(const ${id}_handle *handle)
    {
        (void)handle;
        return &info;
    }

    const char *${id}_without_gpu(const ${id}_handle *handle)
    {
        (void)handle;
        return NULL;
    }

    int ${id}_threads(const ${id}_handle *handle)
    {
    $count_threads
    }

    void ${id}_free(${id}_handle *handle)
    {
        if (!handle)
            return;
    $stop_pool
        $unload(&handle->memory);
        free(handle);
    }
"""

_START = """
    /* $name: generated by explore-edge from a plan; do not edit. */
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE /* clocks, threads, advice on pages */
    #endif
"""

_INCLUDES = """
    #include "$header"

    #include <errno.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <time.h>

    #include "platform.h"
    $include_pool
"""

_INIT_FROM_MEMORY = """
    ${id}_handle *${id}_init_from_memory(const void *weights, size_t size, char *error, size_t error_size)
    {
        ${id}_handle *handle;
        (void)load(NULL, weights, size, &handle, &(failure){error, error_size});
        return handle;
    }
"""
