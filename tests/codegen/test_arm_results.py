"""Every CPU algorithm's kernels, compiled for the boards' 32-bit ARM cores, give right results under emulation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from codegen.algorithm import algorithm_named, algorithms
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_executable
from codegen.program import CpuProgram
from codegen.target import Target
from codegen.tensor import TensorType
from microbench.emulation.emulator import EmulatedExecutor
from microbench.profile import load_profile
from tests.codegen.algorithm_conformance import check_results
from tests.codegen.algorithm_layers import LAYERS
from tests.codegen.built import Built, Case, bytes_of, choices
from tests.codegen.cpu_run import ON_AARCH64
from tests.codegen.gpu_run import random_tensors
from tests.codegen.kernel_file import kernel_file

DEVICES = ("pi-zero", "pi-2", "pi-3")
IN_ASSEMBLY = (
    "cpu_blocked_chain",
    "cpu_blocked_conv",
    "cpu_blocked_conv_transpose",
    "cpu_blocked_depthwise",
    "cpu_blocked_indirect",
    "cpu_blocked_strassen",
    "cpu_blocked_winograd",
)
POINTS = {True: 3, False: 1}  # of each layer, of kernels with assembly and of those in C
LIMIT_S = 120.0
OTHERS = sorted(
    name
    for name, one in algorithms().items()
    if isinstance(one, CpuAlgorithm) and name not in {*IN_ASSEMBLY, *ON_AARCH64}
)


@pytest.mark.needs("instruction counting")
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", [*IN_ASSEMBLY, *OTHERS])
def test_results_are_the_references(name: str, device: str) -> None:
    target = load_profile(device).target()
    found = list(_cases(name, target))
    for one, results in zip(found, _run(found, target), strict=True):
        check_results(_as_built(one), results)


def _cases(name: str, target: Target) -> Iterator[Case]:
    algorithm = algorithm_named(name)
    for layer, spec in LAYERS.items():
        if algorithm.applies(spec, target):
            inputs, weights = random_tensors(spec, seed=len(layer))
            for choice in choices(algorithm, spec, target, POINTS[name in IN_ASSEMBLY]):
                yield Case(layer, spec, target, choice, inputs, weights)


def _run(found: Sequence[Case], target: Target) -> list[list[np.ndarray]]:
    """Flat output images of each case, all of one program."""
    programs = []
    for i, case in enumerate(found):
        algorithm = algorithm_named(case.choice.algorithm)
        assert isinstance(algorithm, CpuAlgorithm)
        programs.append(algorithm.emit(case.spec, target, case.choice, case.weights, f"kernel_{i}"))
    sources = {f"kernel_{i}.c": kernel_file(one.entry, one.source) for i, one in enumerate(programs)}
    sources["main.c"] = _main(found, programs)
    executable = compile_executable(sources, target, KERNEL_FLAGS)
    data = b"".join(
        image.tobytes()
        for case, one in zip(found, programs, strict=True)
        for image in (*case.images, one.weights)
    )
    finished = EmulatedExecutor(target).execute(executable, (), {"data": data}, ("results",), LIMIT_S)
    assert finished.ended.is_good, finished.ended.complaint
    content, place, results = finished.outputs["results"], 0, []
    for case, one in zip(found, programs, strict=True):
        images = []
        for size, type_ in zip(one.output_sizes, case.spec.outputs, strict=True):
            images.append(np.frombuffer(content, np.dtype(type_.dtype), size, place))
            place += images[-1].nbytes
        results.append(images)
    assert place == len(content)
    return results


def _as_built(case: Case) -> Built:
    return Built(case, (), (), 0, 0, lambda _images, _poison: [], lambda: 0.0)


def _sizes(sizes: Sequence[int], types: Sequence[TensorType]) -> str:
    each = [bytes_of((size,), (type_,)) for size, type_ in zip(sizes, types, strict=True)]
    return f"{len(each)}, (const long[]){{{', '.join(map(str, each)) or 0}}}"


def _main(found: Sequence[Case], programs: Sequence[CpuProgram]) -> str:
    """A program that gives each kernel its data between guards that read as NaN, and writes its outputs."""
    rows = [
        f"{{{one.entry}, {_sizes(one.input_sizes, case.spec.inputs)}, "
        f"{_sizes(one.output_sizes, case.spec.outputs)}, {one.weights.nbytes}, {one.workspace_bytes}, {one.threads}}}"
        for case, one in zip(found, programs, strict=True)
    ]
    return fill(
        """
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        typedef void kernel(const float *const *, const float *, float *const *, void *, int);
        extern kernel $names;
        static const struct { kernel *run; int inputs; const long *in; int outputs; const long *out;
                              long weights, workspace; int threads; } cases[] = {$rows};
        static void *guarded(long bytes)
        {
            unsigned char *memory = aligned_alloc(64, (bytes + 1023) / 64 * 64);
            if (memory == NULL)
                exit(3);
            memset(memory, 0xff, (bytes + 1023) / 64 * 64);
            return memory + 448;
        }
        int main(void)
        {
            FILE *data = fopen("data", "rb"), *results = fopen("results", "wb");
            if (data == NULL || results == NULL)
                return 2;
            for (unsigned i = 0; i < sizeof cases / sizeof *cases; ++i) {
                const float *in[64];
                float *out[64];
                for (int k = 0; k < cases[i].inputs; ++k)
                    if (fread((void *)(in[k] = guarded(cases[i].in[k])), 1, cases[i].in[k], data) !=
                        (size_t)cases[i].in[k])
                        return 4;
                float *weights = guarded(cases[i].weights);
                if (fread(weights, 1, cases[i].weights, data) != (size_t)cases[i].weights)
                    return 5;
                for (int k = 0; k < cases[i].outputs; ++k)
                    out[k] = guarded(cases[i].out[k]);
                void *workspace = guarded(cases[i].workspace);
                for (int part = cases[i].threads - 1; part >= 0; --part)
                    cases[i].run(in, weights, out, workspace, part);
                for (int k = 0; k < cases[i].outputs; ++k)
                    if (fwrite(out[k], 1, cases[i].out[k], results) != (size_t)cases[i].out[k])
                        return 6;
            }
            return fclose(results);
        }
        """,
        names=", ".join(one.entry for one in programs),
        rows=", ".join(rows),
    )
