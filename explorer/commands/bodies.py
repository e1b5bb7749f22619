"""What the commands do, once their arguments are understood."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from codegen.algorithm import algorithms, check_choice
from codegen.bundle import compile_bundle
from codegen.errors import PlanError, ScheduleError
from codegen.plan import Plan, check_plan_fits, read_plan
from codegen.target import Target
from explorer.front.front import write_front
from explorer.front.table import front_table
from explorer.pipeline.run import Run, run
from explorer.plans.check import require
from explorer.plans.network import load_network, write_zoo_model
from explorer.report.figures import write_figures
from explorer.runs.files import COMMAND_FILE, SAMPLES_FILE, write_command, write_samples
from explorer.runs.noise import noise_of_report
from explorer.runs.report import write_summary
from explorer.runs.tables import step_table, summary_lines, summary_table
from explorer.settings import RunSettings
from explorer.terminal.progress_bars import ConsoleProgress
from microbench.devices import find_device
from microbench.profile import load_profile

NARROWEST_TABLE = 160


def run_command(settings: RunSettings) -> None:
    """`explore run`; raises CheckFailedError after everything is written, where the outputs are wrong."""
    console = _console()
    with ConsoleProgress(console) as progress:
        result = run(settings, progress, lambda line: console.print(line, style="bold", markup=False))
        progress.phase("Report")
        _write(result, settings)
    console.print(step_table(result.report))
    console.print(summary_table(result.report))
    if result.front is not None:
        console.print(front_table(result.front, noise_of_report(result.report)))
    if result.report.check is None:
        console.print(
            f"not checked: the board {result.report.board} computes no outputs", style="bold yellow"
        )
    console.print(f"results: {result.directory}", markup=False)
    if result.report.check is not None:
        require(result.report.check)


def compile_command(
    plan_path: Path, model_path: Path, directory: Path, device: str | None, devices: Path | None = None
) -> None:
    """`explore compile`; raises PlanError where the plan was made for another model or device."""
    plan = read_plan(plan_path)
    shapes = {tensor.name: tensor.shape for tensor in plan.inputs}
    network = load_network(model_path, shapes, plan.model_name)
    check_plan_fits(plan, network.sha256)
    profile = load_profile(find_device(device, devices).profile if device else plan.device)
    target = (profile.with_qpus(plan.qpus) if plan.qpus else profile).target()
    _check_device(plan, target, plan_path)
    compile_bundle(network.graph, plan, target, directory)
    _console().print(f"bundle: {directory}", markup=False)


def algorithms_command() -> None:
    """`explore algorithms`."""
    table = Table("algorithm", "processor", "what it does")
    for algorithm in algorithms().values():
        summary = (type(algorithm).__doc__ or "").strip().split("\n")[0]
        table.add_row(escape(algorithm.name), algorithm.processor, escape(summary))
    _console().print(table)


def zoo_command(name: str, path: Path) -> None:
    """`explore zoo`."""
    write_zoo_model(name, path)
    _console().print(f"model: {path}", markup=False)


def _check_device(plan: Plan, target: Target, path: Path) -> None:
    """A plan that was edited, or made for another device, is refused before code is generated from it."""
    if target.name != plan.device:
        raise PlanError(
            f"plan {path} was made for device {plan.device!r}, not for {target.name!r}; "
            f"make one by `explore run --device {target.name}`"
        )
    for step in plan.steps:
        try:
            check_choice(step.spec, target, step.choice)
        except ScheduleError as error:
            raise PlanError(
                f"plan {path}: step {step.name!r}: {error}; make it again by `explore run`"
            ) from error


def _write(result: Run, settings: RunSettings) -> None:
    """Figures, the summary, the table as text, and the data that reports are made from."""
    write_figures(result.report, result.directory)
    write_summary(result.report, result.directory / "summary.json")
    write_samples(result.report.measured, result.directory / SAMPLES_FILE)
    write_command(settings, result.directory / COMMAND_FILE)
    write_front(result.front, result.directory)
    with (result.directory / "table.txt").open("w", encoding="utf-8") as file:
        text = Console(file=file, width=NARROWEST_TABLE, color_system=None)
        text.print(step_table(result.report))
        for name, line in summary_lines(result.report):
            text.print(f"{name}: {line}", markup=False, soft_wrap=True)


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=NARROWEST_TABLE)
