"""`explore check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.run import ShapeOption, ValueOption
from explorer.terminal.exits import EXIT_CHECK_FAILED, reported
from explorer.terminal.json_output import json_option

if TYPE_CHECKING:
    from rich.console import Console

    from explorer.inspect.inspection import Inspection, Size
    from explorer.inspect.rough_times import RoughTime


def check(
    model: Annotated[Path, typer.Argument(help="ONNX file", metavar="FILE")],
    shape: ShapeOption = None,
    value: ValueOption = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            help="profile to model times for; may be repeated (default: all that come along)",
            metavar="DEVICE",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        json_option(
            "model, operators (how often each), obstacles (reason, remedy), unjudged, and size: layers, macs, weights, "
            "weight_bytes, peak_bytes, peak_layer, least_bytes, and times by device"
        ),
    ] = False,
) -> None:
    """Tell in seconds whether a network can be compiled: all that is not supported, or its size and rough times."""
    with reported():
        from explorer.inspect.inspection import inspect
        from explorer.settings import parse_shapes, parse_values
        from explorer.terminal.console import stdout
        from explorer.terminal.json_output import print_json
        from microbench.profile import known_profiles, load_profile

        profiles = [load_profile(name) for name in device or known_profiles()]
        found = inspect(model, parse_shapes(shape or ()), profiles, parse_values(value or ()))
        if as_json:
            print_json(found)
        else:
            _show(found, stdout(), model)
    if found.obstacles or (found.size is not None and any(time.missing for time in found.size.times)):
        raise typer.Exit(EXIT_CHECK_FAILED)


def _show(found: Inspection, console: Console, model: Path) -> None:
    from explorer.terminal.console import say_next
    from explorer.terminal.sheet import Sheet

    if found.obstacles:
        rows = [(obstacle.reason, obstacle.remedy) for obstacle in found.obstacles]
        Sheet(found.model, ("not supported", "what would help"), rows).show(console)
        if found.unjudged:
            console.print(
                f"{found.unjudged} nodes behind these are known by their operators alone.", markup=False
            )
    used = ", ".join(f"{name} {count}" for name, count in found.operators.items())
    console.print(f"operators: {used}", markup=False)
    if found.size is not None:
        _show_size(found.size, console)
        say_next(console, f"explore run --model {model} --device DEVICE")


def _show_size(size: Size, console: Console) -> None:
    from explorer.terminal.sheet import Sheet

    console.print(
        f"layers: {size.layers}; multiply-adds: {size.macs / 1e6:,.1f} million; "
        f"weights: {size.weights:,} ({size.weight_bytes / 1e6:,.2f} MB); "
        f"peak activations: {size.peak_bytes / 1e6:,.2f} MB, at layer {size.peak_layer!r}; "
        f"least memory, for weights and activations in any plan: {size.least_bytes / 1e6:,.2f} MB",
        markup=False,
    )
    headings = (
        "--device",
        "what it is",
        "rough time\n(modelled)",
        "of it\non QPUs",
        "GPU memory for that",
        "layers without\nan algorithm",
    )
    rows = [_cells(time) for time in size.times]
    Sheet("", headings, rows, right=headings[2:4], spare=headings[1:2]).show(console)


def _cells(time: RoughTime) -> tuple[str, ...]:
    from explorer.terminal.units import seconds

    share = f"{time.launched_seconds / time.seconds:.0%}" if time.seconds else "-"
    missing = ", ".join(time.missing[:5]) + (", ..." if len(time.missing) > 5 else "")
    about = f"about {seconds(time.seconds)}"
    return time.device, time.title, about, share, _gpu_memory(time), missing or "none"


def _gpu_memory(time: RoughTime) -> str:
    if not time.gpu_memory_bytes:
        return "-"
    need = f"at least {time.launched_bytes / 1e6:,.2f} of {time.gpu_memory_bytes / 1e6:,.2f} MB"
    return f"{need}: some layers go to the CPU" if time.exceeds_gpu_memory else need
