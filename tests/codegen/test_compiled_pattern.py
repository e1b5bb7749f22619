from __future__ import annotations

import re

import numpy as np
import pytest

from codegen.engines.cpu.sparse.compiled_source import (
    GROUP,
    LANES,
    REACH,
    CompiledPattern,
    Stored,
    compiled_pattern,
    group_count,
)
from codegen.engines.cpu.sparse.flat_planes import FlatPlanes
from codegen.expression import RELU, RESULT, Expression, apply, as_clamp, clamp
from codegen.operators.conv2d import Conv2d
from codegen.windows import Windows
from tests.codegen.layers import convolution

PLANE = 40


def executed(compiled: CompiledPattern, operands: np.ndarray, outputs: int, bits: int) -> np.ndarray:
    """What the functions store of planes, or of sums where they store none, by an interpreter of their instructions;
    one after another.
    """
    registers, planes = np.zeros((32, LANES), np.float32), np.full((outputs, PLANE), np.nan, np.float32)
    sums, kept = np.zeros((GROUP, LANES), np.float32), np.zeros((0, LANES), np.float32)
    blocks = int(re.findall(r"g \* (\d+) \+ b", compiled.text)[0])
    bounds = [int(one) for one in re.findall(r"bounds\[\] = {(.*)}", compiled.text)[0].split(",")]
    starts = [int(one) for one in re.findall(r"_code\d+, (\d+)}", compiled.text)]
    masks = {"k1": bits & 0xFFFF, "k2": bits >> 16}
    at, number = 0, 0
    body = compiled.text[compiled.text.index(".endm", compiled.text.index("macro operand")) :]
    for line in re.findall(r'"(.+)\\n"', body[: body.index(".purgem")]):
        if line.endswith(":"):
            number = int(re.findall(r"_code(\d+):", line)[0])
            at = starts[number]
        elif found := re.match(r"add \$(\d+),%rsi", line):
            at += int(found[1]) // 4
        elif found := re.match(r"vbroadcastss (-?\d+)\(%rsi\),%zmm(\d+)", line):
            registers[int(found[2])] = compiled.stream[at + int(found[1]) // 4]
        elif found := re.match(r"operand (\d+),(\d+)", line):
            registers[int(found[2])] = operands[int(found[1]) // (4 * LANES)]
        elif found := re.match(r"madd (-?\d+),(\d+),(\d+)", line):
            displacement, source, target = map(int, found.groups())
            assert -4 * REACH <= displacement < 4 * REACH and source >= GROUP > target
            registers[target] += compiled.stream[at + displacement // 4] * registers[source]
        elif found := re.match(r"v(max|min)ps %zmm(\d+),%zmm(\d+),%zmm(\d+)", line):
            choose = np.maximum if found[1] == "max" else np.minimum
            registers[int(found[4])] = choose(registers[int(found[2])], registers[int(found[3])])
        elif found := re.match(r"vcompressps %zmm(\d+),%zmm(\d+){%k2}{z}", line):
            chosen = registers[int(found[1]), [bool(masks["k2"] >> lane & 1) for lane in range(LANES)]]
            registers[int(found[2])] = np.pad(chosen, (0, LANES - chosen.size))
        elif found := re.match(r"vmovups %zmm(\d+),(\d+)\(%r8\)", line):
            assert int(found[2]) == int(found[1]) * 4 * LANES
            sums[int(found[1])] = registers[int(found[1])]
        elif found := re.match(r"vmovups (\d+)\(%r8\),%zmm(\d+)", line):
            registers[int(found[2])] = sums[int(found[1]) // (4 * LANES)]
        elif found := re.match(r"vmovups %zmm(\d+),(\d+)\(%rdx\){%k1}", line):
            place, width = int(found[2]) // 4, masks["k1"].bit_count()
            assert place == int(found[1]) * PLANE
            planes[bounds[number // blocks] + int(found[1]), :width] = registers[int(found[1]), :width]
        elif line == "ret" and number % blocks == blocks - 1:
            kept = np.concatenate([kept, sums[: np.diff(bounds)[number // blocks]]])
        else:
            fixed = ("vzeroupper", "ret", ".p2align 6", "kmovw %ecx,%k1", "shr $16,%ecx", "kmovw %ecx,%k2")
            assert line in fixed, line
    return planes if "(%rdx)" in body else kept


@pytest.mark.parametrize(("outputs", "depth"), [(1, 1), (28, 40), (29, 7), (64, 300)])
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("epilogue", [RESULT, RELU, clamp(RESULT, -0.5, 1.25), apply("tanh", RESULT)])
def test_instructions_compute_the_product(
    outputs: int, depth: int, density: float, epilogue: Expression
) -> None:
    random = np.random.default_rng(outputs)
    matrix = random.standard_normal((outputs, depth), dtype=np.float32)
    matrix[random.random(matrix.shape) >= density] = 0
    bias, operands = (random.standard_normal(shape, dtype=np.float32) for shape in (outputs, (depth, LANES)))
    places = [4 * LANES * operand for operand in range(depth)]
    expected = matrix.astype(np.float64) @ operands + bias[:, None]
    for block in (depth, -(-depth // 3)):
        stored = Stored(PLANE, epilogue)
        compiled = compiled_pattern("kernel", matrix, bias, places, block, stored)
        limits = group_count(outputs) * len(stored.clamps)
        assert compiled.groups == group_count(outputs)
        assert compiled.stream.size == outputs + np.count_nonzero(matrix) + limits
        found = executed(compiled, operands, outputs, 0x7F)
        if stored.is_clamped:
            _, low, high = as_clamp(epilogue)
            low, high = -np.inf if low is None else low, np.inf if high is None else high
            assert np.isnan(found[:, 7:]).all()
            assert np.abs(found[:, :7] - np.clip(expected, low, high)[:, :7]).max() < 1e-4
        else:
            assert np.abs(found - expected).max() < 1e-4


def test_results_of_a_vector_with_gaps_are_stored_without_them() -> None:
    random = np.random.default_rng(0)
    matrix, operands = random.standard_normal((30, 5)), random.standard_normal((5, LANES))
    places = [4 * LANES * operand for operand in range(5)]
    stored = Stored(PLANE, RESULT, gaps=True)
    compiled = compiled_pattern(
        "kernel", matrix.astype(np.float32), np.zeros(30, np.float32), places, 5, stored
    )
    bits, lanes = 0b0110111100001101, [0, 2, 3, 8, 9, 10, 11, 13, 14]
    found = executed(compiled, operands.astype(np.float32), 30, bits << 16 | 0x1FF)
    assert np.abs(found[:, :9] - (matrix @ operands)[:, lanes]).max() < 1e-4
    assert np.isnan(found[:, 9:]).all()


@pytest.mark.parametrize("band", [1, 2, 5])
@pytest.mark.parametrize(
    "op",
    [
        Conv2d((3, 3), (1, 1), (1, 1, 1, 1)),
        Conv2d((3, 3), (2, 2), (0, 0, 1, 1)),
        Conv2d((5, 2), (2, 1), (3, 0, 1, 2), (1, 3)),
        Conv2d((1, 1), (2, 3)),
    ],
    ids=["same", "strided", "dilated", "pointwise"],
)
def test_taps_of_a_band_read_what_windows_say(op: Conv2d, band: int) -> None:
    """Whatever taps read the same place, it is the same input, or beside the row of one."""
    spec = convolution(2, 3, (9, 17), op)
    windows = Windows.of(spec)
    planes = FlatPlanes(windows, 2, band)
    width, height = windows.columns.outputs, windows.rows.outputs
    owners: dict[int, tuple[int, int, int]] = {}
    for channel in range(2):
        for y in range(min(band, height)):
            for x in range(width):
                for tap in range(windows.rows.taps * windows.columns.taps):
                    ky, kx = divmod(tap, windows.columns.taps)
                    row = y * windows.rows.stride + ky * windows.rows.dilation
                    column = x * windows.columns.stride + kx * windows.columns.dilation - windows.columns.pad
                    inside = 0 <= column < windows.columns.inputs
                    owner = (channel, row, column) if inside else (-1, -1, -1)
                    taps = windows.rows.taps * windows.columns.taps
                    place = planes.places[channel * taps + tap] // 4 + y * planes.pitch + x
                    assert 0 <= place < planes.elements
                    assert owners.setdefault(place, owner) == owner
    stored = [bits.bit_count() for _, bits in planes.spots]
    firsts = [first for first, _ in planes.spots]
    assert all(
        first + count == after for first, count, after in zip(firsts, stored, firsts[1:], strict=False)
    )
