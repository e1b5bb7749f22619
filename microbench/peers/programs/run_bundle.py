"""A bundle of this project, in this process: its C compiled as a shared library, called through ctypes."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np

from codegen.bundle.manifest import bundle_sources, read_manifest
from codegen.bundle.pool import pool_flags
from codegen.cpu.toolchain import KERNEL_FLAGS, compile_shared
from microbench.profile import load_profile

ERROR_BYTES = 512
PROGRAM_FILES = ("main.c", "bench_report.c")  # of the bundle's own bench program
FLOATS = ctypes.POINTER(ctypes.c_float)


class Engine:
    """How many threads a bundle uses was decided in its plan; `threads` is what it was chosen for."""

    def __init__(self, model: str, value: Any, threads: int) -> None:
        directory = Path(model)
        manifest = read_manifest(directory)
        sources = {
            name: text
            for name, text in bundle_sources(directory, manifest, "none").items()
            if name not in PROGRAM_FILES
        }
        flags = (*KERNEL_FLAGS, *pool_flags(manifest.files))
        self._library = ctypes.CDLL(
            str(compile_shared(sources, load_profile(manifest.device).target(), flags))
        )
        self._value = np.ascontiguousarray(value, dtype=np.float32)
        self._result = np.zeros(manifest.outputs[0].shape, dtype=np.float32)
        self._inputs = (FLOATS * 1)(self._value.ctypes.data_as(FLOATS))
        self._outputs = (FLOATS * 1)(self._result.ctypes.data_as(FLOATS))
        self._handle = self._open(manifest.identifier, str(directory))
        self._run = getattr(self._library, f"{manifest.identifier}_run")
        self._run.argtypes = [ctypes.c_void_p, type(self._inputs), type(self._outputs)]

    def _open(self, identifier: str, directory: str) -> ctypes.c_void_p:
        init = getattr(self._library, f"{identifier}_init")
        init.restype = ctypes.c_void_p
        init.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
        error = ctypes.create_string_buffer(ERROR_BYTES)
        handle = init(directory.encode(), error, ERROR_BYTES)
        if not handle:
            raise RuntimeError(error.value.decode("utf-8", "replace"))
        return ctypes.c_void_p(handle)

    def run(self) -> None:
        """One inference."""
        code = self._run(self._handle, self._inputs, self._outputs)
        if code != 0:
            raise RuntimeError(f"the bundle stopped with code {code}")

    def output(self) -> Any:
        """The last result."""
        return self._result
