"""`explore bench prior`: how many samples a search saves after that of another network, replayed on ground truth."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.bench.ground_truth import MODELS
from explorer.commands.bench.options import JsonOption, MarkdownOption, ResolutionOption
from explorer.terminal.exits import reported

if TYPE_CHECKING:
    from explorer.studies.prior import AfterAnother
    from explorer.studies.strategies import Replayed

QUALITIES = (0.05, 0.02, 0.01, 0.005)  # regrets of the composed network
COLUMNS = (
    ("network", "left"),
    ("store", "left"),
    ("prior", "right"),
    *((f"to {100 * regret:g} %", "right") for regret in QUALITIES),
    ("samples in all", "right"),
    ("regret in the end", "right"),
    ("by layer, p95", "right"),
)
INTRODUCTION = """\
`explore bench prior` replays the default search of one network on a store of ground truth, as `explore bench
ground-truth` takes it, twice: from an empty store, and from one that has the samples which the default search of
another network took. `prior`: how many of these the cost model begins with. "To 1 %": samples of its own after which
the composed network stays within 1 % of the best of all that is known; `by layer`: what the fastest measured candidate
of a layer takes longer than the fastest that there is, in the end."""


def prior(
    models: Annotated[
        list[str] | None,
        typer.Option(
            help=f"of the zoo, or an ONNX file; may be repeated (default: {', '.join(MODELS)})",
            metavar="MODEL",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="profile that the truth was measured with", metavar="DEVICE")
    ] = "pi-zero",
    store: Annotated[
        str | None, typer.Option(help="the truth (default truth.sqlite in results/runs)", metavar="STORE")
    ] = None,
    resolution: ResolutionOption = 224,
    markdown: MarkdownOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay searches of networks after each other: how many samples what was learned before saves."""
    with reported(place=markdown), ExitStack() as opened:
        from explorer.settings import RUNS, RunSettings
        from explorer.studies.prior import searched_after
        from explorer.studies.study_table import StudyTable, show, write_markdown
        from explorer.studies.zoo_networks import network_named

        settings = RunSettings(device=device, store=store or str(RUNS / "truth.sqlite"))
        graphs = {
            name: opened.enter_context(network_named(name, resolution)).graph for name in models or MODELS
        }
        rows: list[tuple[str, ...]] = []
        for found in searched_after(settings, graphs):
            rows += _rows(found)
        notes = ("Times are those of the virtual board (simulated); whoever never comes so close says so.",)
        table = StudyTable(f"{device}: searches after each other", COLUMNS, tuple(rows), notes)
        show([table], as_json, "explore run --prior none leaves out what the store has of other networks")
        if markdown is not None:
            write_markdown(markdown, "What a search learns from another", INTRODUCTION, [table])


def _rows(found: AfterAnother) -> tuple[tuple[str, ...], ...]:
    return (
        (found.network, "empty", "0", *_cells(found.empty)),
        (found.network, f"after {found.before}", str(found.taught), *_cells(found.after)),
    )


def _cells(one: Replayed) -> tuple[str, ...]:
    needed = (one.samples_to(regret) for regret in QUALITIES)
    return (
        *("never" if count == float("inf") else f"{count:.0f}" for count in needed),
        str(one.samples),
        f"{100 * one.curve[-1][1]:.2f} %",
        f"{100 * one.layer_p95:.2f} %",
    )
