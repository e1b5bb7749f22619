"""Kernels that stand for published programs do as much as these, and compute what these compute."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from codegen.errors import AssemblyError
from codegen.target import GPU_MEMORIES
from codegen.tensor import FloatArray
from microbench.suite.programs.heat import CELLS, HEAT_K, PITCH_BYTES, ROWS
from microbench.suite.programs.launch import Counts, Data, launch
from microbench.suite.programs.matrices import ALPHA, COLUMNS, DEPTH
from microbench.suite.programs.matrices import ROWS as MATRIX_ROWS
from microbench.suite.programs.paced import PacedAssembler
from microbench.suite.programs.rotation import COSINE, POINTS, SINE
from microbench.suite.published import (
    COUNT_TOLERANCE,
    PROGRAMS,
    ProgramComparison,
    PublishedProgram,
    compare,
    compare_variants,
    counts_table,
    times_table,
    variants_table,
)

NUMBERS = np.random.default_rng(5)


def random(*shape: int) -> FloatArray:
    return NUMBERS.standard_normal(shape).astype(np.float32)


def check_rotation(before: Data, after: Data) -> None:
    x, y = before["x"], before["y"]
    np.testing.assert_allclose(after["x"][:POINTS], x * COSINE - y * SINE, atol=1e-5)
    np.testing.assert_allclose(after["y"][:POINTS], y * COSINE + x * SINE, atol=1e-5)


def check_heat(before: Data, after: Data) -> None:
    """All but the first and the last cell of a row, whose neighbours lie outside."""
    grid, width = before["from"], CELLS - 2
    around = sum(
        grid[1 + dy : 1 + dy + ROWS, 1 + dx : 1 + dx + width]
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        if (dy, dx) != (0, 0)
    )
    here = grid[1 : 1 + ROWS, 1 : 1 + width]
    found = after["to"][: grid.size].reshape(grid.shape)[1 : 1 + ROWS, 1 : 1 + width]
    np.testing.assert_allclose(found, here - HEAT_K * (here - around / 8), atol=1e-5)


def check_product(before: Data, after: Data) -> None:
    a, b = before["a"].reshape(-1), before["b"].reshape(-1)
    products = {
        name: ALPHA * (rows @ columns)
        for name, rows, columns in (
            ("A B", a.reshape(MATRIX_ROWS, DEPTH), b.reshape(DEPTH, COLUMNS)),
            ("A^T B", a.reshape(DEPTH, MATRIX_ROWS).T, b.reshape(DEPTH, COLUMNS)),
            ("A B^T", a.reshape(MATRIX_ROWS, DEPTH), b.reshape(COLUMNS, DEPTH).T),
        )
    }
    found = after["c"].reshape(MATRIX_ROWS, COLUMNS)
    assert [name for name, c in products.items() if np.allclose(found, c, atol=1e-2)]


def data(program: PublishedProgram) -> Data:
    if "Rot3D" in program.what:
        return {"x": random(POINTS), "y": random(POINTS)}
    if "HeatMap" in program.what:
        return {"from": random(ROWS + 2, PITCH_BYTES // 4)}
    return {"a": random(MATRIX_ROWS, DEPTH), "b": random(DEPTH, COLUMNS)}


CHECKS = {"x": check_rotation, "from": check_heat, "a": check_product}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.what)
def test_a_kernel_does_what_the_original_does_as_often(program: PublishedProgram) -> None:
    before = data(program)
    run = launch(program.kernel(), program.profile, before)
    original = asdict(program.original)
    for name, count in asdict(run.counts).items():
        assert abs(count - original[name]) <= COUNT_TOLERANCE * original[name], name
    assert run.execution.stale_reads == 0
    CHECKS[next(iter(before))](before, run.data)


def test_the_originals_of_one_product_differ_in_what_their_versions_changed() -> None:
    by_name = {p.what: p.original for p in PROGRAMS}
    before, after = by_name["qmkl sgemm RNN before #40"], by_name["qmkl sgemm RNN after #40"]
    assert before.instructions - after.instructions == 12 * 24 * DEPTH * 32  # rotations of a depth
    assert before.tmu_requests == after.tmu_requests


def test_constants_that_were_fitted_on_a_time_are_of_its_boards_profile() -> None:
    assert {name for p in PROGRAMS for name in p.fitted if name not in p.profile.v3d} == set()


def test_tables_have_a_row_for_each_program_and_a_cell_for_each_count() -> None:
    comparisons = [ProgramComparison(p, 1.1 * p.time_s, p.original) for p in PROGRAMS]
    times, counts = times_table(comparisons).splitlines(), counts_table(comparisons).splitlines()
    assert len(times) == len(counts) == len(PROGRAMS) + 2
    for program, time_row, counts_row in zip(PROGRAMS, times[2:], counts[2:], strict=True):
        assert program.what in time_row and "| 1.10 | yes |" in time_row
        assert counts_row.count("|") == len(asdict(program.original)) + 3


def test_memory_is_allocated_as_the_originals_source_says() -> None:
    rows = times_table([ProgramComparison(p, p.time_s, p.original) for p in PROGRAMS]).splitlines()[2:]
    for program, row in zip(PROGRAMS, rows, strict=True):
        cached = "QPULib" in program.what
        assert program.profile.gpu_memory == ("cached" if cached else "direct")
        assert ("| cached: QPULib c2658a5, Lib/VideoCore/SharedArray.h:82, 105 |" in row) == cached


def test_memory_past_the_systems_l2_changes_no_published_programs_time() -> None:
    for program in (p for p in PROGRAMS if p.cached_by and "1 QPU" not in p.what):
        ways = [
            launch(program.kernel(), program.profile.with_gpu_memory(way)).execution for way in GPU_MEMORIES
        ]
        assert 0 < abs(ways[0].cycles - ways[1].cycles) < 1e-4 * ways[0].cycles


def test_a_variant_is_a_row_of_its_own() -> None:
    row = variants_table([ProgramComparison(PROGRAMS[0], 1.0, PROGRAMS[0].original, "slow")]).splitlines()[2]
    assert PROGRAMS[0].what in row and "| slow |" in row and "| NO |" in row


def test_variants_of_what_a_time_set_are_simulated_and_no_others() -> None:
    heat = [p for p in PROGRAMS if "lowest_qpu_first" in p.fitted]
    compared = compare_variants([*heat, *(p for p in PROGRAMS if not p.fitted)])
    assert [(c.program, c.variant) for c in compared] == [(p, "lowest-first") for p in heat]
    assert all(c.time_s > compare(c.program).time_s for c in compared)


def test_counts_that_differ_are_both_shown() -> None:
    program = PROGRAMS[0]
    counted = Counts(**{**asdict(program.original), "instructions": 5})
    assert f"5 / {program.original.instructions:,}" in counts_table([ProgramComparison(program, 1, counted)])


def test_a_section_that_is_too_long_is_refused() -> None:
    k = PacedAssembler()
    with pytest.raises(AssemblyError, match="has 1 too many"), k.section(1):
        k.mov(*2 * (k.register("value", "r"),))
        k.together()


def test_a_section_is_filled_and_its_end_stays_free() -> None:
    k = PacedAssembler()
    with k.section(5, at_end=2):
        k.together()
    assert k.issued == 3
