"""Where vectors of every width lie in the VPM, as the guide's figures 8 and 9 draw them."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.engines.videocore4.isa import Alu
from microbench.profile import load_profile
from microbench.virtual import VirtualV3D
from tests.microbench.qpu_programs import (
    ADDRESS_OF_DATA,
    ELEMENT,
    R0,
    R1,
    R2,
    R3,
    VPM,
    WAIT,
    A,
    B,
    add,
    load,
    load_b,
    mul,
    results,
    run,
    small,
    store_setup,
    vpm_block,
    vpm_block_read,
)

ROWS = 16
WIDTHS = {0: np.uint8, 1: np.uint16, 2: np.uint32}
# Size, laned, horizontal, first row or column, which part of the words: figure 8 (a) to (e), figure 9 (a) to (e).
FIGURES = [
    (0, 0, True, 0, 2), (0, 1, True, 1, 1), (1, 1, True, 2, 0), (1, 0, True, 3, 1), (2, 0, True, 13, 0),
    (0, 0, False, 0, 1), (0, 1, False, 1, 2), (1, 1, False, 2, 0), (1, 0, False, 15, 1), (2, 0, False, 1, 0),
]  # fmt: skip


def expected_image(size: int, laned: int, horizontal: bool, line: int, part: int) -> np.ndarray:
    """Words of 16 rows that hold lane numbers 1 to 16 in one vector and 0 elsewhere."""
    lanes = np.arange(1, 17, dtype=WIDTHS[size])
    parts = 4 // lanes.itemsize
    words = np.zeros((16, parts), WIDTHS[size])
    if laned:
        words[:, part] = lanes
    else:
        words.reshape(-1)[16 * part : 16 * part + 16] = lanes
    image = np.zeros((ROWS, 16), np.uint32)
    image[line] = words.view(np.uint32).ravel()
    return image if horizontal else image.T


def written(setups: list[int]) -> np.ndarray:
    """16 rows after lane numbers were written once under each setup."""
    clear = [load("r1", 0), load_b("vpm_setup", vpm_block(0)), *[add("or", "vpm", R1, R1)] * ROWS]
    lanes = [add("or", "r0", A, A, raddr_a=ELEMENT), add("add", "r0", R0, B, **small(1))]
    writes = [i for setup in setups for i in (load_b("vpm_setup", setup), add("or", "vpm", R0, R0))]
    store = [
        load_b("vpm_setup", store_setup(ROWS, 16)),
        load_b("vpm_setup", 3 << 30),
        *ADDRESS_OF_DATA,
        mul("v8min", "dma_address", R3, R3),
        Alu(raddr_b=WAIT),
    ]
    return run([*clear, *lanes, *writes, *store], uniforms=[-1]).data[: 16 * ROWS].reshape(ROWS, 16)


@pytest.mark.parametrize(("size", "laned", "horizontal", "line", "part"), FIGURES)
def test_vectors_lie_as_in_the_guide_s_figures(
    size: int, laned: int, horizontal: bool, line: int, part: int
) -> None:
    address = line * (4 >> size) + part
    setup = vpm_block(address, size=size, laned=laned, horizontal=horizontal)
    assert written([setup]).tolist() == expected_image(size, laned, horizontal, line, part).tolist()


def test_the_stride_moves_by_parts_of_words() -> None:
    """Byte vectors with a stride of 5: from row 0, part 0 to row 1, part 1, laned."""
    first, second = (expected_image(0, 1, True, row, row) for row in range(2))
    code = [
        add("or", "r0", A, A, raddr_a=ELEMENT), add("add", "r0", R0, B, **small(1)), load("r1", 0),
        load_b("vpm_setup", vpm_block(0)), add("or", "vpm", R1, R1), add("or", "vpm", R1, R1),
        load_b("vpm_setup", vpm_block(0, stride=5, size=0, laned=1)), add("or", "vpm", R0, R0),
        add("or", "vpm", R0, R0), load("vpm_setup", vpm_block_read(0, 2)),
        add("or", "r1", A, A, raddr_a=VPM), add("or", "r2", A, A, raddr_a=VPM),
    ]  # fmt: skip
    assert results(code, [R1, R2]).tolist() == [first[0].tolist(), second[1].tolist()]


def test_the_rounding_of_fmul_is_the_profile_s() -> None:
    """(1 + e)(1.5 + e) is 1.5 + 2.5 e and a little, where floats are e apart."""
    code = [load("r0", 0x3F800001), load("r1", 0x3FC00001), mul("fmul", "r1", R0, R1)]
    exact = float(np.uint32(0x3F800001).view(np.float32)) * float(np.uint32(0x3FC00001).view(np.float32))
    words = {}
    for nearest in (0, 1):
        with VirtualV3D(load_profile("pi-zero").with_v3d(fmul_rounds_to_nearest=nearest)) as gpu:
            words[nearest] = int(results(code, [R1], gpu=gpu)[0][0])
    assert words[1] == int(np.float32(exact).view(np.uint32))
    assert words[0] == words[1] - 1
