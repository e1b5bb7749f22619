"""Assembly that walks the pattern of sparse weights computes what the C text beside it does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.kernel import IN_BLOCKS, ROW_MAJOR
from codegen.engines.cpu.blocked.tile_results import Results
from codegen.engines.cpu.sparse.walk_assembly import MOST_VECTORS, WalkShape, walk_assembly
from codegen.expression import RELU, RESULT, Expression, clamp
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import CpuProgram
from codegen.schedule import Candidate
from codegen.sparsity import sparsity_of
from explorer.measure.jobs import JobBuilder
from microbench.registry import open_board
from tests.codegen.layers import convolution
from tests.codegen.test_scheduled_tile import without_assembly


def sparse(
    inputs: int, outputs: int, size: int, kernel: int, epilogue: Expression, zeros: float
) -> LayerSpec:
    pad = kernel // 2
    op = Conv2d((kernel, kernel), (1, 1), (pad,) * 4, (1, 1), 1, epilogue=epilogue)
    spec = convolution(inputs, outputs, (size, size), op)
    weights = np.random.default_rng(0).random(spec.weights[0].shape)
    return replace(spec, sparsity=sparsity_of(np.where(weights < zeros, 0, weights)))


@pytest.mark.needs("instruction counting")
@pytest.mark.parametrize("activations", [ROW_MAJOR, IN_BLOCKS])
@pytest.mark.parametrize(
    ("spec", "vectors", "block"),
    [
        (sparse(64, 20, 9, 1, clamp(RESULT, -0.5, 1.25), 0.8), 7, 64),  # results of the last tile are copied
        (sparse(130, 18, 7, 1, RELU, 0.9), 13, 64),  # sums wait in memory, the last block of channels is cut
        (sparse(300, 9, 14, 1, RESULT, 0.97), 4, 300),  # rows without any weight
        (sparse(300, 9, 14, 1, RESULT, 0.97), 13, 300),  # operands are fetched ahead
        (sparse(9, 12, 8, 3, RELU, 0.8), 4, 72),
    ],
    ids=["copied", "blocks", "empty rows", "fetched", "windows"],
)
def test_assembly_and_c_give_equal_results(
    spec: LayerSpec, vectors: int, block: int, activations: str
) -> None:
    algorithm = algorithms()["cpu_sparse_conv"]
    point = {
        "lanes": 4,
        "vectors": vectors,
        "rows": 1,
        "pattern": "walked",
        "k_block": block,
        "activations": activations,
        "shared": "pixels",
        "threads": 1,
    }
    with open_board("pi-3-64") as board:
        candidate = Candidate(spec, algorithm.choice(spec, board.target, point))
        job = JobBuilder(board.target, 0, algorithms()).job(candidate)
        program = job.program
        assert isinstance(program, CpuProgram) and "fmla" in program.source
        in_c = replace(program, source=without_assembly(program.source))
        images = [board.measure(replace(job, program=one)).output for one in (program, in_c)]
    layout = layout_named(candidate.choice.output_layout)
    results = [layout.unpack(np.asarray(image), spec.output) for image in images]
    np.testing.assert_array_equal(results[0], results[1])


@pytest.mark.parametrize("vectors", range(1, MOST_VECTORS + 1))
@pytest.mark.parametrize("fetches", [False, True])
def test_an_entry_takes_two_instructions_for_an_operand_and_few_more(vectors: int, fetches: bool) -> None:
    """No sum and no operand leaves its register between products."""
    lines = walk_assembly(WalkShape(vectors, fetches, 1, Results(0.0, None, 0)))
    loop = lines[lines.index("2:") + 1 : lines.index("3:")]
    kinds = [line.split()[0] for line in loop]
    assert kinds.count("fmla") == vectors
    assert kinds.count("ins") == vectors
    assert not [kind for kind in kinds if kind.startswith("st")]
    assert sum(line.startswith("ldr d") for line in loop) == vectors
