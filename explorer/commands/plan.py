"""`explore plan`: plan files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.terminal.exits import reported

plan_app = typer.Typer(
    help="Plan files for other programs: their schema, their weights, older versions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

PlanArgument = Annotated[Path, typer.Argument(metavar="PLAN", help="plan.json of a run")]


@plan_app.command()
def schema() -> None:
    """Print the JSON Schema of plan files: every field, axis, layout, algorithm and operator, with formulas."""
    with reported():
        from codegen.plan_schema import plan_schema_text

        typer.echo(plan_schema_text(), nl=False)


@plan_app.command()
def weights(
    plan: PlanArgument,
    model: Annotated[Path, typer.Option(help="the ONNX file that the plan was made for", metavar="FILE")],
    out: Annotated[Path, typer.Option(help="the file of Safetensors to write", metavar="DIR")],
) -> None:
    """Write the constants of a plan's steps, as the fused network has them."""
    from explorer.plans.weights_file import write_plan_weights
    from explorer.terminal.console import say_next, stdout

    with reported(place=out):
        write_plan_weights(plan, model, out)
        console = stdout()
        console.print(f"weights: {out}", markup=False)
        say_next(
            console,
            "explore plan schema says how they are laid out, docs/plan-files.md reads them",
        )


@plan_app.command()
def migrate(
    plan: PlanArgument,
    out: Annotated[Path, typer.Option(help="the plan file to write", metavar="DIR")],
) -> None:
    """Write a plan of an older version in the form of this one: the same decisions."""
    from codegen.plan import read_plan, write_plan
    from explorer.terminal.console import say_next, stdout

    with reported(place=out):
        write_plan(read_plan(plan), out)
        console = stdout()
        console.print(f"plan: {out}", markup=False)
        say_next(console, f"explore compile {out} --model FILE --out DIR")
