"""`explore calibrate`: the microbenchmark suite on a board, and a profile fitted to what it measured."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from explorer.terminal.console import stdout
from explorer.terminal.exits import reported

if TYPE_CHECKING:
    from microbench.calibration.calibrate import Calibration, FittedConstant
    from microbench.profile import DeviceProfile

PROFILES = Path("results") / "profiles"


def calibrate(
    device: Annotated[
        str, typer.Option(help="the board to measure: a profile's name, or a file *.toml")
    ] = "pi-zero",
    start: Annotated[str, typer.Option(help="profile that the fit starts from")] = "pi-zero",
    out: Annotated[
        Path | None, typer.Option(help="profile to write (default results/profiles/DEVICE-calibrated.toml)")
    ] = None,
    gpu_memory: Annotated[
        str | None,
        typer.Option(
            help="cached: GPU memory in the L2 that the system of a Pi 1 or Zero has, whose constants show only so; "
            "direct: past it (the default)"
        ),
    ] = None,
    rounds_factor: Annotated[int, typer.Option(help="longer loops, for a clock with noise", min=1)] = 1,
    repeats: Annotated[int, typer.Option(help="launches of which the median counts", min=1)] = 1,
    table: Annotated[
        bool, typer.Option("--table", help="measure only, and show published figures beside")
    ] = False,
) -> None:
    """Measure a board with microbenchmarks and fit a device profile to the launch times."""
    with reported(place=out or PROFILES):
        if table:
            published_command(device, gpu_memory)
        else:
            calibrate_command(device, start, gpu_memory, out, rounds_factor, repeats)


def _allocated(device: str, gpu_memory: str | None) -> DeviceProfile:
    """A device with its GPU memory allocated so; raises ProfileError where that cannot be."""
    from explorer.settings import parse_gpu_memory
    from microbench.profile import load_profile

    profile, chosen = load_profile(device), parse_gpu_memory(gpu_memory)
    return profile.with_gpu_memory(chosen) if chosen else profile


def published_command(device: str, gpu_memory: str | None) -> None:
    """`explore calibrate --table`; raises ProfileError for a device without QPUs."""
    from microbench.suite.table import run_virtual

    comparisons = run_virtual(_allocated(device, gpu_memory)).comparisons
    view = Table("figure", "published", "suite", "ratio", "constants set from it", "worth of the comparison")
    for c in comparisons:
        unit = "" if c.figure.unit == "1" else f" {c.figure.unit}"
        ratio = "-" if c.ratio is None else f"{c.ratio:.2f}"
        view.add_row(
            escape(c.figure.what),
            f"{c.figure.value:.4g}{unit}",
            f"{c.measured:.4g}{unit}",
            ratio,
            c.figure.sets or "none",
            c.figure.worth,
        )
    stdout().print(view)


def calibrate_command(
    device: str, start: str, gpu_memory: str | None, out: Path | None, rounds_factor: int, repeats: int
) -> None:
    """`explore calibrate`; raises ProfileError for a device without QPUs, HazardError when a launch fails."""
    from microbench.calibration.calibrate import calibrate as fit_profile
    from microbench.calibration.profile_file import write_profile
    from microbench.suite.gpu import BoardShape
    from microbench.suite.runner import Effort
    from microbench.virtual import VirtualV3D

    board, begun = _allocated(device, gpu_memory), _allocated(start, gpu_memory)
    shape = BoardShape.of(board)
    BoardShape.of(begun)
    console = stdout()
    effort = Effort(rounds_factor, repeats)
    with console.status("Measure") as status, VirtualV3D(board) as gpu:

        def tell(line: str) -> None:
            status.update(Text(line))

        found = fit_profile(gpu, shape, begun, effort, os.cpu_count() or 1, tell)
    path = out or PROFILES / f"{board.name}-calibrated.toml"
    fitted = {"name": f"{board.name}-calibrated", "v3d": found.profile.v3d}
    write_profile(board.model_copy(update=fitted), path)
    console.print(_constants_table(found))
    console.print(
        f"{found.benchmarks} benchmarks on the virtual board of {board.name}; {len(found.identified)} constants "
        f"fitted, root mean square of what is left {found.rms:.1e}",
        markup=False,
    )
    for constants, variant in found.variants(begun).items():
        console.print(
            f"{', '.join(constants)}: {variant or 'no launch time tells variants apart'}", markup=False
        )
    console.print(f"profile: {path}", markup=False)


def _constants_table(found: Calibration) -> Table:
    table = Table("constant", "start", "fitted", "interval", "unit", "")
    for fitted in found.fitted_constants:
        table.add_row(*_constant_row(fitted))
    return table


def _constant_row(fitted: FittedConstant) -> tuple[str, ...]:
    if fitted.interval is None:
        value = f"{fitted.value:.6g}" if fitted.value != fitted.start else "-"
        return fitted.name, f"{fitted.start:.6g}", value, "-", escape(fitted.unit), fitted.note
    interval = f"{fitted.interval.low:.6g} to {fitted.interval.high:.6g}"
    start, value = f"{fitted.start:.6g}", f"{fitted.value:.6g}"
    return fitted.name, start, value, interval, escape(fitted.unit), fitted.note
