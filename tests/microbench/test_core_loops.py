"""The model of a core beside silicon: loops whose cycles are published."""

from __future__ import annotations

import pytest

from microbench.emulation.core_loops import Loop, load_loops, modelled_cycles
from microbench.emulation.core_model import load_core
from microbench.errors import ProfileError

# The model lets `ldr d` and `ins` of one register issue together; silicon takes a cycle for each.
KNOWN_OUTLIERS = {"ldrd_ins_same"}


@pytest.mark.needs("instruction counting")
def test_all_but_one_of_the_published_loops_take_the_cycles_of_silicon() -> None:
    model, loops = load_core("cortex-a53"), load_loops("cortex-a53")
    modelled = modelled_cycles(model, loops)
    off = {name for name, loop in loops.items() if abs(modelled[name] - loop.cycles) > loop.tolerance}
    assert off == KNOWN_OUTLIERS
    assert len(loops) == 69


def test_the_tolerance_is_six_percent_or_a_few_hundredths_of_a_cycle() -> None:
    assert Loop(cycles=16, source="", body="nop").tolerance == pytest.approx(0.96)
    assert Loop(cycles=0.25, source="", body="nop").tolerance == 0.03


def test_every_loop_names_where_its_cycles_are_published() -> None:
    for name, loop in load_loops("cortex-a53").items():
        assert loop.source.split()[0].rstrip(":") in ("insn_bench", "qsdr", "ncnn"), name


def test_a_core_without_loops_is_told() -> None:
    with pytest.raises(ProfileError, match="6502"):
        load_loops("6502")
