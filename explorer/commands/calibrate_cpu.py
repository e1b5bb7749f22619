"""`explore calibrate --cpu`: the constants of a CPU by microbenchmarks, here or over SSH."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from explorer.terminal.console import say_next
from explorer.terminal.json_output import print_json, told
from explorer.terminal.sheet import Sheet

if TYPE_CHECKING:
    from codegen.target import Target
    from microbench.boards.execution import Executor
    from microbench.cpu_suite.constants import CpuConstants
    from microbench.options import SshOptions
    from microbench.profile import DeviceProfile


@dataclass(frozen=True)
class _Machine:
    """A CPU that runs programs; `called`: its own words for itself."""

    executor: Executor
    target: Target
    called: str


def calibrate_cpu_command(
    name: str, profile: DeviceProfile, ssh: SshOptions | None, file: Path, out: Path | None, as_json: bool
) -> None:
    """Measures, and writes the profile with what was measured; what calibration found of the GPU before is kept.

    Raises BoardError, CalibrationError and ProfileError.
    """
    from microbench.calibration.measurements import MeasurementsFile
    from microbench.calibration.profile_file import write_profile
    from microbench.cpu_suite.constants import cpu_constants, with_cpu_constants
    from microbench.cpu_suite.measure import CpuCircumstances, measure_cpu
    from microbench.profile import load_profile
    from microbench.twin import calibrated_file

    console, path = told(as_json), out or calibrated_file(name)
    begun = load_profile(str(path)) if path.exists() else profile
    with console.status("Connect") as status, _machine(profile, ssh) as machine:
        cores = machine.target.cores
        circumstances = CpuCircumstances(machine.called, " ".join(machine.target.compiler), cores)
        times_s = measure_cpu(
            machine.executor,
            machine.target,
            MeasurementsFile(file, circumstances),
            told=lambda done, of, benchmark: status.update(Text(f"{done}/{of} {benchmark}")),
        )
    found = cpu_constants(times_s, cores)
    calibrated = with_cpu_constants(begun, found, name)
    write_profile(calibrated.model_copy(update={"name": f"{name}-calibrated"}), path)
    if as_json:
        print_json(
            {
                "profile": path,
                "place": machine.called,
                "benchmarks": len(times_s),
                "latency_cycles": found.latency_cycles,
                "memory_s": found.memory_s,
                "constants": [
                    dict(zip(("name", "value", "unit", "source"), row, strict=True))
                    for row in _rows(calibrated, found)
                ],
            }
        )
        return
    _sheet(calibrated, found).show(console)
    console.print(
        f"{len(times_s)} benchmarks on {machine.called}, kept in {file}; a multiply-accumulate waits "
        f"{found.latency_cycles:.1f} cycles for the one before, a load from memory {1e9 * found.memory_s:.0f} ns",
        markup=False,
    )
    console.print(f"profile: {path}", markup=False)
    say_next(console, f"explore run --device {path}")


@contextmanager
def _machine(profile: DeviceProfile, ssh: SshOptions | None) -> Iterator[_Machine]:
    """Raises BoardError where programs of the profile do not run on a CPU that can be reached."""
    from codegen.engines.cpu.toolchain import cpu_model
    from microbench.boards.execution import LocalExecutor
    from microbench.boards.host import HostBoard
    from microbench.boards.ssh import SshBoard
    from microbench.options import BoardOptions

    if ssh is None:
        yield _Machine(LocalExecutor(), HostBoard.open(profile, BoardOptions()).target, cpu_model())
        return
    with SshBoard(profile, ssh) as board:
        fingerprint = board.fingerprint()
        yield _Machine(board.cpu(), board.target, f"{fingerprint.board}, {fingerprint.serial_hash}")


def _sheet(profile: DeviceProfile, found: CpuConstants) -> Sheet:
    rows = [(name, f"{value:.6g}", unit, source) for name, value, unit, source in _rows(profile, found)]
    return Sheet("", ("constant", "value", "unit", "source"), rows, right=("value",))


def _rows(profile: DeviceProfile, found: CpuConstants) -> Iterator[tuple[str, float, str, str]]:
    """Every constant of the CPU with its unit, and whether it was measured."""
    measured = {*found.costs, *found.caches, *found.threads}
    for group in ("cpu_costs", "cpu_caches", "threads"):
        for name, constant in getattr(profile, group).items():
            source = "measured" if name in measured else constant.source
            yield f"{group}.{name}", constant.value, constant.unit, source
