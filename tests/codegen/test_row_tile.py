"""Scheduled assembly of convolutions with several taps: registers hold what products read, and C agrees."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.engines.cpu.blocked.cyclic_schedule import Operation, Value, schedule
from codegen.engines.cpu.blocked.row_tile import RowShape, row_assembly
from codegen.operators.conv2d import Conv2d
from codegen.program import CpuProgram
from explorer.measure.jobs import JobBuilder
from explorer.search.roofline_ranking import ranked_candidates
from microbench.registry import open_board
from tests.codegen.layers import convolution
from tests.codegen.test_scheduled_tile import without_assembly

LOAD = re.compile(r"ldr ([qdx])(\d+), \[(\w+), #(\d+)\]")
INSERTION = re.compile(r"ins v(\d+)\.d\[(\d)\], x(\d+)")
USE = re.compile(r"use v(\d+), v(\d+)")
READS = [(i // 8, 6 + i // 2) for i in range(48)]
VALUES = [Value("now", 16 * i, "next", 16 * i) for i in range(30)]


class Registers:
    """What was loaded of which iteration, halves apart."""

    def __init__(self) -> None:
        self.halves: dict[str, tuple[int, int]] = {}
        self.read: list[tuple[tuple[int, int], ...]] = []

    def run(self, lines: tuple[str, ...], iteration: int) -> None:
        for line in lines:
            if found := LOAD.fullmatch(line):
                kind, number, base, offset = found.groups()
                value = (iteration + (base == "next"), int(offset))
                self.halves[f"{'x' if kind == 'x' else 'v'}{number}"] = value
                self.halves.pop(f"h{number}" if kind == "d" else "", None)
                if kind == "q":
                    self.halves[f"h{number}"] = (value[0], value[1] + 8)
            elif found := INSERTION.fullmatch(line):
                self.halves[f"{'vh'[int(found[2])]}{found[1]}"] = self.halves[f"x{found[3]}"]
            elif found := USE.fullmatch(line):
                self.read.append(
                    tuple(self.halves[f"{half}{number}"] for number in found.groups() for half in "vh")
                )


@pytest.mark.parametrize("registers", [14, 18, 24, 30])
def test_registers_hold_what_operations_read(registers: int) -> None:
    operations = [Operation("use v{0}, v{1}", reads) for reads in READS]
    found = schedule(operations, VALUES, range(registers), ["prfm"], ["move"])
    assert found is not None
    machine = Registers()
    machine.run(found.before, 0)
    for iteration in range(3):
        machine.run(found.body, iteration)
    machine.run(found.last, 3)
    assert machine.read == [
        tuple((iteration, 16 * value + half) for value in reads for half in (0, 8))
        for iteration in range(4)
        for reads in READS
    ]
    assert "next" not in " ".join(found.last)
    assert found.body.count("move") == 1


def test_too_few_registers_are_refused() -> None:
    operations = [Operation("use v{0}, v{1}", reads) for reads in READS]
    assert schedule(operations, VALUES, range(4), [], []) is None
    assert row_assembly(RowShape(((0, 3),) * 16, 2, 1, 1, 16, 3)) is None


@pytest.mark.needs("instruction counting")
@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "kernel", "stride", "bits"),
    [(3, 16, 33, 3, 2, True), (3, 8, 21, 7, 2, True), (8, 16, 15, 3, 1, False), (40, 8, 9, 3, 2, False)],
)
def test_assembly_and_c_agree(
    inputs: int, outputs: int, size: int, kernel: int, stride: int, bits: bool
) -> None:
    pad = kernel // 2
    op = Conv2d((kernel, kernel), (stride, stride), (pad, pad, pad, pad), (1, 1), 1)
    spec, algorithm = convolution(inputs, outputs, (size, size), op), algorithms()["cpu_blocked_conv"]
    scheduled = 0
    with open_board("pi-3-64") as board:
        jobs = JobBuilder(board.target, 0, algorithms())
        for candidate, _ in ranked_candidates(algorithm, spec, board.profile, threads=1)[:6]:
            job = jobs.job(candidate)
            program = job.program
            assert isinstance(program, CpuProgram)
            if "fmla" not in program.source:
                continue
            scheduled += 1
            in_c = replace(program, source=without_assembly(program.source))
            outputs_of = [board.measure(replace(job, program=one)).output for one in (program, in_c)]
            assert outputs_of[0] is not None and outputs_of[1] is not None
            if bits:
                np.testing.assert_array_equal(outputs_of[0], outputs_of[1])
            else:  # the taps of a row are added in another order
                np.testing.assert_allclose(outputs_of[0], outputs_of[1], rtol=1e-5, atol=1e-4)
    assert scheduled
