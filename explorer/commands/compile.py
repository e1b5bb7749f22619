"""`explore compile`: the bundle of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.devices import DevicesOption, chosen_file
from explorer.terminal.exits import reported


def compile_plan(
    plan: Annotated[Path, typer.Argument(help="plan.json of a run", metavar="PLAN")],
    model: Annotated[Path, typer.Option(help="the ONNX file that the plan was made for", metavar="FILE")],
    out: Annotated[Path, typer.Option(help="directory of the bundle", metavar="DIR")],
    with_cpu_plan: Annotated[
        Path | None,
        typer.Option(
            metavar="PLAN",
            help="cpu_plan.json of the same run: the bundle carries it too, and uses it where the QPUs are not to be "
            "had",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="device profile, where it is not the built-in one that the plan names", metavar="DEVICE"
        ),
    ] = None,
    devices: DevicesOption = None,
) -> None:
    """Write the bundle of a plan: GPU program, weights, C sources, build files, manifest."""
    from explorer.plans.compilation import compile_plan_file
    from explorer.terminal.console import say_next, stderr, stdout

    with reported():
        compiled = compile_plan_file(plan, model, out, device, chosen_file(devices), with_cpu_plan)
        if compiled.model_sha256 is None:
            stderr().print(
                "note: the plan is of an older version: its layers are those of the model, which is checked; whether "
                "its weights are the ones it was made for cannot be told",
                markup=False,
            )
        console = stdout()
        console.print(f"bundle: {out}", markup=False)
        say_next(console, f"make -C {out}; its README says how")
