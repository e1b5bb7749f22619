"""The model of a core beside silicon: loops whose cycles are published."""

from __future__ import annotations

import pytest

from microbench.emulation.core_loops import LOOP_DIRECTORY_32, Loop, load_loops, modelled_cycles
from microbench.emulation.core_model import load_core
from microbench.emulation.core_model_32 import known_cores_32, load_core_32
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


@pytest.mark.needs("instruction counting")
def test_all_but_one_of_the_published_loops_take_the_cycles_of_silicon() -> None:
    model, loops = load_core("cortex-a53"), load_loops("cortex-a53")
    modelled = modelled_cycles(model, loops)
    off = {name for name, loop in loops.items() if abs(modelled[name] - loop.cycles) > loop.tolerance}
    assert off == KNOWN_OUTLIERS
    assert len(loops) == 69


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
    for core in known_cores_32():
        for name, loop in load_loops(core, LOOP_DIRECTORY_32).items():
            assert loop.source.startswith(SOURCES_32[core]), name


def test_a_core_without_loops_is_told() -> None:
    with pytest.raises(ProfileError, match="6502"):
        load_loops("6502")
