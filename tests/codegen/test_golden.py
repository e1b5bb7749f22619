"""Generated code of one candidate of each algorithm is what tests/golden has; `--renew-golden` writes it anew.

Targets are fixed: the files do not depend on the machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from codegen.algorithm import Algorithm, algorithms
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.engines.videocore4.layer import Address, Uniform
from tests.codegen.algorithm_layers import LAYERS
from tests.codegen.built import Case, cases

GOLDEN = Path(__file__).parents[1] / "golden"
SHORT_LINES = 80
NAMES = [name for name, a in algorithms().items() if type(a).__module__.startswith("codegen.")]


def golden_text(algorithm: Algorithm) -> str:
    """Of the last candidate for the last layer that it takes: the most threads, and the largest tile."""
    *_, case = cases(algorithm, LAYERS)
    return f"{case}\n{_code(algorithm, case)}"


def _code(algorithm: Algorithm, case: Case) -> str:
    if isinstance(algorithm, QpuAlgorithm):
        layer = algorithm.lower(case.spec, case.target, case.choice, case.weights)
        blocks = _digest("\n".join(map(_block_text, layer.blocks)).encode())
        words = "\n".join(f"{word:016x}" for code in layer.codes for word in code)
        return f"uniforms {blocks}\nconstants {len(layer.weights)} words\n{words}\n"
    assert isinstance(algorithm, CpuAlgorithm)
    program = algorithm.emit(case.spec, case.target, case.choice, case.weights, "kernel")
    source = program.source.rstrip() + "\n"
    head = f"source {_digest(source.encode())}\nconstants {program.weights.size} words\n"
    return head + (source if source.count("\n") <= SHORT_LINES else "")


def _block_text(block: Sequence[Uniform] | None) -> str:
    return " ".join(
        f"{word.base}{word.index}+{word.offset_bytes}" if isinstance(word, Address) else f"{word:g}"
        for word in block or ()
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_generated_code_is_golden(name: str, request: pytest.FixtureRequest) -> None:
    path, text = GOLDEN / f"{name}.txt", golden_text(algorithms()[name])
    if request.config.getoption("--renew-golden"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "look at the difference, then give --renew-golden"


def test_no_file_is_of_an_algorithm_that_is_no_more() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(NAMES)
