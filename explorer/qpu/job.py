"""What `explore qpu run` is asked to do, from the command line or from a job file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codegen.target import GpuMemory
from explorer.errors import OutputError
from explorer.qpu.expectations import Expectation
from microbench.virtual.program import Code, ProgramRun, QpuProgram

LARGEST_BUFFER_BYTES = 1 << 30
DEFAULT_DEVICE = "pi-zero"
DEFAULT_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Job:
    """Launches on buffers, the files to write afterwards by buffer, what to expect, and the device.

    `names` are those of codes, for tables; where `v3d_hz` or `gpu_memory` is None the profile's stands.
    """

    program: QpuProgram
    names: Mapping[Code, str]
    outputs: Mapping[str, Path] = field(default_factory=dict)
    expectations: tuple[Expectation, ...] = ()
    device: str = DEFAULT_DEVICE
    v3d_hz: float | None = None
    gpu_memory: GpuMemory | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    lax: bool = False


def filled(data: bytes, size: int, fill: int) -> NDArray[np.uint8]:
    """`size` bytes that begin with the data and go on with a byte."""
    content = np.full(size, fill, np.uint8)
    content[: len(data)] = np.frombuffer(data, np.uint8)
    return content


def write_outputs(done: ProgramRun, outputs: Mapping[str, Path]) -> None:
    """Writes buffers after a run; raises OutputError for a failing disk."""
    for name, path in outputs.items():
        try:
            path.write_bytes(done.buffers[name].tobytes())
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}; name another file") from error
