"""`explore bench ground-truth`: every candidate of networks' layers, measured into a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.bench.options import ResolutionOption
from explorer.commands.devices import DevicesOption, chosen_file
from explorer.terminal.console import say_next, stdout
from explorer.terminal.exits import reported

if TYPE_CHECKING:
    from explorer.studies.ground_truth import LayerTruth

MODELS = ("mobilenet_v1", "squeezenet")


def ground_truth(
    models: Annotated[
        list[str] | None,
        typer.Option(
            help=f"a network of the zoo, or an ONNX file; may be repeated (default: {', '.join(MODELS)})",
            metavar="MODEL",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="a named board, else a profile", metavar="DEVICE")] = "pi-zero",
    layer: Annotated[
        list[str] | None,
        typer.Option(help="only layers whose name contains this; may be repeated", metavar="LAYER"),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            help="samples: a SQLite file or a database URL (default truth.sqlite in results/runs)",
            metavar="STORE",
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            help="spaces of an algorithm with more points than this are left out", min=1, metavar="N"
        ),
    ] = 4000,
    share: Annotated[
        float,
        typer.Option(
            help="of an algorithm's candidates of a layer where they are more than 24, the part that is measured, told "
            "by their hashes; a larger share goes on from a smaller one",
            min=0.0,
            max=1.0,
            metavar="PART",
        ),
    ] = 1.0,
    resolution: ResolutionOption = 224,
    devices: DevicesOption = None,
) -> None:
    """Measure every candidate of every layer, what `explore bench models` judges by; goes on where it stopped."""
    with reported(resumable=True):
        from explorer.settings import RUNS, RunSettings
        from explorer.studies.ground_truth import distinct_layers, measured_layers
        from explorer.studies.zoo_networks import network_named
        from explorer.terminal.progress_lines import progress_on

        console = stdout()
        settings = RunSettings(
            device=device, devices=chosen_file(devices), store=store or str(RUNS / "truth.sqlite")
        )
        for name in models or MODELS:
            with network_named(name, resolution) as network, progress_on(console) as progress:
                layers = distinct_layers(network.graph, layer or ())
                for truth in measured_layers(settings, layers, limit, share, progress):
                    console.print(f"{name}: {_line(truth)}", markup=False, soft_wrap=True)
        say_next(console, f"explore bench models --store {settings.store}")


def _line(truth: LayerTruth) -> str:
    from explorer.terminal.units import seconds

    best = "none works" if truth.best_s is None else f"the best takes {seconds(truth.best_s)}"
    return f"{truth.name}: {len(truth.samples)} candidates, {len(truth.timed)} timed, {best}"
