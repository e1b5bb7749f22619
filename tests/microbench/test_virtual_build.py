"""The simulator compiled for this machine's CPU does what the one for any CPU does."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from microbench.profile import load_profile
from microbench.virtual import speed
from microbench.virtual.build import library_path, machine_flags
from microbench.virtual.library import Library

OPERATIONS = [*((0, op) for op in (*range(1, 9), *range(12, 25), 30, 31)), *((1, op) for op in range(1, 8))]


@pytest.fixture(scope="module")
def both() -> tuple[Library, Library]:
    if not machine_flags():
        pytest.skip("this CPU has nothing that the simulator is compiled for")
    return Library(library_path()), Library(library_path(machine_flags()))


def words(seed: int) -> np.ndarray:
    """Sixteen words for lanes: any bits, and floats of every exponent, infinities and denormals among them."""
    random = np.random.default_rng(seed)
    return random.integers(0, 1 << 32, 16, dtype=np.uint32)


def operate(library: Library, unit: int, op: int, a: np.ndarray, b: np.ndarray) -> bytes:
    before, result, flags = np.zeros(16, np.uint32), np.zeros(16, np.uint32), np.zeros(16, np.uint32)
    arrays = (a, b, before, result, flags)
    x, y, old, out, flag = (array.ctypes.data for array in arrays)
    assert library.alu(unit, op, x, y, 0, old, out, flag) == 0
    return result.tobytes() + flags.tobytes()


@pytest.mark.parametrize(("unit", "op"), OPERATIONS)
def test_every_operation_gives_the_same(both: tuple[Library, Library], unit: int, op: int) -> None:
    for seed in range(200):
        a, b = words(2 * seed), words(2 * seed + 1)
        assert operate(both[0], unit, op, a, b) == operate(both[1], unit, op, a, b), seed


def run(library: Library) -> tuple[int, bytes]:
    """Cycles of a depthwise kernel, and all of GPU memory after it."""
    _, algorithm, spec = next(k for k in speed.KERNELS if k[0].startswith("depthwise"))
    profile = load_profile("pi-zero")
    program, images = speed.program_of(algorithm, spec, profile.target())
    handle = library.new(profile, strict=True)
    try:
        bus = library.alloc(handle, program.size_bytes, 4096)
        buffer = (ctypes.c_uint8 * program.size_bytes).from_address(
            library.map(handle, bus, program.size_bytes)
        )
        memory = np.ctypeslib.as_array(buffer)
        code = program.words.copy()
        code[program.relocations] += np.uint32(bus)
        memory[: code.nbytes] = code.view(np.uint8)
        for region, image in zip(program.inputs, images, strict=True):
            memory[region.offset_bytes : region.offset_bytes + image.nbytes] = image.view(np.uint8)
        (launch,) = program.launches
        result = library.execute(handle, launch.num_qpus, bus + launch.control_offset_bytes, 0, 1.0, 0)
        assert result.status == 0, result.message
        return int(result.cycles), memory.tobytes()
    finally:
        library.delete(handle)


def test_a_kernel_takes_the_same_cycles_to_the_same_outputs(both: tuple[Library, Library]) -> None:
    assert run(both[0]) == run(both[1])
