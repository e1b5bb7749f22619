"""Assembly of grouped products of integers: its registers, and what of weights lets four products share 16 bits."""

from __future__ import annotations

import re

import numpy as np
import pytest

from codegen.engines.cpu.int8.grouped_tile import (
    BY_ELEMENT,
    MOST_MAGNITUDE,
    REGISTERS,
    GroupedShape,
    flags_of,
    grouped_assembly,
    most_pixels,
    packed_quads,
)

SHAPES = [
    shape
    for pixels in range(1, 12)
    for blocks in range(1, 5)
    for stride in (4, 8)
    if (shape := GroupedShape(pixels, blocks, stride, is_unsigned=True)).fits
]


def test_what_fits_no_flag_fits_sixteen_bits() -> None:
    """Of any inputs."""
    limits = np.iinfo(np.int16)
    assert limits.max >= MOST_MAGNITUDE * 128 and limits.min <= -(MOST_MAGNITUDE * 128)
    assert limits.max >= 2 * 127 * 128


def test_flags_are_of_quads_in_which_any_output_has_large_weights() -> None:
    tile = np.zeros((3, 2, 4, 4), dtype=np.int8)
    tile[0, 1, 2] = [127, -127, 1, 0]
    tile[1, 0, 3] = [127, -127, 1, 1]
    assert flags_of(tile).tolist() == [0, 1, 0]


def test_weights_lie_by_channels_of_pairs_of_blocks() -> None:
    tile = np.arange(-48, 48, dtype=np.int8).reshape(2, 3, 4, 4)
    packed = packed_quads(tile).view("<i2").reshape(2, 4, 2, 8)
    assert np.array_equal(packed[1, 2, 0, 4:], tile[1, 1, :, 2])
    assert np.array_equal(packed[0, 3, 1], [*tile[0, 2, :, 3], 0, 0, 0, 0])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_registers_are_there_and_have_one_role(shape: GroupedShape) -> None:
    text = "\n".join(grouped_assembly(shape))
    assert {int(number) for number in re.findall(r"v(\d+)\.h\[", text)} <= set(range(BY_ELEMENT))
    assert max(int(number) for number in re.findall(r"\bv(\d+)\.", text)) < REGISTERS
    roles = [
        *range(shape.inputs),
        shape.shift,
        *(shape.weight(channel, pair) for channel in range(4) for pair in range(shape.pairs)),
        *(shape.product(place) for place in range(4)),
        *(shape.total(pixel, block) for pixel in range(shape.pixels) for block in range(2 * shape.pairs)),
    ]
    assert sorted(roles) == list(range(shape.registers))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_half_of_a_register_comes_from_the_address_of_its_weights(shape: GroupedShape) -> None:
    """As instructions are executed in their order."""
    held: dict[str, int] = {}
    loaded: dict[int, set[int]] = {}
    for line in grouped_assembly(shape):
        if found := re.fullmatch(r"ldr ([xdq])(\d+), \[%\[w\], #(\d+)\]", line):
            kind, number, offset = found[1], int(found[2]), int(found[3])
            if kind == "x":
                held[f"x{number}"] = offset
            else:
                loaded[number] = {offset, offset + 8} if kind == "q" else {offset}
        elif found := re.fullmatch(r"ins v(\d+)\.d\[1\], (x\d+)", line):
            loaded[int(found[1])].add(held.pop(found[2]))
        elif line == "cbnz %[steps], 1b":
            places = [(channel, pair) for channel in range(4) for pair in range(shape.pairs)]
            expected = {
                shape.weight(channel, pair): 16 * (channel * shape.pairs + pair) for channel, pair in places
            }
            assert loaded == {register: {first, first + 8} for register, first in expected.items()}
            assert not held
            loaded = {}


def test_widest_tiles_are_whole_rounds() -> None:
    assert [most_pixels(blocks, 4) for blocks in (1, 2, 3, 4)] == [8, 8, 4, 4]
