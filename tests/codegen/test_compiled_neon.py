"""Patterns compiled for AArch64: instructions and C compute the same, and sums stay in registers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.engine_registry import layout_named
from codegen.engines.cpu.sparse.compiled_neon import MOST_OUTPUTS, group_bounds
from codegen.engines.cpu.sparse.compiled_schedule import Product, Vector, scheduled
from codegen.expression import RELU, RESULT, Expression, clamp
from codegen.graph import LayerSpec
from codegen.operators.chain import Chain
from codegen.operators.conv2d import Conv2d
from codegen.program import CpuProgram
from codegen.schedule import Candidate
from codegen.sparsity import sparsity_of
from explorer.measure.jobs import JobBuilder
from microbench.registry import open_board
from tests.codegen.layers import convolution
from tests.codegen.test_scheduled_tile import without_assembly


def sparse(inputs: int, outputs: int, size: tuple[int, int], op: Conv2d, zeros: float) -> LayerSpec:
    spec = convolution(inputs, outputs, size, op)
    weights = np.random.default_rng(0).random(spec.weights[0].shape)
    return replace(spec, sparsity=sparsity_of(np.where(weights < zeros, 0, weights)))


def windows(stride: int, epilogue: Expression = RESULT) -> Conv2d:
    return Conv2d((3, 3), (stride, stride), (1, 1, 1, 1), epilogue=epilogue)


@pytest.mark.needs("instruction counting")
@pytest.mark.parametrize(
    ("spec", "band", "block"),
    [
        (sparse(64, 20, (9, 9), Conv2d((1, 1), epilogue=clamp(RESULT, -0.5, 1.25)), 0.8), 2, 64),
        (sparse(130, 18, (7, 7), Conv2d((1, 1), epilogue=RELU), 0.9), 7, 32),
        (sparse(300, 9, (14, 14), Conv2d((1, 1)), 0.97), 4, 300),
        (sparse(1024, 25, (2, 6), Conv2d((1, 1)), 0.3), 1, 1024),
        (sparse(12, 30, (14, 14), windows(1, RELU), 0.8), 4, 12),
        (sparse(40, 30, (7, 7), windows(1), 0.9), 7, 16),
        (sparse(9, 12, (8, 13), windows(2), 0.8), 2, 9),
        (sparse(30, 5, (40, 40), windows(1), 0.9), 16, 30),
        (sparse(30, 5, (63, 40), windows(1), 0.995), 63, 30),
    ],
    ids=[
        "cut",
        "blocks",
        "rows without weights",
        "far weights",
        "two rows",
        "odd",
        "strided",
        "far operands",
        "far operands, few weights",
    ],
)
def test_instructions_and_c_compute_the_same(spec: LayerSpec, band: int, block: int) -> None:
    algorithm = algorithms()["cpu_sparse_compiled_conv"]
    with open_board("pi-3-64") as board:
        target = replace(board.target, cpu_l1d_bytes=1 << 20)  # which refuses no function for its size
        point = {"band": band, "k_block": block, "threads": 1}
        candidate = Candidate(spec, algorithm.choice(spec, target, point))
        job = JobBuilder(target, 0, algorithms()).job(candidate)
        program = job.program
        assert isinstance(program, CpuProgram) and "fmla" in program.source
        in_c = replace(program, source=without_assembly(program.source))
        images = [board.measure(replace(job, program=one)).output for one in (program, in_c)]
    layout = layout_named(candidate.choice.output_layout)
    results = [layout.unpack(np.asarray(image), spec.output) for image in images]
    np.testing.assert_allclose(results[0], results[1], atol=1e-5 * np.abs(results[1]).max())


@pytest.mark.needs("instruction counting")
@pytest.mark.parametrize("band", [1, 4])
def test_a_chain_that_skips_zeros_computes_what_one_that_multiplies_does(band: int) -> None:
    first = sparse(10, 30, (9, 12), Conv2d((1, 1), epilogue=RELU), 0.8)
    second = convolution(30, 30, (9, 12), Conv2d((3, 3), (2, 2), (1, 1, 1, 1), groups=30))
    chain = Chain((first, second), ((0,), (-1,)))
    spec = LayerSpec(chain, first.inputs, second.outputs, first.weights + second.weights)
    algorithm = algorithms()["cpu_blocked_chain"]
    with open_board("pi-3-64") as board:
        builder, results = JobBuilder(board.target, 0, algorithms()), []
        for zeros in ("multiplied", "skipped"):
            axes = algorithm.space(spec, board.target).axes
            point = {axis.name: axis.values[0] for axis in axes} | {
                "zeros": zeros,
                "band": band,
                "halos": "kept",
            }
            job = builder.job(Candidate(spec, algorithm.choice(spec, board.target, point)))
            program = job.program
            assert isinstance(program, CpuProgram)
            in_c = replace(program, source=without_assembly(program.source))
            results += [
                np.asarray(board.measure(replace(job, program=one)).output) for one in (program, in_c)
            ]
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], atol=1e-5 * np.abs(results[0]).max())


@pytest.mark.parametrize("outputs", [1, 24, 25, 97])
def test_groups_are_even_and_fit_registers(outputs: int) -> None:
    bounds = group_bounds(outputs)
    sizes = np.diff(bounds)
    assert bounds[0] == 0 and outputs <= bounds[-1] < outputs + 4
    assert sizes.max() <= MOST_OUTPUTS and sizes.max() - sizes.min() <= 4


def executed(lines: list[str], memory: dict[str, float], outputs: int) -> np.ndarray:
    """What the sums are, by an interpreter of four instructions, each address being a half of a vector."""
    vectors, general = np.zeros((32, 4), np.float64), dict[str, tuple[float, float]]()
    for line in lines:
        name, first, *others = line.replace(",", " ").split()
        if name == "fmla":
            source, weight = (int(other[1:].split(".")[0]) for other in others)
            vectors[int(first[1:].split(".")[0])] += vectors[source] * vectors[weight][int(others[1][-2])]
        elif name == "ins":
            vectors[int(first[1:].split(".")[0])][2:] = general.pop(others[0])
        elif first.startswith("d"):
            vectors[int(first[1:])][:2] = memory[others[0]], memory[others[0]] + 1
        else:
            assert name == "ldr" and first not in general
            general[first] = memory[others[0]], memory[others[0]] + 1
    return vectors[:outputs]


@pytest.mark.parametrize("density", [0.02, 0.1, 0.5, 1.0])
def test_a_schedule_computes_every_product_once(density: float) -> None:
    outputs, depth = 24, 60
    random = np.random.default_rng(1)
    pattern = random.random((depth, outputs)) < density
    vectors: list[Vector] = []
    products: list[Product] = []
    memory: dict[str, float] = {}
    expected = np.zeros((outputs, 4))

    def vector() -> int:
        number = len(vectors)
        vectors.append(Vector(f"L{number}", f"U{number}"))
        memory[f"L{number}"], memory[f"U{number}"] = random.integers(1, 9, 2)
        return number

    def value(number: int) -> np.ndarray:
        low, high = memory[f"L{number}"], memory[f"U{number}"]
        return np.array([low, low + 1, high, high + 1])

    weights = -1
    for k in np.nonzero(pattern.any(axis=1))[0]:
        operand = vector()
        for row in np.nonzero(pattern[k])[0]:
            lane = len(products) % 4
            weights = vector() if lane == 0 else weights
            products.append(Product(int(row), operand, weights, lane))
            expected[row] += value(operand) * value(weights)[lane]
    lines = scheduled(products, vectors, range(outputs, 32))
    np.testing.assert_array_equal(executed(lines, memory, outputs), expected)
    assert len(lines) == len(products) + 3 * len(vectors)  # nothing is loaded twice or kept elsewhere
