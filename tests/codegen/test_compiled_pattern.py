from __future__ import annotations

import re

import numpy as np
import pytest

from codegen.engines.cpu.sparse.compiled_source import GROUP, LANES, REACH, compiled_pattern, group_count


def executed(text: str, stream: np.ndarray, operands: np.ndarray) -> np.ndarray:
    """What the functions leave as sums, by an interpreter of their five instructions; one after another."""
    registers = np.zeros((32, LANES), np.float32)
    results: list[np.ndarray] = []
    starts = [int(one) for one in re.findall(r"_group\d+, (\d+),", text)]
    at = 0
    body = text[text.index(".endm", text.index("macro operand")) : text.index(".purgem")]
    for line in re.findall(r'"(.+)\\n"', body):
        if line.endswith(":"):
            at = starts[int(re.findall(r"_group(\d+):", line)[0])]
        elif found := re.match(r"add \$(\d+),%rsi", line):
            at += int(found[1]) // 4
        elif found := re.match(r"vbroadcastss (-?\d+)\(%rsi\),%zmm(\d+)", line):
            registers[int(found[2])] = stream[at + int(found[1]) // 4]
        elif found := re.match(r"operand (\d+),(\d+)", line):
            registers[int(found[2])] = operands[int(found[1]) // (4 * LANES)]
        elif found := re.match(r"madd (-?\d+),(\d+),(\d+)", line):
            displacement, source, target = map(int, found.groups())
            assert -4 * REACH <= displacement < 4 * REACH and source >= GROUP > target
            registers[target] += stream[at + displacement // 4] * registers[source]
        elif found := re.match(r"vmovups %zmm(\d+),(\d+)\(%rdx\)", line):
            assert int(found[2]) == int(found[1]) * 4 * LANES
            results.append(registers[int(found[1])].copy())
        else:
            assert line in ("vzeroupper", "ret", ".p2align 6"), line
    return np.array(results)


@pytest.mark.parametrize(("outputs", "depth"), [(1, 1), (28, 40), (29, 7), (64, 300)])
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_instructions_compute_the_product(outputs: int, depth: int, density: float) -> None:
    random = np.random.default_rng(outputs)
    matrix = random.standard_normal((outputs, depth), dtype=np.float32)
    matrix[random.random(matrix.shape) >= density] = 0
    bias, operands = (random.standard_normal(shape, dtype=np.float32) for shape in (outputs, (depth, LANES)))
    compiled = compiled_pattern("kernel", matrix, bias, 4 * LANES)
    assert len(compiled.groups) == group_count(outputs)
    assert compiled.stream.size == outputs + np.count_nonzero(matrix)
    expected = matrix.astype(np.float64) @ operands + bias[:, None]
    assert np.abs(executed(compiled.text, compiled.stream, operands) - expected).max() < 1e-4
