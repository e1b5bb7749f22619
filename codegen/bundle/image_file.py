"""model.qpu: the image of GPU memory as a file, and the part of it that goes to weights.bin."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from codegen.program import WORD_BYTES, GpuProgram

MAGIC = b"EXPLQPU1"
VERSION = 1
NO_MARK = 0xFFFFFFFF


def image_file(program: GpuProgram, plan_id: bytes) -> bytes:
    """model.qpu, as codegen/engines/cpu/runtime/bundle_gpu.c describes it."""
    relocations = np.asarray(program.relocations, dtype="<u4").tobytes()
    launches = b"".join(
        struct.pack(
            "<4I",
            launch.control_offset_bytes,
            launch.num_qpus,
            NO_MARK if launch.barrier_offset_bytes is None else launch.barrier_offset_bytes,
            len(launch.layers),
        )
        for launch in program.launches
    )
    words = np.asarray(program.words[: program.weights_offset_bytes // WORD_BYTES], dtype="<u4").tobytes()
    body = relocations + launches + words
    header = struct.pack(
        "<8s6I8s2I",
        MAGIC,
        VERSION,
        program.size_bytes,
        program.weights_offset_bytes,
        len(program.relocations),
        len(words) // WORD_BYTES,
        len(program.launches),
        plan_id,
        zlib.crc32(body),
        0,
    )
    return header + body


def weight_words(program: GpuProgram) -> bytes:
    """The part of the image that depends on the weights: what lies above `weights_offset_bytes`."""
    return np.asarray(program.words[program.weights_offset_bytes // WORD_BYTES :], dtype="<u4").tobytes()
