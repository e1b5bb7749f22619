"""What a board executes: a relocatable GPU memory image, or C sources with an entry point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]
WORD_BYTES = 4


@dataclass(frozen=True)
class Region:
    """A named byte range of a GPU image, or of a CPU program's buffers: float32 elements in some layout."""

    name: str
    offset_bytes: int
    size_bytes: int


@dataclass(frozen=True)
class Launch:
    """One execute call: `num_qpus` pairs of (uniforms, code) addresses at a byte offset of the image.

    `layers`: whose phase, or part of one, ends at each mark.
    """

    control_offset_bytes: int
    num_qpus: int
    layers: tuple[str, ...] = ()
    barrier_offset_bytes: int | None = None  # instruction every QPU passes once at the end of each layer


@dataclass(frozen=True, eq=False)
class GpuProgram:
    """One allocation of GPU memory. `words` fill it from offset 0 (code, control, uniforms, then weights);

    the rest, up to `size_bytes`, is scratch memory of single layers, then activations. `relocations` are the indices of
    the words to which the allocation's bus address is added after loading. `weights_offset_bytes` splits `words`: what
    lies below depends on the plan alone, what lies above on the weights.
    """

    words: Words
    size_bytes: int
    relocations: Words
    launches: tuple[Launch, ...]
    inputs: tuple[Region, ...]
    outputs: tuple[Region, ...]
    weights_offset_bytes: int
    kind: Literal["gpu"] = "gpu"
    scratch: tuple[Region, ...] = ()


@dataclass(frozen=True, eq=False)
class CpuProgram:
    """A layer in C: `void entry(const float *const *inputs, const float *weights, float *const *outputs,
    void *workspace, int part)`.

    `inputs` and `outputs` are flat images in the choice's layouts, of whatever elements their types say; `weights` is
    one packed array, whose bytes are what the kernel reads. The layer is done when the function has returned for every
    `part` from 0 to `threads` - 1, in any order or at once; the workspace is common to all, and each uses a share of
    its own.
    """

    source: str
    entry: str
    weights: NDArray[np.float32]
    input_sizes: tuple[int, ...]  # elements
    output_sizes: tuple[int, ...]  # elements
    workspace_bytes: int
    threads: int = 1
    kind: Literal["cpu"] = "cpu"


Program = GpuProgram | CpuProgram
