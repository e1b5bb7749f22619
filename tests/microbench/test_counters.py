from __future__ import annotations

import pytest

from microbench.virtual.counters import CYCLES, what_binds
from microbench.virtual.library import library

COUNTERS = {
    "cycles": 1000.0,
    "instructions": 1000.0,
    "add_operations": 900.0,
    "mul_operations": 300.0,
    "tmu_stall_cycles": 2000.0,
    "uniform_stall_cycles": 500.0,
    "vpm_stall_cycles": 0.0,
    "dma_stall_cycles": 0.0,
    "semaphore_stall_cycles": 100.0,
    "mutex_stall_cycles": 0.0,
    "icache_stall_cycles": 0.0,
    "sfu_stall_cycles": 0.0,
}


def test_every_cycle_of_every_qpu_is_accounted_for() -> None:
    binding = what_binds(COUNTERS, qpus=12, issue_cycles=4)
    assert binding is not None
    assert sum(binding.shares.values()) == pytest.approx(1)
    assert binding.shares["issue"] == pytest.approx(4000 / 12000)
    assert binding.shares["idle"] == pytest.approx(5400 / 12000)
    assert binding.causes == ("idle",) and "45 %" in binding.text()
    assert binding.alu_use == pytest.approx(0.6)


def test_causes_that_are_alike_are_both_named() -> None:
    binding = what_binds({**COUNTERS, "tmu_stall_cycles": 3950.0}, qpus=10, issue_cycles=4)
    assert binding is not None and binding.causes == ("issue", "tmu")
    assert "issuing instructions (40 %" in binding.text() and "texture units (40 %" in binding.text()


@pytest.mark.parametrize("counters", [{}, {"cycles": 10.0, "instructions": 5.0}, {**COUNTERS, "cycles": 0.0}])
def test_counters_of_another_board_say_nothing(counters: dict[str, float]) -> None:
    assert what_binds(counters, qpus=12, issue_cycles=4) is None


def test_the_causes_are_those_of_the_simulator() -> None:
    names = [name for name in library().counter_names if name.endswith("_stall_cycles")]
    assert [f"{name}_stall_cycles" for name in CYCLES][1:-1] == names
