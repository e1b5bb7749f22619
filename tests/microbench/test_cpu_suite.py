"""Constants of a CPU from its microbenchmarks: on times of machines that are made up, and on this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from microbench.boards.execution import Finished, LocalExecutor
from microbench.boards.subprocesses import Ended
from microbench.calibration.measurements import MeasurementsFile
from microbench.cpu_suite.constants import SOURCE, cpu_constants, with_cpu_constants
from microbench.cpu_suite.measure import PEAK, CpuCircumstances, measure_cpu
from microbench.cpu_suite.suite import (
    ADD,
    CALL,
    CHASES,
    CYCLE,
    LATENCY,
    LOAD,
    PAIRS,
    READ,
    STORE,
    WRITE,
    CpuBenchmark,
    cpu_suite,
)
from microbench.errors import BoardError, CalibrationError, CalibrationInterruptedError
from microbench.profile import load_profile

HOST = load_profile("host")
NS = 1e-9


def made_up(
    levels: Sequence[tuple[float, float]], line: int, cores: int = 2, cycle_s: float = NS
) -> dict[str, float]:
    """Times of a machine: `levels` are bytes and nanoseconds of each cache and of memory, the smallest first."""

    def chase_s(size: int) -> float:
        return next(time for capacity, time in levels if size <= capacity) * NS

    times_s = {
        CYCLE.name: cycle_s,
        ADD.name: cycle_s / 2,
        LATENCY.name: 4 * cycle_s,
        LOAD.name: cycle_s,
        STORE.name: 2 * cycle_s,
        CALL.name: 5 * cycle_s,
        READ.name: 0.5 * NS,
        WRITE.name: 2 * NS,
        PEAK: cycle_s / 8,
        **{b.name: chase_s(b.size_bytes) for b in CHASES},
        **{b.name: (20.0 if b.stride < line else 32.0) * NS for b in PAIRS},
    }
    if cores > 1:
        times_s[CpuBenchmark("share", stride=cores).name] = 1e-6
        times_s[CpuBenchmark("wake", stride=cores).name] = 40e-6
    return times_s


@pytest.mark.parametrize("line", [16, 32, 64, 128])
@pytest.mark.parametrize(("first", "second"), [(16384, 131072), (32768, 524288), (49152, 2097152)])
def test_lines_and_caches_are_those_of_the_machine(line: int, first: int, second: int) -> None:
    levels = ((first, 3.0), (second, 12.0), (1e12, 150.0))
    found = cpu_constants(made_up(levels, line), 2)
    assert found.caches == {"l1d_bytes": first, "l2_bytes": second}
    assert found.costs["l1_line_bytes"] == line
    assert found.costs["line_fill_s"] == pytest.approx(line * 0.5 * NS)
    assert found.memory_s == pytest.approx(150 * NS)


def test_a_machine_without_a_second_level_has_none() -> None:
    found = cpu_constants(made_up(((16384, 3.0), (1e12, 150.0)), 32, cores=1), 1)
    assert found.caches == {"l1d_bytes": 16384}
    assert "thread_sync_s" not in found.costs
    assert found.threads == {}


def test_a_machine_without_lines_that_show_keeps_what_its_profile_says() -> None:
    found = cpu_constants(made_up(((16384, 3.0), (1e12, 150.0)), 512), 2)
    assert "l1_line_bytes" not in found.costs
    assert "line_fill_s" not in found.costs


def test_cycles_are_of_the_clock_that_was_found() -> None:
    costs = cpu_constants(made_up(((16384, 3.0), (1e12, 150.0)), 64, cycle_s=0.5 * NS), 2).costs
    assert costs["clock_hz"] == pytest.approx(2e9)
    cycles = [costs[f"{name}_cycles"] for name in ("mac", "alu", "load", "store")]
    assert cycles == pytest.approx([1 / 8, 1 / 2, 1, 2])


def test_cost_models_read_what_was_measured_and_sources_say_what_was_not() -> None:
    pi = load_profile("pi-zero")
    found = cpu_constants(made_up(((16384, 3.0), (1e12, 150.0)), 512, cores=1), 1)
    profile = with_cpu_constants(pi, found, "attic")
    assert profile.cpu_cost("clock_hz") == pytest.approx(1e9)
    assert profile.cpu_costs["mac_cycles"].source == f"{SOURCE} attic by explore calibrate"
    assert profile.cpu_costs["line_fill_s"] == pi.cpu_costs["line_fill_s"]
    assert profile.target().cpu_l1d_bytes == 16384
    assert profile.hash != pi.hash


class Counted:
    """Passes programs on to this machine's CPU, the first `good` of them; then it is lost."""

    def __init__(self, good: int) -> None:
        self.good = good
        self.kernels: list[str] = []

    def execute(
        self,
        executable: Path,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        outputs: Sequence[str],
        limit_s: float,
    ) -> Finished:
        if len(self.kernels) == self.good:
            raise BoardError("the connection is lost")
        self.kernels.append(arguments[-1])
        quick = (*arguments[:-1], "0.001")
        return LocalExecutor().execute(executable, quick, files, outputs, limit_s)


