"""`explore calibrate`: the microbenchmark suite on a board, and a profile fitted to what it measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from explorer.commands.devices import DevicesOption, SudoOption, chosen_file
from explorer.terminal.console import say_next, stdout
from explorer.terminal.exits import reported
from explorer.terminal.json_output import json_option, print_json, told
from explorer.terminal.sheet import Sheet

if TYPE_CHECKING:
    from rich.status import Status

    from microbench.calibration.calibrate import Calibration, FittedConstant
    from microbench.options import SshOptions
    from microbench.profile import DeviceProfile
    from microbench.suite.runner import Effort
    from microbench.suite.table import Comparison


def calibrate(
    device: Annotated[
        str,
        typer.Option(
            help="the board to measure: a named board (`explore devices`), else the virtual board of a profile: a "
            "name, or a file *.toml",
            metavar="DEVICE",
        ),
    ] = "pi-zero",
    devices: DevicesOption = None,
    ssh: Annotated[
        str | None, typer.Option(help="measure over SSH, on user@host:port", metavar="USER@HOST:PORT")
    ] = None,
    ssh_key: Annotated[Path | None, typer.Option(help="private key for --ssh", metavar="FILE")] = None,
    known_hosts: Annotated[
        Path | None, typer.Option(help="file with the host key for --ssh", metavar="FILE")
    ] = None,
    sudo: SudoOption = False,
    start: Annotated[
        str | None,
        typer.Option(
            help="profile that the fit starts from (default: the board's own over SSH, else pi-zero)",
            metavar="PROFILE",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="profile to write (default DEVICE-calibrated.toml in results/profiles)", metavar="FILE"
        ),
    ] = None,
    gpu_memory: Annotated[
        str | None,
        typer.Option(
            help="cached: GPU memory in the L2 that the system of a Pi 1 or Zero has, whose constants show only so; "
            "direct: past it (the default)",
            metavar="cached|direct",
        ),
    ] = None,
    rounds_factor: Annotated[
        int, typer.Option(help="longer loops, for a clock with noise", min=1, metavar="N")
    ] = 1,
    repeats: Annotated[
        int,
        typer.Option(
            help="launches of which the median counts; over SSH at most what 300 launches a family of benchmarks allow",
            min=1,
            metavar="N",
        ),
    ] = 1,
    measurements: Annotated[
        Path | None,
        typer.Option(
            help="file that keeps what was measured over SSH, so that an interrupted calibration goes on "
            "(default DEVICE.measurements.jsonl in results/profiles)",
            metavar="FILE",
        ),
    ] = None,
    table: Annotated[
        bool, typer.Option("--table", help="measure only, and show published figures beside")
    ] = False,
    cpu: Annotated[
        bool,
        typer.Option("--cpu", help="the constants of the CPU, here or over SSH, instead of the GPU's"),
    ] = False,
    as_json: Annotated[
        bool,
        json_option(
            "profile (the file), place, benchmarks, rms, constants (name, unit, start, value, interval: low and high, "
            "note), variants and failed; with --cpu profile, place, benchmarks, latency_cycles, memory_s, constants "
            "(name, value, unit, source); with --table a list of figure, unit, published, suite, ratio, sets, worth"
        ),
    ] = False,
) -> None:
    """Measure a board with microbenchmarks and fit a device profile to what they take."""
    from explorer.commands.calibrate_cpu import calibrate_cpu_command
    from explorer.settings import parse_ssh
    from microbench.devices import find_device
    from microbench.profile import load_profile
    from microbench.suite.runner import Effort
    from microbench.twin import PROFILES_DIRECTORY

    with reported(resumable=True, place=out or PROFILES_DIRECTORY):
        named = find_device(device, chosen_file(devices))
        reached = parse_ssh(ssh, ssh_key, known_hosts, sudo) or named.ssh
        if cpu:
            name = Path(device).stem
            file = measurements or PROFILES_DIRECTORY / f"{name}.cpu.jsonl"
            calibrate_cpu_command(name, load_profile(named.profile), reached, file, out, as_json)
        elif table:
            published_command(named.profile, gpu_memory, as_json)
        elif reached is None:
            calibrate_command(
                named.profile, start or "pi-zero", gpu_memory, out, Effort(rounds_factor, repeats), as_json
            )
        else:
            name = Path(device).stem
            where = Place(name, _allocated(named.profile, gpu_memory), reached)
            file = measurements or PROFILES_DIRECTORY / f"{name}.measurements.jsonl"
            begun = _allocated(start, gpu_memory) if start else where.profile
            calibrate_remote_command(where, begun, file, out, Effort(rounds_factor, repeats), as_json)


def _allocated(device: str, gpu_memory: str | None) -> DeviceProfile:
    """A device with its GPU memory allocated so; raises ProfileError where that cannot be."""
    from explorer.settings import parse_gpu_memory
    from microbench.profile import load_profile

    profile, chosen = load_profile(device), parse_gpu_memory(gpu_memory)
    return profile.with_gpu_memory(chosen) if chosen else profile


def published_command(device: str, gpu_memory: str | None, as_json: bool) -> None:
    """`explore calibrate --table`; raises ProfileError for a device without QPUs."""
    from microbench.suite.table import run_virtual

    comparisons = run_virtual(_allocated(device, gpu_memory)).comparisons
    if as_json:
        print_json(
            [
                {
                    "figure": c.figure.what,
                    "unit": c.figure.unit,
                    "published": c.figure.value,
                    "suite": c.measured,
                    "ratio": c.ratio,
                    "sets": c.figure.sets,
                    "worth": c.figure.worth,
                }
                for c in comparisons
            ]
        )
        return
    console = stdout()
    _comparisons_sheet(comparisons).show(console)
    say_next(console, f"explore calibrate --device {device} fits the constants to what is measured")


def _comparisons_sheet(comparisons: Iterable[Comparison]) -> Sheet:
    headings = ("figure", "published", "suite", "ratio", "constants set from it", "worth of the comparison")
    rows = []
    for c in comparisons:
        unit = "" if c.figure.unit == "1" else f" {c.figure.unit}"
        ratio = "-" if c.ratio is None else f"{c.ratio:.2f}"
        values = (f"{c.figure.value:.4g}{unit}", f"{c.measured:.4g}{unit}")
        rows.append((c.figure.what, *values, ratio, c.figure.sets or "none", c.figure.worth))
    return Sheet("", headings, rows, right=headings[1:4], spare=headings[4:])


def calibrate_command(
    device: str, start: str, gpu_memory: str | None, out: Path | None, effort: Effort, as_json: bool
) -> None:
    """`explore calibrate` on the virtual board; raises ProfileError for a device without QPUs, HazardError when a
    launch fails.
    """
    from microbench.calibration.calibrate import calibrate as fit_profile
    from microbench.suite.gpu import BoardShape
    from microbench.twin import calibrated_file
    from microbench.virtual import VirtualV3D

    board, begun = _allocated(device, gpu_memory), _allocated(start, gpu_memory)
    shape = BoardShape.of(board)
    BoardShape.of(begun)
    with told(as_json).status("Measure") as status, VirtualV3D(board) as gpu:
        found = fit_profile(gpu, shape, begun, effort, os.cpu_count() or 1, _teller(status))
    path = out or calibrated_file(board.name)
    _write(found, board, f"{board.name}-calibrated", path)
    _show(Shown(found, begun, f"the virtual board of {board.name}", path), as_json)


@dataclass(frozen=True)
class Place:
    """A board that is reached over SSH: its name, its profile, and how."""

    name: str
    profile: DeviceProfile
    ssh: SshOptions


def calibrate_remote_command(
    where: Place, begun: DeviceProfile, file: Path, out: Path | None, effort: Effort, as_json: bool
) -> None:
    """`explore calibrate` on a board over SSH; raises BoardError, CalibrationError and ProfileError."""
    from microbench.boards.ssh import SshBoard
    from microbench.calibration.board import measure_gpu
    from microbench.calibration.calibrate import fitted
    from microbench.twin import calibrated_file

    console = told(as_json)
    with console.status("Connect") as status:
        with SshBoard(where.profile, where.ssh) as board:
            console.print(board.describe(), markup=False)
            measured = measure_gpu(
                board, file, effort, lambda done, of, name: status.update(Text(f"{done}/{of} {name}"))
            )
        times = measured.times
        found = fitted(
            times.times_s,
            times.depth,
            measured.shape,
            begun,
            where.name,
            os.cpu_count() or 1,
            _teller(status),
        )
    path = out or calibrated_file(where.name)
    _write(found, _with_cpu_of(path, where.profile), f"{where.name}-calibrated", path)
    place = f"{where.name}, measured with {times.launches} launches and kept in {file}"
    _show(Shown(found, begun, place, path, times.failed), as_json)


def _with_cpu_of(path: Path, profile: DeviceProfile) -> DeviceProfile:
    """The profile with the constants of the CPU that calibration found before, if it did."""
    from microbench.profile import load_profile

    if not path.exists():
        return profile
    before = load_profile(str(path))
    found = {group: getattr(before, group) for group in ("cpu_costs", "cpu_caches", "threads")}
    return profile.model_copy(update=found)


def _teller(status: Status) -> Callable[[str], None]:
    return lambda line: status.update(Text(line))


def _write(found: Calibration, board: DeviceProfile, name: str, path: Path) -> None:
    """The board's profile under a name of its own, with the constants that were found."""
    from microbench.calibration.profile_file import write_profile

    write_profile(board.model_copy(update={"name": name, "v3d": found.profile.v3d}), path)


