"""`explore prune`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.terminal.exits import reported
from explorer.terminal.json_output import json_option

if TYPE_CHECKING:
    from rich.console import Console

    from explorer.plans.pruning import PrunedLayer


def prune(
    model: Annotated[Path, typer.Argument(help="ONNX file", metavar="FILE")],
    sparsity: Annotated[
        float, typer.Option(help="share of zeros in each pruned layer, as 0.9", metavar="SHARE")
    ],
    out: Annotated[Path, typer.Option(help="the ONNX file to write", metavar="FILE")],
    structure: Annotated[
        str,
        typer.Option(
            help="outputs by inputs that are zero together: none (single weights), 4x1, 1x4 or 16x1",
            metavar="BLOCK",
        ),
    ] = "none",
    first: Annotated[bool, typer.Option("--first", help="prune the first convolution too")] = False,
    depthwise: Annotated[bool, typer.Option("--depthwise", help="prune depthwise convolutions too")] = False,
    fully_connected: Annotated[
        bool, typer.Option("--fully-connected", help="prune fully connected layers too")
    ] = False,
    as_json: Annotated[
        bool, json_option("model, and layers: name, kind, weights, nonzero, and is_pruned: whether it was")
    ] = False,
) -> None:
    """Set the smallest weights of each layer to zero, to try what sparsity gains. Accuracy is yours to restore.

    By magnitude, layer by layer, without any training: a network so pruned is fast, but at high sparsity no longer
    accurate. Train it with its zeros kept before you use what it computes.
    """
    with reported(place=out):
        from explorer.plans import pruning
        from explorer.terminal.console import say_next, stdout
        from explorer.terminal.json_output import print_json

        more = {pruning.FIRST: first, pruning.DEPTHWISE: depthwise, pruning.FULLY_CONNECTED: fully_connected}
        kinds = frozenset({pruning.CONVOLUTION, *(kind for kind, asked in more.items() if asked)})
        layers = pruning.prune(model, out, sparsity, structure, kinds)
        if as_json:
            print_json({"model": out, "layers": layers})
            return
        console = stdout()
        _show(layers, console)
        console.print(
            "Nothing was trained: what this network still computes is for you to judge, and to restore by training "
            "with the zeros kept."
        )
        console.print(f"model: {out}", markup=False)
        say_next(console, f"explore run --model {out} --device DEVICE")


def _show(layers: Sequence[PrunedLayer], console: Console) -> None:
    from rich.markup import escape

    from explorer.terminal.sheet import Sheet

    rows = [
        (
            escape(layer.name),
            layer.kind if layer.is_pruned else f"{layer.kind}, left whole",
            f"{layer.weights:,}",
            f"{layer.nonzero:,}",
            f"{1 - layer.nonzero / layer.weights:.1%}",
        )
        for layer in layers
    ]
    headings = ("layer", "kind", "weights", "not zero", "zeros")
    Sheet("", headings, rows, right=headings[2:], whole=headings[2:], long=headings[:1]).show(console)
