"""`explore check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.run import ShapeOption
from explorer.terminal.exits import EXIT_CHECK_FAILED, reported

if TYPE_CHECKING:
    from rich.console import Console

    from explorer.inspect.inspection import Inspection, Size
    from explorer.inspect.rough_times import RoughTime


def check(
    model: Annotated[Path, typer.Argument(help="ONNX file")],
    shape: ShapeOption = None,
    device: Annotated[
        list[str] | None,
        typer.Option(help="profile to model times for; may be repeated (default: all that come along)"),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="the same as JSON on standard output")] = False,
) -> None:
    """Tell in seconds whether a network can be compiled: all that is not supported, or its size and rough times."""
    with reported():
        import json
        from dataclasses import asdict

        from explorer.inspect.inspection import inspect
        from explorer.settings import parse_shapes
        from explorer.terminal.console import stdout
        from microbench.profile import known_profiles, load_profile

        profiles = [load_profile(name) for name in device or known_profiles()]
        found = inspect(model, parse_shapes(shape or ()), profiles)
        if json_:
            typer.echo(json.dumps(asdict(found), indent=2))
        else:
            _show(found, stdout())
    if found.obstacles or (found.size is not None and any(time.missing for time in found.size.times)):
        raise typer.Exit(EXIT_CHECK_FAILED)


def _show(found: Inspection, console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    if found.obstacles:
        table = Table("not supported", "what would help", title=escape(found.model), title_justify="left")
        for obstacle in found.obstacles:
            table.add_row(escape(obstacle.reason), escape(obstacle.remedy))
        console.print(table)
        if found.unjudged:
            console.print(
                f"{found.unjudged} nodes behind these are known by their operators alone.", markup=False
            )
    used = ", ".join(f"{name} {count}" for name, count in found.operators.items())
    console.print(f"operators: {used}", markup=False)
    if found.size is not None:
        _show_size(found.size, console)


def _show_size(size: Size, console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    from explorer.terminal.units import seconds

    console.print(
        f"layers: {size.layers}; multiply-adds: {size.macs / 1e6:,.1f} million; "
        f"weights: {size.weights:,} ({size.weight_bytes / 1e6:,.2f} MB); "
        f"peak activations: {size.peak_bytes / 1e6:,.2f} MB, at layer {size.peak_layer!r}; "
        f"least memory, for weights and activations in any plan: {size.least_bytes / 1e6:,.2f} MB",
        markup=False,
    )
    table = Table(
        "device",
        "rough time (modelled)",
        "of it on QPUs",
        "GPU memory for that",
        "layers without an algorithm",
    )
    for time in size.times:
        share = f"{time.launched_seconds / time.seconds:.0%}" if time.seconds else "-"
        missing = ", ".join(time.missing[:5]) + (", ..." if len(time.missing) > 5 else "")
        about = f"about {seconds(time.seconds)}"
        table.add_row(escape(time.title), about, share, _gpu_memory(time), escape(missing) or "none")
    console.print(table)


def _gpu_memory(time: RoughTime) -> str:
    if not time.gpu_memory_bytes:
        return "-"
    need = f"at least {time.launched_bytes / 1e6:,.2f} of {time.gpu_memory_bytes / 1e6:,.2f} MB"
    return f"{need}: some layers go to the CPU" if time.exceeds_gpu_memory else need
