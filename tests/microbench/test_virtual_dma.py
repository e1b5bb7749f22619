"""DMA loads and stores in every mode: widths, parts of words, pitches, columns, blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from codegen.engines.videocore4.isa import Alu, Instruction
from microbench.errors import HazardError
from microbench.profile import load_profile
from tests.microbench.qpu_programs import (
    ADDRESS_OF_DATA,
    ELEMENT,
    LOOP_INSTRUCTIONS,
    R0,
    R1,
    R3,
    VPM,
    WAIT,
    A,
    B,
    Words,
    add,
    load,
    load_b,
    looped,
    mul,
    results,
    run,
    small,
    vpm_block,
    vpm_block_read,
)

ROWS = 16
PROFILE = load_profile("pi-zero")
SOURCE = np.arange(4096, dtype=np.uint32).astype(np.uint8)  # bytes in memory: 0, 1, ... 255, 0, ...


def vdr(*, mode: int, rows: int, units: int, vpitch: int, x: int = 0, y: int = 0, vertical: bool = False,
        mpitch: int = 0) -> int:  # fmt: skip
    return (
        1 << 31 | mode << 28 | mpitch << 24 | (units & 15) << 20 | (rows & 15) << 16 | (vpitch & 15) << 12
        | int(vertical) << 11 | y << 4 | x
    )  # fmt: skip


def vdw(*, mode: int, rows: int, units: int, x: int = 0, y: int = 0, vertical: bool = False) -> int:
    return (
        2 << 30 | (rows & 127) << 23 | (units & 127) << 16 | int(not vertical) << 14 | y << 7 | x << 3 | mode
    )


def clear_rows(rows: int) -> list[Instruction]:
    return [load("r1", 0), load_b("vpm_setup", vpm_block(0)), *[add("or", "vpm", R1, R1)] * rows]


def loaded(setup: int, pitch: int) -> Words:
    """VPM rows 0 to 3, cleared before, after one DMA load from the data."""
    code = [
        *clear_rows(4),
        load("vpm_setup", setup),
        load("vpm_setup", 9 << 28 | pitch),
        *ADDRESS_OF_DATA,
        add("or", "dma_address", R3, R3),
        Alu(raddr_a=WAIT),
        load("vpm_setup", vpm_block_read(0, 4)),
        *[add("or", f"r{row}", A, A, raddr_a=VPM) for row in range(3)],
        add("or", "r3", A, A, raddr_a=VPM),
    ]
    rows = results([*code, add("or", 5, R3, R3)], [R0, R1, 2], uniforms=[-1], data=SOURCE.view(np.uint32))
    last = results([*code, add("or", "r0", R3, R3)], [R0], uniforms=[-1], data=SOURCE.view(np.uint32))
    return np.concatenate([rows, last])


def as_bytes(rows: Words) -> np.ndarray:
    return np.ascontiguousarray(rows).view(np.uint8).reshape(-1, 64)


def test_a_byte_load_packs_units_from_a_part_of_the_first_word() -> None:
    got = as_bytes(loaded(vdr(mode=4 + 2, rows=2, units=7, vpitch=4, x=3, y=1), pitch=100))
    expected = np.zeros((4, 64), np.uint8)
    for row in range(2):
        first = 4 * 3 + 2
        expected[1 + row, first : first + 7] = SOURCE[100 * row : 100 * row + 7]
    assert got.tolist() == expected.tolist()


def test_the_row_pitch_of_a_byte_load_counts_parts_of_words() -> None:
    """VPITCH 5 moves one row down and one byte on."""
    got = as_bytes(loaded(vdr(mode=4, rows=3, units=4, vpitch=5), pitch=64))
    for row in range(3):
        assert got[row, row : row + 4].tolist() == SOURCE[64 * row : 64 * row + 4].tolist()
        assert np.count_nonzero(got[row]) <= 4


def test_rows_of_a_vertical_load_follow_each_other_down_one_column() -> None:
    """Guide table 36: VPITCH is added to Y in both modes; py-videocore's vertical load of 4 rows with VPITCH 16 to a
    column of 64 words comes out so on silicon, and QPULib's of 16 rows of one word.
    """
    words = loaded(vdr(mode=0, rows=3, units=1, vpitch=1, x=9, vertical=True), pitch=64)
    assert words[:3, 9].tolist() == SOURCE.view(np.uint32)[:48:16].tolist()
    assert np.count_nonzero(words) == 3


def test_a_half_word_load_into_a_column() -> None:
    """VPITCH is added to {Y, half-word}: 3 moves one row down and one half-word on."""
    got = loaded(vdr(mode=2, rows=2, units=2, vpitch=3, x=5, vertical=True), pitch=32)
    halves = SOURCE.view(np.uint16)
    column = np.ascontiguousarray(got[:, 5]).view(np.uint16)
    assert column.tolist() == [*halves[:2], 0, *halves[16:18], 0, 0, 0]
    assert np.count_nonzero(got) == 3


@pytest.mark.parametrize("mpitch", [1, 4])
def test_memory_pitches_are_powers_of_two(mpitch: int) -> None:
    got = as_bytes(loaded(vdr(mode=0, rows=3, units=2, vpitch=1, mpitch=mpitch), pitch=777))
    for row in range(3):
        at = (8 << mpitch) * row
        assert got[row, :8].tolist() == SOURCE[at : at + 8].tolist()


def stored(setup: int, stride: int = 0, block: bool = False, n_bytes: int = 256) -> np.ndarray:
    """Bytes in memory after one DMA store from VPM rows whose words count up from 0x100, row after row."""
    fill = [
        add("or", "r0", A, A, raddr_a=ELEMENT),
        load("r1", 0x01010100),
        add("add", "r0", R0, R1),
        load_b("vpm_setup", vpm_block(0)),
        load("r1", 16),
        *[i for _ in range(ROWS) for i in (add("or", "vpm", R0, R0), add("add", "r0", R0, R1))],
    ]
    store = [
        load_b("vpm_setup", setup),
        load_b("vpm_setup", 3 << 30 | int(block) << 16 | stride),
        *ADDRESS_OF_DATA,
        mul("v8min", "dma_address", R3, R3),
        Alu(raddr_b=WAIT),
    ]
    done = run([*fill, *store], uniforms=[-1], data=np.zeros(4096, np.uint32))
    return done.data.view(np.uint8)[:n_bytes]


IMAGE = (np.arange(16 * ROWS, dtype=np.uint32) + 0x01010100).reshape(ROWS, 16)  # what the VPM holds then


@pytest.mark.parametrize(("mode", "width", "part"), [(4, 1, 0), (7, 1, 3), (2, 2, 0), (3, 2, 1), (0, 4, 0)])
def test_stores_of_every_width(mode: int, width: int, part: int) -> None:
    units, stride = 10, 6 * width
    got = stored(vdw(mode=mode, rows=3, units=units, x=2, y=4), stride)
    row_bytes = units * width
    for row in range(3):
        source = IMAGE[4 + row].view(np.uint8)[4 * 2 + part * width :][:row_bytes]
        at = row * (row_bytes + stride)
        assert got[at : at + row_bytes].tolist() == source.tolist()
        assert not got[at + row_bytes : at + row_bytes + stride].any()


def test_rows_in_block_mode_lie_in_vpm_rows_of_their_own() -> None:
    """Unlike guide table 35: VC4C always sets the bit, and QPULib stores 16 rows of one word so."""
    got = stored(vdw(mode=0, rows=3, units=6, y=1), block=True)
    assert got[: 3 * 24].tolist() == np.ascontiguousarray(IMAGE[1:4, :6]).reshape(-1).view(np.uint8).tolist()


def test_columns_in_block_mode_lie_beside_each_other() -> None:
    got = stored(vdw(mode=0, rows=2, units=5, x=7, y=2, vertical=True), block=True)
    assert got[:40].tolist() == np.ascontiguousarray(IMAGE[2:7, 7:9].T).reshape(-1).view(np.uint8).tolist()


def test_vertical_stores_take_a_column_for_each_row() -> None:
    got = stored(vdw(mode=2, rows=3, units=8, x=4, vertical=True), stride=16)
    for row in range(3):
        column = np.ascontiguousarray(IMAGE[:4, 4 + row]).view(np.uint8)
        assert got[32 * row : 32 * row + 16].tolist() == column.tolist()


def test_a_row_longer_than_the_vpm_s_goes_on_in_the_next() -> None:
    got = stored(vdw(mode=0, rows=1, units=40, y=3))
    assert got[:160].tolist() == IMAGE[3:6].reshape(-1)[:40].view(np.uint8).tolist()


@pytest.mark.parametrize(("setup", "engine"), [
    (lambda rows, units: (load_b, vdw(mode=0, rows=rows, units=units), 3 << 30), "vdw"),
    (lambda rows, units: (load, vdr(mode=0, rows=rows, units=units, vpitch=1), 9 << 28 | 256), "vdr"),
])  # fmt: skip
def test_a_transfer_takes_its_set_up_its_rows_and_their_bytes(
    setup: Callable[[int, int], tuple[Callable[[str, int], Instruction], int, int]], engine: str
) -> None:
    value = PROFILE.v3d_value
    costs = [value(f"{engine}_{part}_cycles") for part in ("row", "byte")]
    setup_cycles = value(f"{engine}_setup_s") * value("clock_hz")

    def cycles(rows: int, units: int) -> float:
        write, shape, pitch = setup(rows, units)
        start = (add if engine == "vdr" else mul)("or" if engine == "vdr" else "v8min", "dma_address", R3, R3)
        wait = Alu(raddr_a=WAIT) if engine == "vdr" else Alu(raddr_b=WAIT)
        code = [write("vpm_setup", shape), write("vpm_setup", pitch), *ADDRESS_OF_DATA]
        run_cycles = [
            run([*code, *looped([start, wait], n)], uniforms=[-1]).execution.cycles for n in (2, 10)
        ]
        return (run_cycles[1] - run_cycles[0]) / 8

    for rows, units in ((1, 16), (16, 1), (16, 16), (8, 4)):
        expected = setup_cycles + rows * (costs[0] + 4 * units * costs[1])
        expected += (1 + LOOP_INSTRUCTIONS) * value("issue_cycles")
        assert cycles(rows, units) == pytest.approx(expected, abs=1)


def test_narrow_rows_count_their_bytes() -> None:
    setup = [
        load_b("vpm_setup", vdw(mode=4, rows=4, units=20)),
        load_b("vpm_setup", 3 << 30),
        *ADDRESS_OF_DATA,
    ]
    done = run([*setup, mul("v8min", "dma_address", R3, R3), Alu(raddr_b=WAIT)], uniforms=[-1]).execution
    assert done.counters["dma_store_bytes"] == 80


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        (vdw(mode=1, rows=1, units=1), "reserved width"),
        (vdw(mode=0, rows=1, units=1) | 1 << 15, "laned DMA store"),
        (vdw(mode=0, rows=9, units=4, x=8, vertical=True), "vertical DMA store past column 15"),
    ],
)
def test_what_no_source_describes_is_refused(setup: int, message: str) -> None:
    with pytest.raises(HazardError, match=message):
        stored(setup)


def test_loads_past_the_last_column_are_refused() -> None:
    with pytest.raises(HazardError, match="past column 15"):
        loaded(vdr(mode=0, rows=1, units=9, vpitch=1, x=8), pitch=64)
    assert loaded(vdr(mode=2, rows=1, units=16, vpitch=2, x=8), pitch=64).any()


def test_half_words_want_even_addresses() -> None:
    code = [load_b("vpm_setup", vdw(mode=2, rows=1, units=2)), load_b("vpm_setup", 3 << 30), *ADDRESS_OF_DATA,
            add("add", "r3", R3, B, **small(1)), mul("v8min", "dma_address", R3, R3)]  # fmt: skip
    with pytest.raises(HazardError, match="not a multiple of 2"):
        run(code, uniforms=[-1])
