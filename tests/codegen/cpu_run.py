"""Runs compiled C kernels between guards that show what they touch beside their own memory."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from codegen.element_type import FLOAT32
from codegen.program import CpuProgram
from codegen.target import Target
from codegen.tensor import FloatArray

HOST = Target(name="host", qpus=0, cpu="native", compiler=("", "-O1", "-march=native"), cores=6)
SCALAR = Target(name="pi-zero", qpus=12, cpu="arm1176jzf-s", compiler=("", "-O1"), cores=1)
NEON = Target(name="pi-2", qpus=12, cpu="cortex-a7", compiler=("", "-O1"), cores=4)
A53 = Target(name="pi-3-64", qpus=0, cpu="cortex-a53", compiler=("aarch64-linux-musl", "-O1"), cores=4)
A76 = Target(name="pi-5", qpus=0, cpu="cortex-a76", compiler=("aarch64-linux-musl", "-O1"), cores=4)
ON_AARCH64 = {
    "cpu_int8_packed": A53,
    "cpu_int8_winograd": A53,
    "cpu_int8_dot": A76,
    "cpu_sparse_compiled_conv": A53,
}  # that apply there alone: their C is beside their assembly
AVX2 = Target(name="avx2", qpus=0, cpu="x86-64-v3", compiler=("", "-O1"), cores=2)
GUARD = 64  # elements
NAN = np.float32(np.nan)


class Guarded:
    """A buffer between two guards of a poison that shows in the results, as NaN or infinities, or as the largest number
    of a type that has none, if it is used.
    """

    def __init__(
        self,
        size: int,
        poison: np.float32 = NAN,
        values: np.ndarray | None = None,
        dtype: np.dtype | type = np.float32,
    ) -> None:
        element = np.dtype(dtype) if values is None else values.dtype
        self._memory = np.full(
            size + 2 * GUARD, poison if element.kind == "f" else _largest(element), element
        )
        self.inside = self._memory[GUARD : GUARD + size]
        if values is not None:
            self.inside[:] = values
        self._before = self._memory.tobytes()
        self._is_source = values is not None

    @property
    def address(self) -> int:
        return self.inside.ctypes.data

    def check(self) -> None:
        """Fails where a guard, or anything of a source, was written."""
        width = self._memory.itemsize
        before = np.frombuffer(self._before, dtype=np.uint8).reshape(-1, width)
        changed = (
            np.flatnonzero((before != self._memory.view(np.uint8).reshape(-1, width)).any(axis=1)) - GUARD
        )
        if not self._is_source:
            changed = changed[(changed < 0) | (changed >= self.inside.size)]
        assert not changed.size, f"written outside, at elements {changed[:8]} of {self.inside.size}"


def _largest(element: np.dtype) -> object:
    return True if element.kind == "b" else np.iinfo(element).max


def call(
    library: ctypes.CDLL,
    program: CpuProgram,
    images: list[FloatArray],
    poison: np.float32 = NAN,
    dtypes: Sequence[str] | None = None,
) -> list[FloatArray]:
    """The flat output images, of float32 elements unless `dtypes` says otherwise; fails when the function writes
    anything but its outputs and workspace.
    """
    assert tuple(image.size for image in images) == program.input_sizes
    sources = [Guarded(image.size, poison, image) for image in images]
    weights = Guarded(program.weights.size, poison, program.weights)
    types = dtypes or ("float32",) * len(program.output_sizes)
    outputs = [
        Guarded(size, poison, dtype=np.dtype(dtype))
        for size, dtype in zip(program.output_sizes, types, strict=True)
    ]
    workspace = Guarded(-(-program.workspace_bytes // FLOAT32.size_bytes), poison)
    pointers, results = (
        (ctypes.c_void_p * len(buffers))(*(buffer.address for buffer in buffers))
        for buffers in (sources, outputs)
    )
    function = getattr(library, program.entry)
    function.restype = None
    for part in reversed(range(program.threads)):  # in any order
        function(
            pointers, ctypes.c_void_p(weights.address), results, ctypes.c_void_p(workspace.address), part
        )
    for buffer in (*sources, weights, *outputs, workspace):
        buffer.check()
    return [output.inside for output in outputs]
