"""`explore run`: search, compose, compile and check a network on a board."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.devices import BoardOptionsOption, DevicesOption, SudoOption, chosen_file
from explorer.terminal.completion import boards
from explorer.terminal.exits import reported
from explorer.terminal.json_output import json_option, told

ModelOption = Annotated[
    Path | None, typer.Option(help="ONNX file; without it the built-in MobileNet v1", metavar="FILE")
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--shape", help="an input's shape, as name=1,3,224,224; may be repeated", metavar="NAME=SIZES"
    ),
]

ValueOption = Annotated[
    list[str] | None,
    typer.Option(
        "--value",
        help="what an input always is, such as a sampling rate, as name=16000: its elements in row-major order with "
        "commas between them; the network is compiled with it as a constant; may be repeated",
        metavar="NAME=ELEMENTS",
    ),
]


def run(
    context: typer.Context,
    network: Annotated[
        Path | None, typer.Argument(metavar="MODEL", help="the ONNX file; the same as --model")
    ] = None,
    model: ModelOption = None,
    device: Annotated[
        str,
        typer.Option(
            help="a named board (`explore devices`), else a profile: a name, or a file *.toml",
            autocompletion=boards,
            metavar="DEVICE",
        ),
    ] = "pi-zero",
    devices: DevicesOption = None,
    store: Annotated[
        str | None,
        typer.Option(
            help="samples: a SQLite file or a database URL (default samples.sqlite in results/runs)",
            metavar="STORE",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="directory of results (default MODEL-DEVICE in results/runs, or one more for another run)",
            metavar="DIR",
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="take the directory where another run has it, and lose its results"),
    ] = False,
    shape: ShapeOption = None,
    value: ValueOption = None,
    v3d_hz: Annotated[
        float | None, typer.Option(help="clock of the GPU, in Hz", min=1e6, max=5e9, metavar="HZ")
    ] = None,
    qpus: Annotated[
        int | None, typer.Option(help="QPUs to use (default: all there are)", min=1, metavar="N")
    ] = None,
    gpu_memory: Annotated[
        str | None,
        typer.Option(
            help="cached: GPU memory in the L2 that the system of a Pi 1 or Zero has; direct: past it; without this, "
            "layers are timed past it and the whole plan both ways",
            metavar="cached|direct",
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            help="float16, bfloat16 or int8: the QPUs' weights may be stored as half floats, or as bytes with a scale "
            "for each output channel, where unpacking costs nothing, the CPU's as half floats or bfloat16, where that "
            "is faster; outputs change, by as much as the summary says",
            metavar="float32|float16|bfloat16|int8",
        ),
    ] = "float32",
    objective: Annotated[
        str,
        typer.Option(
            help="latency: the fastest plan; front: every best trade of latency, memory, CPU time and energy",
            metavar="latency|front",
        ),
    ] = "latency",
    price: Annotated[
        list[str] | None,
        typer.Option(
            "--price",
            metavar="NAME=SECONDS",
            help="seconds of latency that a unit is worth, of cpu-time (a second of all cores together) or energy (a "
            "joule): the plan with the least sum; may be repeated",
        ),
    ] = None,
    robust: Annotated[
        bool,
        typer.Option(
            "--robust",
            help="the plan that does least badly where constants of the virtual board are not certain",
        ),
    ] = False,
    twin: Annotated[
        str | None,
        typer.Option(
            help="profile of a virtual board on which the search is made in the device's place, a name or a file "
            "*.toml; calibrated: the one that `explore calibrate` wrote for it (the default where it found constants "
            "over SSH). The device itself is asked of the best candidates and of whole plans",
            metavar="PROFILE",
        ),
    ] = None,
    no_twin: Annotated[
        bool, typer.Option("--no-twin", help="search on the device itself, though it was calibrated")
    ] = False,
    probes: Annotated[
        int | None,
        typer.Option(
            help="search on a virtual board, the twin or that of the device's profile, and put its times right by so "
            "many measurements on the device (at least 3), the last two of them whole plans",
            metavar="N",
        ),
    ] = None,
    board: Annotated[
        str | None, typer.Option(help="how the device is reached; `explore devices` lists", metavar="BOARD")
    ] = None,
    board_option: BoardOptionsOption = None,
    ssh: Annotated[
        str | None, typer.Option(help="measure over SSH, on user@host:port", metavar="USER@HOST:PORT")
    ] = None,
    ssh_key: Annotated[Path | None, typer.Option(help="private key for --ssh", metavar="FILE")] = None,
    known_hosts: Annotated[
        Path | None, typer.Option(help="file with the host key for --ssh", metavar="FILE")
    ] = None,
    sudo: SudoOption = False,
    farm: Annotated[
        str | None,
        typer.Option(
            help="measure on the boards of a farm that are of the device's profile (`explore farm up`)",
            metavar="ADDRESS",
        ),
    ] = None,
    farm_tls: Annotated[
        Path | None,
        typer.Option(help="directory with ca.pem, cert.pem and key.pem for --farm tls://", metavar="DIR"),
    ] = None,
    cost_model: Annotated[str, typer.Option(help="what predicts times", metavar="NAME")] = "residual",
    prior: Annotated[
        str,
        typer.Option(
            help="store: the cost model also learns from the store's other networks and boards; none: it does not",
            metavar="store|none",
        ),
    ] = "store",
    samples: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="samples to begin with, by `explore samples export`: the store takes them in",
            metavar="FILE",
        ),
    ] = None,
    again: Annotated[
        Path | None,
        typer.Option(
            help="directory of a run to make again, with its options and from exactly the samples that it learned from "
            "and took; other options replace those it had",
            metavar="RUN",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="of trial values and of the search", min=0, metavar="N")] = 0,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="what decides which candidates are measured next (default: expected_gain; for fronts successive)",
            metavar="NAME",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="of the whole search: measurements (400) or time (90s, 5m, 1h); default: no limit",
            metavar="N|TIME",
        ),
    ] = None,
    layer_budget: Annotated[
        int,
        typer.Option(
            help="most measurements per layer on the QPUs, and per number of threads", min=1, metavar="N"
        ),
    ] = 24,
    force: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER=ALGORITHM[:AXIS=VALUE,...]",
            help="a layer, and all that are equal to it, must be computed like this; may be repeated",
        ),
    ] = None,
    forbid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER=ALGORITHM[:AXIS=VALUE,...]",
            help="a layer, and all that are equal to it, must not be computed like this; may be repeated",
        ),
    ] = None,
    keep_cores_free: Annotated[
        int, typer.Option(help="cores of the CPU that no step of the plan uses", min=0, metavar="N")
    ] = 0,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="most memory that the plan may take, of the GPU's and of the CPU's together: activations, working and "
            "scratch memory, weights as they are packed, the QPUs' code and streams (the caller's arrays and the CPU's "
            "code are not counted): 64MiB, or a number of bytes",
        ),
    ] = None,
    with_cpu_plan: Annotated[
        bool,
        typer.Option(
            "--with-cpu-plan",
            help="the bundle carries the best plan for the CPU alone too, and uses it where the QPUs are not to be had",
        ),
    ] = False,
    rehearsals: Annotated[
        int,
        typer.Option(
            help="most rounds of running whole plans, where layers of a plan have their times; 0: none",
            min=0,
            metavar="N",
        ),
    ] = 4,
    stream: Annotated[
        str | None,
        typer.Option(
            help="then frames come as from a camera, so many in a second or as fast as they are run; as by `explore "
            "infer RUN --stream`",
            metavar="30fps|max",
        ),
    ] = None,
    batch: Annotated[
        int,
        typer.Option(
            help="frames of --stream that one run takes together, one behind the other in the first dimension, which "
            "--shape gives; launching costs once",
            metavar="N",
        ),
    ] = 1,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="show the run on a page for this machine's browser while it goes on; as `explore watch` does",
        ),
    ] = False,
    wide: Annotated[
        bool, typer.Option("--wide", help="the whole table of layers, however narrow the terminal")
    ] = False,
    as_json: Annotated[
        bool,
        json_option(
            "directory, files (by name), time_s, kinds, speedup, and summary, the content of summary.json, with steps: "
            "name, operator, choice, predicted, expected_s, run_s, run_kind, cpu_only_s"
        ),
    ] = False,
) -> None:
    """Search, compose, compile and check a network on a board; interrupted runs go on where they stopped."""
    from explorer.one_thread import import_numpy_for_one_thread

    import_numpy_for_one_thread()
    from explorer.api import explore
    from explorer.commands.again import REPEATED, repeat
    from explorer.errors import UsageError
    from explorer.pipeline.results import show_json, show_results
    from explorer.search.budget import parse_budget
    from explorer.search.layer_search import SearchSettings
    from explorer.search.restrictions import Restrictions, parse_rule
    from explorer.settings import (
        DEFAULT_STORE,
        RUNS,
        RehearsalSettings,
        RunSettings,
        parse_board_options,
        parse_gpu_memory,
        parse_memory,
        parse_objective,
        parse_prices,
        parse_prior,
        parse_shapes,
        parse_ssh,
        parse_values,
        parse_weights,
    )
    from explorer.stream.after_run import show_with_stream
    from explorer.stream.options import parse_stream

    with reported(resumable=True, place=out or RUNS):
        if network is not None and model is not None:
            raise UsageError(f"two models: {network} and --model {model}; leave one out")
        if again is not None and not context.meta.get(REPEATED):
            repeat(context, again)
            return
        if stream is None and batch != 1:
            raise UsageError("--batch is of the frames of --stream; give a rate too, such as --stream max")
        request = parse_stream(stream, batch=batch) if stream is not None else None
        settings = RunSettings(
            device=device,
            devices=chosen_file(devices),
            model=model or network,
            board=board,
            board_options=parse_board_options(board_option or ()),
            ssh=parse_ssh(ssh, ssh_key, known_hosts, sudo),
            v3d_hz=v3d_hz,
            qpus=qpus,
            gpu_memory=parse_gpu_memory(gpu_memory),
            weights=parse_weights(weights),
            shapes=parse_shapes(shape or ()),
            values=parse_values(value or ()),
            store=store or str(DEFAULT_STORE),
            out=out,
            overwrite=overwrite,
            cost_model=cost_model,
            prior=parse_prior(prior),
            search=SearchSettings(
                seed=seed,
                layer_budget=layer_budget,
                strategy=strategy,
                budget=parse_budget(budget),
                restrictions=Restrictions(
                    tuple(parse_rule("--force", text) for text in force or ()),
                    tuple(parse_rule("--forbid", text) for text in forbid or ()),
                    keep_cores_free,
                ),
            ),
            rehearsal=RehearsalSettings(rounds=rehearsals),
            objective=parse_objective(objective),
            robust=robust,
            twin=twin,
            no_twin=no_twin,
            probes=probes,
            samples=samples,
            again=again,
            prices=parse_prices(price or ()),
            max_memory_bytes=parse_memory(max_memory),
            with_cpu_plan=with_cpu_plan,
            live=live,
            farm=farm,
            farm_tls=farm_tls,
        )
        show = show_json if as_json else show_results
        explore(
            settings,
            console=told(as_json, wide),
            show=show if request is None else partial(show_with_stream, settings, request, show),
        )
