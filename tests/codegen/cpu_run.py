"""Runs compiled C kernels between guards that show what they touch beside their own memory."""

from __future__ import annotations

import ctypes

import numpy as np

from codegen.program import CpuProgram
from codegen.target import Target
from codegen.tensor import FloatArray

HOST = Target(name="host", qpus=0, cpu="native", compiler=("", "-O1", "-march=native"), cores=6)
SCALAR = Target(name="pi-zero", qpus=12, cpu="arm1176jzf-s", compiler=("", "-O1"), cores=1)
NEON = Target(name="pi-2", qpus=12, cpu="cortex-a7", compiler=("", "-O1"), cores=4)
AVX2 = Target(name="avx2", qpus=0, cpu="x86-64-v3", compiler=("", "-O1"), cores=2)
POISON = np.float32(np.nan)
GUARD = 64


def poisoned(values: FloatArray, size: int) -> FloatArray:
    """`values` followed by NaN, which any use of an element out of bounds brings into the result."""
    memory = np.full(size + GUARD, POISON, dtype=np.float32)
    memory[: values.size] = values
    return memory


def call(library: ctypes.CDLL, program: CpuProgram, images: list[FloatArray]) -> list[FloatArray]:
    """The flat output images; fails when the function writes past its outputs or workspace."""
    sources = [poisoned(image, image.size) for image in images]
    assert tuple(image.size for image in images) == program.input_sizes
    workspace_size = -(-program.workspace_bytes // 4)
    weights = poisoned(program.weights, program.weights.size)
    outputs = [np.full(size + GUARD, POISON, dtype=np.float32) for size in program.output_sizes]
    workspace = np.full(workspace_size + GUARD, POISON, dtype=np.float32)
    pointers, results = (
        (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
        for arrays in (sources, outputs)
    )
    function = getattr(library, program.entry)
    function.restype = None
    for part in reversed(range(program.threads)):  # in any order
        function(
            pointers,
            ctypes.c_void_p(weights.ctypes.data),
            results,
            ctypes.c_void_p(workspace.ctypes.data),
            part,
        )
    for output, size in zip(outputs, program.output_sizes, strict=True):
        assert np.isnan(output[size:]).all()
    assert np.isnan(workspace[workspace_size:]).all()
    return [output[:size] for output, size in zip(outputs, program.output_sizes, strict=True)]
