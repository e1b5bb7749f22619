"""Scheduled assembly of pointwise tiles and of Winograd's products: what it computes, followed symbol by symbol."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.engines.cpu.blocked.conv_source import scheduled_shape
from codegen.engines.cpu.blocked.conv_tiles import RegisterTiledConv
from codegen.engines.cpu.blocked.scheduled_tile import (
    CHANNELS,
    REGISTER_BYTES,
    TileShape,
    can_schedule,
    clobbers,
    tile_assembly,
)
from codegen.engines.cpu.machine import tile_registers
from codegen.engines.cpu.partial_sums import Parts
from codegen.expression import RELU, RESULT, Expression, apply, clamp
from codegen.operators.conv2d import Conv2d
from codegen.program import CpuProgram
from explorer.measure.jobs import JobBuilder
from explorer.search.roofline_ranking import ranked_candidates
from microbench.profile import load_profile
from microbench.registry import open_board
from tests.codegen.layers import convolution

SHAPES = [
    shape
    for pixels in range(1, 15)
    for blocks in range(1, 5)
    if can_schedule(shape := TileShape(pixels, blocks, REGISTER_BYTES, 3136))
]
ACCESS = re.compile(r"(ldr|str|prfm) (\w+), \[%\[(\w+)\], #(\d+)\]")
PRODUCT = re.compile(r"fmla v(\d+)\.4s, v(\d+)\.4s, v(\d+)\.s\[(\d)\]")
INSERTION = re.compile(r"ins v(\d+)\.d\[(\d)\], (\w+)")
COPY = re.compile(r"mov v(\d+)\.16b, v(\d+)\.16b")
ADVANCE = re.compile(r"add %\[(\w+)\], %\[\w+\], (.+)")
ZERO = re.compile(r"movi v(\d+)\.4s, #0")
COUNT = re.compile(r"(mov|subs?) %\[(\w+)\], (?:%\[\w+\], )?#(\d+)")
BRANCH = re.compile(r"(cbz|cbnz) %\[(\w+)\], (\d)[bf]")


def without_assembly(source: str) -> str:
    """As it is compiled where there are neither AArch64's instructions nor 32-bit NEON's."""
    return source.replace("__aarch64__", "EXPLORE_NEVER").replace("__ARM_NEON", "EXPLORE_NEVER")


class Machine:
    """Registers that hold names of what was loaded: halves of 128 bits by base and byte, sums as lists of products."""

    def __init__(self, shape: TileShape, parts: Parts) -> None:
        self.shape = shape
        self.bases = {"x": 0, "next": shape.step, "w": 0, "bias": 0, "sums": 0}
        first = parts.steps - 1 if parts.count == 1 else parts.span
        self.counters = {"steps": first, "parts": parts.count - 1}
        self.is_zero = False
        self.halves: dict[str, object] = {}
        self.sums: dict[int, list[object]] = {}
        self.stored: dict[int, list[object]] = {}

    def run(self, lines: list[str]) -> None:
        labels = {line[:-1]: number for number, line in enumerate(lines) if line.endswith(":")}
        place = 0
        while place < len(lines):
            line = lines[place]
            place += 1
            if found := COUNT.fullmatch(line):
                before = 0 if found[1] == "mov" else self.counters[found[2]]
                self.counters[found[2]] = abs(before - int(found[3]))
                self.is_zero = self.counters[found[2]] == 0
            elif found := BRANCH.fullmatch(line):
                if (self.counters[found[2]] == 0) == (found[1] == "cbz"):
                    place = labels[found[3]]
            elif line == "b.ne 1b":
                place = place if self.is_zero else labels["1"]
            elif not line.endswith(":") and not line.startswith(("prfm", "nop")):
                self.execute(line)

    def execute(self, line: str) -> None:
        if found := ACCESS.fullmatch(line):
            self.access(*found.groups())
        elif found := PRODUCT.fullmatch(line):
            total, weight, source, channel = map(int, found.groups())
            operands = tuple(self.halves[f"{half}{number}"] for number in (weight, source) for half in "dh")
            self.sums[total].append((operands, channel))
        elif found := INSERTION.fullmatch(line):
            self.halves[f"{'dh'[int(found[2])]}{found[1]}"] = self.halves[found[3]]
        elif found := ZERO.fullmatch(line):
            self.sums[int(found[1])] = []
        elif found := COPY.fullmatch(line):
            self.sums[int(found[1])] = list(self.sums[int(found[2])])
        elif found := ADVANCE.fullmatch(line):
            self.bases[found[1]] += self.shape.step if found[2] == "%[step]" else int(found[2][1:])
        else:
            raise AssertionError(f"unknown instruction {line!r}")

    def access(self, name: str, register: str, base: str, offset: str) -> None:
        address = self.bases[base] + int(offset)
        origin = "x" if base == "next" else base
        if name == "str":
            self.stored[address] = self.sums[int(register[1:])]
        elif base == "bias":
            self.sums[int(register[1:])] = [("bias", address)]
        elif register[0] == "q":
            self.halves[f"d{register[1:]}"] = (origin, address)
            self.halves[f"h{register[1:]}"] = (origin, address + 8)
        else:
            self.halves[register] = (origin, address)
            if register[0] == "d":
                self.halves.pop(f"h{register[1:]}", None)  # it is zero until the insertion


def expected(shape: TileShape, pixel: int, block: int, steps: range) -> Iterator[object]:
    """The terms of a sum of some steps in order."""
    if steps.start == 0:
        yield ("bias", block * REGISTER_BYTES)
    for step in steps:
        x = step * shape.step + pixel * shape.stride
        for channel in range(CHANNELS):
            w = ((step * CHANNELS + channel) * shape.blocks + block) * REGISTER_BYTES
            yield ((("w", w), ("w", w + 8), ("x", x), ("x", x + 8)), channel)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.pixels}x{shape.blocks}")
@pytest.mark.parametrize(
    "parts",
    [Parts(1, 1), Parts(2, 2), Parts(5, 5), Parts(4, 2), Parts(7, 3), Parts(6, 3), Parts(5, 1)],
    ids=lambda parts: f"{parts.steps} by {parts.span}",
)
def test_every_sum_gets_its_products_in_order(shape: TileShape, parts: Parts) -> None:
    machine = Machine(shape, parts)
    machine.run(tile_assembly(shape, parts))
    totals = shape.pixels * shape.blocks
    assert len(machine.stored) == totals * parts.count
    for pixel in range(shape.pixels):
        for block in range(shape.blocks):
            for part in range(parts.count):
                place = (part * totals + shape.total(pixel, block)) * REGISTER_BYTES
                steps = range(parts.steps)[part * parts.span : (part + 1) * parts.span]
                assert machine.stored[place] == list(expected(shape, pixel, block, steps))


def test_widest_tiles_of_the_search_are_scheduled() -> None:
    registers = tile_registers(load_profile("pi-3-64").target(), CHANNELS)
    for blocks in range(1, 5):
        shape = TileShape(registers.pointwise_pixels(blocks), blocks, REGISTER_BYTES, 3136)
        assert can_schedule(shape)
        assert {
            line.split()[1].strip(",")
            for line in tile_assembly(shape, Parts(8, 8))
            if line.startswith("ldr x")
        } <= {*clobbers()}


def test_small_tiles_are_left_to_the_compiler() -> None:
    assert not can_schedule(TileShape(1, 1, REGISTER_BYTES, 64))
    assert not can_schedule(TileShape(8, 2, 1024, 64))


@pytest.mark.needs("instruction counting")
@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "epilogue"),
    [
        (16, 40, 9, RESULT),
        (4, 8, 5, RELU),
        (32, 12, 7, clamp(RESULT, -0.5, 1.25)),
        (16, 16, 6, apply("neg", RESULT)),
        (1000, 24, 3, RELU),
    ],
)
def test_assembly_and_c_give_equal_bits(inputs: int, outputs: int, size: int, epilogue: Expression) -> None:
    op = Conv2d((1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1, epilogue=epilogue)
    spec, algorithm = convolution(inputs, outputs, (size, size), op), algorithms()["cpu_blocked_conv"]
    assert isinstance(algorithm, RegisterTiledConv)
    with open_board("pi-3-64") as board:
        jobs = JobBuilder(board.target, 0, algorithms())
        for candidate, _ in ranked_candidates(algorithm, spec, board.profile, threads=1)[:4]:
            job = jobs.job(candidate)
            program, choice = job.program, candidate.choice
            assert isinstance(program, CpuProgram)
            code = algorithm.code(spec, {**choice.splits, **choice.tiles}, program.entry)
            assert scheduled_shape(replace(code, by_element=True), code.pixels, code.blocks) is not None
            assert "fmla" in program.source
            in_c = replace(program, source=without_assembly(program.source))
            outputs_of = [board.measure(replace(job, program=one)).output for one in (program, in_c)]
            assert outputs_of[0] is not None and outputs_of[1] is not None
            np.testing.assert_array_equal(outputs_of[0], outputs_of[1])


@pytest.mark.needs("instruction counting")
@pytest.mark.parametrize(("inputs", "outputs", "size"), [(8, 24, 18), (36, 12, 13)])
def test_winograd_products_in_assembly_and_in_c_give_equal_bits(inputs: int, outputs: int, size: int) -> None:
    op = Conv2d((3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1)
    spec, algorithm = convolution(inputs, outputs, (size, size), op), algorithms()["cpu_blocked_winograd"]
    with open_board("pi-3-64") as board:
        jobs = JobBuilder(board.target, 0, algorithms())
        for candidate, _ in ranked_candidates(algorithm, spec, board.profile, threads=1)[:3]:
            job = jobs.job(candidate)
            program = job.program
            assert isinstance(program, CpuProgram)
            assert "fmla" in program.source
            in_c = replace(program, source=without_assembly(program.source))
            outputs_of = [board.measure(replace(job, program=one)).output for one in (program, in_c)]
            assert outputs_of[0] is not None and outputs_of[1] is not None
            np.testing.assert_array_equal(outputs_of[0], outputs_of[1])
