"""The command `explore`. Heavy packages are imported inside the commands that need them."""

from __future__ import annotations

import gc
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.bench.group import bench_app
from explorer.commands.calibrate import calibrate
from explorer.commands.devices import BoardOptionsOption, DevicesOption, chosen_file, devices_app
from explorer.commands.doctor import doctor
from explorer.commands.qpu.group import qpu_app
from explorer.commands.samples import samples_app
from explorer.terminal.exits import EXIT_INTERRUPTED, reported

app = typer.Typer(
    help="Search how each layer of a trained ONNX network runs fastest on a board, and compile the result.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(qpu_app, name="qpu")
app.add_typer(samples_app, name="samples")
app.add_typer(devices_app, name="devices")
app.add_typer(bench_app, name="bench")

ModelOption = Annotated[Path | None, typer.Option(help="ONNX file; without it the built-in MobileNet v1")]
ShapeOption = Annotated[
    list[str] | None, typer.Option("--shape", help="an input's shape, as name=1,3,224,224; may be repeated")
]


@app.callback()
def common(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="log what is done, on stderr")] = False,
) -> None:
    """Options of every command."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    # What it would say of a lost connection, the board's own messages say.
    logging.getLogger("paramiko").setLevel(logging.WARNING if verbose else logging.CRITICAL)
    logging.getLogger("cost_models.boosting").setLevel(logging.ERROR)


@app.command()
def run(
    model: ModelOption = None,
    device: Annotated[
        str, typer.Option(help="a named board (`explore devices`), else a profile: a name, or a file *.toml")
    ] = "pi-zero",
    devices: DevicesOption = None,
    store: Annotated[
        str | None,
        typer.Option(help="samples: a SQLite file or a database URL (default results/runs/samples.sqlite)"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="directory of results (default results/runs/MODEL-DEVICE)")
    ] = None,
    shape: ShapeOption = None,
    v3d_hz: Annotated[float | None, typer.Option(help="clock of the GPU, in Hz", min=1e6, max=5e9)] = None,
    qpus: Annotated[int | None, typer.Option(help="QPUs to use (default: all there are)", min=1)] = None,
    objective: Annotated[
        str,
        typer.Option(
            help="latency: the fastest plan; front: every best trade of latency, memory and CPU time"
        ),
    ] = "latency",
    board: Annotated[
        str | None, typer.Option(help="how the device is reached; `explore devices` lists")
    ] = None,
    board_option: BoardOptionsOption = None,
    ssh: Annotated[str | None, typer.Option(help="measure over SSH, on user@host:port")] = None,
    ssh_key: Annotated[Path | None, typer.Option(help="private key for --ssh")] = None,
    known_hosts: Annotated[Path | None, typer.Option(help="file with the host key for --ssh")] = None,
    cost_model: Annotated[str, typer.Option(help="what predicts times")] = "residual",
    seed: Annotated[int, typer.Option(help="of trial values and of the search", min=0)] = 0,
    budget: Annotated[
        int, typer.Option(help="most measurements per layer on the QPUs, and per number of threads", min=1)
    ] = 24,
    rehearsals: Annotated[
        int,
        typer.Option(help="most rounds of running whole plans, where a clock is read; 0: none", min=0),
    ] = 4,
) -> None:
    """Search, compose, compile and check a network on a board; interrupted runs go on where they stopped."""
    from explorer.commands.bodies import run_command
    from explorer.search.layer_search import SearchSettings
    from explorer.settings import (
        DEFAULT_STORE,
        RUNS,
        RehearsalSettings,
        RunSettings,
        parse_board_options,
        parse_objective,
        parse_shapes,
        parse_ssh,
    )

    with reported(resumable=True, place=out or RUNS):
        run_command(
            RunSettings(
                device=device,
                devices=chosen_file(devices),
                model=model,
                board=board,
                board_options=parse_board_options(board_option or ()),
                ssh=parse_ssh(ssh, ssh_key, known_hosts),
                v3d_hz=v3d_hz,
                qpus=qpus,
                shapes=parse_shapes(shape or ()),
                store=store or str(DEFAULT_STORE),
                out=out,
                cost_model=cost_model,
                search=SearchSettings(seed=seed, budget=budget),
                rehearsal=RehearsalSettings(rounds=rehearsals),
                objective=parse_objective(objective),
            )
        )


@app.command(name="compile")
def compile_plan(
    plan: Annotated[Path, typer.Argument(help="plan.json of a run")],
    model: Annotated[Path, typer.Option(help="the ONNX file that the plan was made for")],
    out: Annotated[Path, typer.Option(help="directory of the bundle")],
    device: Annotated[
        str | None, typer.Option(help="device profile, where it is not the built-in one that the plan names")
    ] = None,
    devices: DevicesOption = None,
) -> None:
    """Write the bundle of a plan: GPU program, weights, C sources, build files, manifest."""
    from explorer.commands.bodies import compile_command

    with reported():
        compile_command(plan, model, out, device, chosen_file(devices))


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="directory of a run")],
) -> None:
    """Write a report of a run: an executed notebook and an HTML page (needs the extra `report`)."""
    from explorer.commands.report import report_command

    with reported():
        report_command(run)


@app.command()
def runs(
    directory: Annotated[Path | None, typer.Argument(help="directory of runs (default results/runs)")] = None,
) -> None:
    """List runs: model, device, board, time and what it is, speed-up, error."""
    from explorer.commands.report import runs_command
    from explorer.settings import RUNS

    with reported():
        runs_command(directory or RUNS)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="a run, a plan.json, or a device that has a run")],
    second: Annotated[str, typer.Argument(metavar="B", help="the same, for the other side")],
    among: Annotated[
        Path | None, typer.Option("--runs", help="where the runs of devices are (default results/runs)")
    ] = None,
) -> None:
    """Compare two runs, plans or devices, layer by layer."""
    from explorer.commands.report import compare_command
    from explorer.settings import RUNS

    with reported():
        compare_command(first, second, among or RUNS)


@app.command()
def algorithms() -> None:
    """List the registered algorithms."""
    from explorer.commands.bodies import algorithms_command

    with reported():
        algorithms_command()


@app.command()
def zoo(
    name: Annotated[str, typer.Argument(help="a network of the zoo")],
    out: Annotated[Path, typer.Option(help="the ONNX file to write")],
) -> None:
    """Write a built-in network, with seeded weights, as ONNX."""
    from explorer.commands.bodies import zoo_command

    with reported(place=out):
        zoo_command(name, out)


app.command()(calibrate)
app.command()(doctor)


def main() -> None:
    """The console script."""
    try:
        app()
    except KeyboardInterrupt:  # outside of a command's body: nothing was begun
        sys.exit(EXIT_INTERRUPTED)
    finally:
        gc.freeze()  # to search everything for garbage at the end would take a good part of a second