def kept_in(path: Path, cores: int = 1) -> MeasurementsFile[CpuCircumstances]:
    return MeasurementsFile(path, CpuCircumstances("this machine", " ".join(HOST.target().compiler), cores))


def test_a_machine_that_is_lost_loses_nothing(tmp_path: Path) -> None:
    path, target = tmp_path / "kept.jsonl", HOST.target()
    first, second = Counted(5), Counted(1000)
    with pytest.raises(CalibrationInterruptedError, match=r"lost.*kept\.jsonl.*goes on"):
        measure_cpu(first, target, kept_in(path))
    found = measure_cpu(second, target, kept_in(path))
    assert len(first.kernels) + len(second.kernels) == len(found) == len(cpu_suite(1)) + 1
    again = Counted(0)
    assert measure_cpu(again, target, kept_in(path)) == found
    with pytest.raises(CalibrationError, match="other circumstances"):
        kept_in(path, cores=2)


def test_time_that_is_up_is_told(tmp_path: Path) -> None:
    with pytest.raises(CalibrationInterruptedError, match="goes on"):
        measure_cpu(Counted(0), HOST.target(), kept_in(tmp_path / "kept.jsonl"), most_s=-1.0)


def test_a_benchmark_that_crashes_is_told(tmp_path: Path) -> None:

    class Crashed(Counted):
        def execute(self, *arguments: object, **more: object) -> Finished:
            return Finished(Ended(1, "ended with code 1"), {})

    with pytest.raises(CalibrationInterruptedError, match="cycle"):
        measure_cpu(Crashed(0), HOST.target(), kept_in(tmp_path / "kept.jsonl"))


@pytest.mark.slow
def test_this_machines_caches_are_those_its_system_tells(tmp_path: Path) -> None:
    """A second witness: what Linux reads from the processor itself."""
    told = Path("/sys/devices/system/cpu/cpu0/cache")
    if not (told / "index0").is_dir():
        pytest.skip("the system tells no caches")
    caches = {
        int((index / "level").read_text()): (
            int((index / "size").read_text().strip().removesuffix("K")) * 1024,
            int((index / "coherency_line_size").read_text()),
        )
        for index in told.glob("index*")
        if (index / "type").read_text().strip() != "Instruction"
    }
    found = cpu_constants(measure_cpu(LocalExecutor(), HOST.target(), kept_in(tmp_path / "kept")), 1)
    first_bytes, line = caches[1]
    assert found.costs["l1_line_bytes"] == line
    assert found.caches["l1d_bytes"] == pytest.approx(first_bytes, rel=0.26)
    assert found.caches["l2_bytes"] == pytest.approx(caches[2][0], rel=0.35)
    assert found.latency_cycles == pytest.approx(round(found.latency_cycles), abs=0.1)