@dataclass(frozen=True)
class Shown:
    """A calibration with what it began with, where it was measured, the profile that it wrote, and what failed."""

    found: Calibration
    begun: DeviceProfile
    place: str
    path: Path
    failed: Mapping[str, str] = field(default_factory=dict)


def _show(shown: Shown, as_json: bool) -> None:
    found, begun, path = shown.found, shown.begun, shown.path
    variants = found.variants(begun)
    if as_json:
        print_json(
            {
                "profile": path,
                "place": shown.place,
                "benchmarks": found.benchmarks,
                "rms": found.rms,
                "constants": found.fitted_constants,
                "variants": [{"constants": names, "variant": one} for names, one in variants.items()],
                "failed": shown.failed,
            }
        )
        return
    console = stdout()
    _constants_sheet(found).show(console)
    console.print(
        f"{found.benchmarks} benchmarks on {shown.place}; {len(found.identified)} constants "
        f"fitted, root mean square of what is left {found.rms:.1e}",
        markup=False,
    )
    for constants, variant in variants.items():
        console.print(
            f"{', '.join(constants)}: {variant or 'no launch time tells variants apart'}", markup=False
        )
    for name, message in shown.failed.items():
        console.print(f"{name} has no time: {message}", markup=False)
    console.print(f"profile: {path}", markup=False)
    say_next(console, f"explore run --device {path}, which searches with these constants")


def _constants_sheet(found: Calibration) -> Sheet:
    headings = ("constant", "start", "fitted", "interval", "unit", "note")
    rows = [_constant_row(fitted) for fitted in found.fitted_constants]
    return Sheet("", headings, rows, right=("start", "fitted"), spare=("start",))


def _constant_row(fitted: FittedConstant) -> tuple[str, ...]:
    if fitted.interval is None:
        value = f"{fitted.value:.6g}" if fitted.value != fitted.start else "-"
        return fitted.name, f"{fitted.start:.6g}", value, "-", fitted.unit, fitted.note
    interval = f"{fitted.interval.low:.6g} to {fitted.interval.high:.6g}"
    start, value = f"{fitted.start:.6g}", f"{fitted.value:.6g}"
    return fitted.name, start, value, interval, fitted.unit, fitted.note
