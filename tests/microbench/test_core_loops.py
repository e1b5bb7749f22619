"""The model of a core beside silicon: loops whose cycles are published."""

from __future__ import annotations

import pytest

from microbench.emulation.core_loops import (
    LOOP_DIRECTORY_32,
    LOOP_DIRECTORY_OUT_OF_ORDER,
    Loop,
    load_loops,
    modelled_cycles,
)
from microbench.emulation.core_model import load_core
from microbench.emulation.core_model_32 import known_cores_32, load_core_32
from microbench.emulation.core_model_out_of_order import load_core_out_of_order
from microbench.errors import ProfileError

# The model lets `ldr d` and `ins` of one register issue together; silicon takes a cycle for each.
KNOWN_OUTLIERS = {"ldrd_ins_same"}
# How many loops a core in 32-bit state has, and those that are off: that a store of several registers holds them until
# they are stored is not modelled; and where manual and silicon differ, silicon is.
SOURCES_32 = {
    "arm1176jzf-s": ("manual", "flatlib"),
    "cortex-a7": ("hardwarebug", "flatlib"),
    "cortex-a53": ("insn_bench, 64-bit state", "qsdr, 64-bit state"),
}
LOOPS_32 = {
    "arm1176jzf-s": (54, {"stm_7_add", "fmacs_x8"}),
    "cortex-a7": (37, set()),
    "cortex-a53": (29, set()),
}

# Three registers cost what two and four do in proportion, and words forwarded take whole cycles.
KNOWN_OUTLIERS_A72 = {"ld3", "st1_3", "str_to_ldr"}


@pytest.mark.needs("instruction counting")
def test_all_but_one_of_the_published_loops_take_the_cycles_of_silicon() -> None:
    model, loops = load_core("cortex-a53"), load_loops("cortex-a53")
    modelled = modelled_cycles(model, loops)
    off = {name for name, loop in loops.items() if abs(modelled[name] - loop.cycles) > loop.tolerance}
    assert off == KNOWN_OUTLIERS
    assert len(loops) == 69


@pytest.mark.needs("instruction counting")
def test_loops_of_an_out_of_order_core_take_the_cycles_of_silicon() -> None:
    model = load_core_out_of_order("cortex-a72")
    loops = load_loops(model.name, LOOP_DIRECTORY_OUT_OF_ORDER)
    modelled = modelled_cycles(model, loops)
    off = {name for name, loop in loops.items() if abs(modelled[name] - loop.cycles) > loop.tolerance}
    assert (len(loops), off) == (82, KNOWN_OUTLIERS_A72)


@pytest.mark.needs("instruction counting")
@pytest.mark.parametrize("core", known_cores_32())
def test_loops_in_32_bit_state_take_the_cycles_that_are_stated(core: str) -> None:
    loops = load_loops(core, LOOP_DIRECTORY_32)
    modelled = modelled_cycles(load_core_32(core), loops)
    off = {name for name, loop in loops.items() if abs(modelled[name] - loop.cycles) > loop.tolerance}
    assert (len(loops), off) == LOOPS_32[core]


def test_the_tolerance_is_six_percent_or_a_few_hundredths_of_a_cycle() -> None:
    assert Loop(cycles=16, source="", body="nop").tolerance == pytest.approx(0.96)
    assert Loop(cycles=0.25, source="", body="nop").tolerance == 0.03


def test_every_loop_names_where_its_cycles_are_published() -> None:
    for name, loop in load_loops("cortex-a53").items():
        assert loop.source.split()[0].rstrip(":") in ("insn_bench", "qsdr", "ncnn"), name
    for name, loop in load_loops("cortex-a72", LOOP_DIRECTORY_OUT_OF_ORDER).items():
        assert loop.source.startswith("insn_bench"), name
    for core in known_cores_32():
        for name, loop in load_loops(core, LOOP_DIRECTORY_32).items():
            assert loop.source.startswith(SOURCES_32[core]), name


def test_a_core_without_loops_is_told() -> None:
    with pytest.raises(ProfileError, match="6502"):
        load_loops("6502")
