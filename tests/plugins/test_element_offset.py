"""A package with an algorithm for other element types than float32: chosen for them alone, compiled, and right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.plugins.installed import install

PROGRAM = """
import ctypes
import numpy as np
from codegen.algorithm import algorithms, check_choice
from codegen.element_type import ELEMENT_TYPES
from codegen.engines.cpu.toolchain import compile_shared
from codegen.expression import Operand
from codegen.graph import LayerSpec
from codegen.operators.elementwise import Map
from codegen.tensor import TensorType
from microbench.profile import load_profile

target = load_profile("host").target()
for element in ELEMENT_TYPES:
    tensor = TensorType((3, 5), element.name)
    spec = LayerSpec(Map(Operand(0) + 3), (tensor,), (tensor,))
    found = [name for name, algorithm in algorithms().items() if algorithm.applies(spec, target)]
    if "cpu_element_offset" not in found:
        assert element.name in ("float32", "bool"), (element.name, found)
        continue
    assert found == ["cpu_element_offset"], (element.name, found)
    algorithm = algorithms()["cpu_element_offset"]
    choice = algorithm.choice(spec, target, {})
    check_choice(spec, target, choice)
    program = algorithm.emit(spec, target, choice, [], "offset")
    library = ctypes.CDLL(str(compile_shared({"offset.c": program.source}, target, ("-Wall", "-Werror"))))
    values = np.arange(15).reshape(3, 5).astype(element.dtype)
    result = np.zeros_like(values)
    pointers = [(ctypes.c_void_p * 1)(array.ctypes.data) for array in (values, result)]
    library.offset(pointers[0], None, pointers[1], None, 0)
    np.testing.assert_array_equal(result, (values + 3).astype(element.dtype))
    print(element.name)
"""


def test_an_algorithm_for_other_element_types_is_used_for_them_alone(tmp_path: Path) -> None:
    site = install("element_offset", tmp_path / "site")
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert set(ended.stdout.split()) >= {"float64", "float16", "int8", "uint64"}
