"""Innermost loops for 32-bit ARM keep their sums in registers, whichever of two compilers chooses them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_object
from codegen.program import CpuProgram
from codegen.schedule import Choice
from microbench.inner_loops.counts import count_loop
from microbench.inner_loops.disassembly import Function, disassemble
from microbench.inner_loops.loops import busiest_loop
from microbench.profile import load_profile
from tests.codegen.kernel_file import kernel_file
from tests.codegen.test_cpu_spills import LAYERS, widest

GCC = "arm-linux-gnueabihf-gcc"
GCC_FLAGS = {
    "pi-zero": ("-marm", "-mcpu=arm1176jzf-s", "-mfpu=vfp"),
    "pi-2": ("-mcpu=cortex-a7", "-mfpu=neon-vfpv4"),
    "pi-3": ("-mcpu=cortex-a53", "-mfpu=neon-fp-armv8"),
}
IN_C = {("pi-zero", "cpu_blocked_depthwise")}  # whose loops are the compiler's
CASES = [
    (device, name, layer)
    for device in GCC_FLAGS
    for name, layers in LAYERS.items()
    for layer in layers
    if (device, name) not in IN_C
]


@pytest.mark.needs("llvm")
@pytest.mark.parametrize(("device", "name", "layer"), CASES)
def test_no_tile_spills_with_clang(device: str, name: str, layer: str) -> None:
    target = load_profile(device).target()
    for choice, text in _texts(device, name, layer):
        functions = disassemble(compile_object({"kernel.c": text}, target, KERNEL_FLAGS))
        loop = busiest_loop(functions)
        assert loop is not None and count_loop(loop).stack_accesses == 0, choice


@pytest.mark.needs("llvm")
@pytest.mark.skipif(shutil.which(GCC) is None, reason=f"no {GCC} (Debian: gcc-arm-linux-gnueabihf)")
@pytest.mark.parametrize(("device", "name", "layer"), CASES)
def test_no_vector_is_spilled_with_gcc(device: str, name: str, layer: str, tmp_path: Path) -> None:
    """gcc unrolls loops around the innermost too, and may then keep an address on the stack."""
    for choice, text in _texts(device, name, layer):
        source, code = tmp_path / "kernel.c", tmp_path / "kernel.o"
        source.write_text(text, encoding="utf-8")
        flags = (*GCC_FLAGS[device], *KERNEL_FLAGS)
        subprocess.run((GCC, "-O3", *flags, "-c", str(source), "-o", str(code)), check=True)
        assert _spilled_vectors(disassemble(code)) == [], choice


def _texts(device: str, name: str, layer: str) -> list[tuple[Choice, str]]:
    algorithm, spec, target = algorithms()[name], LAYERS[name][layer], load_profile(device).target()
    assert isinstance(algorithm, CpuAlgorithm)
    weights = [np.ones(type_.shape, np.float32) for type_ in spec.weights]
    found = []
    for choice in widest(algorithm, spec, target):
        program = algorithm.emit(spec, target, choice, weights, "kernel")
        assert isinstance(program, CpuProgram)
        found.append((choice, kernel_file(program.entry, program.source)))
    assert found
    return found


def _spilled_vectors(functions: tuple[Function, ...]) -> list[str]:
    """Loads and stores of vector registers at the stack pointer in the busiest loop."""
    loop = busiest_loop(functions)
    assert loop is not None and loop.macs > 0
    accesses = (i for i in loop.body if i.mnemonic.startswith(("vld", "vst", "vpush", "vpop")))
    return [f"{i.mnemonic} {i.operands}" for i in accesses if "sp" in i.operands]
