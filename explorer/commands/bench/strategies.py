"""`explore bench strategies`: how many samples each strategy needs, replayed on a store of ground truth."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.bench.ground_truth import MODELS
from explorer.commands.bench.options import JsonOption, ResolutionOption
from explorer.terminal.exits import reported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from explorer.studies.strategies import Replayed
    from explorer.studies.study_table import StudyTable

DEFAULT = "expected_gain"
COLUMNS = (
    ("strategy", "left"),
    ("seeds", "right"),
    ("samples in all", "right"),
    ("to within 1 %", "right"),
    ("regret at the default's samples", "right"),
    ("in the end", "right"),
    ("by layer, mean", "right"),
    ("by layer, p95", "right"),
)
INTRODUCTION = """\
`explore bench strategies` replays searches on a store of ground truth, as `explore bench ground-truth` takes it: a
strategy may ask for the candidates that the store has, and for changes of layout. Regret is what the network that is
composed of its samples takes longer than the best of all that is known; by layer, the same of the fastest candidate.
"To within 1 %": samples after which the composed network stays so close. The default's samples are those after which
`expected_gain` ends by itself. Strategies that draw are run with several seeds: the median, then the worst. The others
do the same every time. Strategies but `expected_gain` and `successive` ask no cost model."""


def strategies(
    models: Annotated[
        list[str] | None,
        typer.Option(
            help=f"of the zoo, or an ONNX file; may be repeated (default: {', '.join(MODELS)})",
            metavar="MODEL",
        ),
    ] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(help="only these beside the default; may be repeated (default: all)", metavar="NAME"),
    ] = None,
    device: Annotated[
        str, typer.Option(help="profile that the truth was measured with", metavar="DEVICE")
    ] = "pi-zero",
    store: Annotated[
        str | None, typer.Option(help="the truth (default truth.sqlite in results/runs)", metavar="STORE")
    ] = None,
    seeds: Annotated[int, typer.Option(help="of strategies that draw", min=1, metavar="N")] = 10,
    resolution: ResolutionOption = 224,
    markdown: Annotated[
        Path | None,
        typer.Option(help="write the tables to this file too, and curves beside it", metavar="FILE"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Replay every strategy on a store of ground truth: samples, and regret of network and layers."""
    with reported(place=markdown):
        from explorer.settings import RUNS, RunSettings
        from explorer.strategies.registry import known_strategies
        from explorer.studies.strategies import DRAWING, open_truth
        from explorer.studies.study_table import show, write_markdown
        from explorer.studies.zoo_networks import network_named

        settings = RunSettings(device=device, store=store or str(RUNS / "truth.sqlite"))
        chosen = [DEFAULT, *(name for name in strategy or known_strategies() if name != DEFAULT)]
        tables = []
        for model in models or MODELS:
            done: list[Replayed] = []
            with network_named(model, resolution) as network, open_truth(settings, network.graph) as truth:
                for name in chosen:
                    for seed in range(seeds if name in DRAWING else 1):
                        done.append(truth.replay(name, seed))
                table = _table(model, truth.describe(), done, truth.best_s)
            if not as_json:
                show([table], as_json)
            tables.append(table)
            if markdown is not None:
                figure = _figure(markdown, model, done)
                tables[-1] = _with_figure(table, figure, model)
                write_markdown(markdown, "Strategies", INTRODUCTION, tables)
        show(tables if as_json else (), as_json, "explore run --strategy NAME searches by another")


def _table(model: str, described: str, done: Sequence[Replayed], best_s: float) -> StudyTable:
    from dataclasses import replace

    from explorer.studies.study_table import StudyTable

    told = [replace(one, best_s=best_s) for one in done]
    default = told[0].samples
    names = dict.fromkeys(one.strategy for one in told)
    rows = tuple(_row(name, [one for one in told if one.strategy == name], default) for name in names)
    note = f"The best network of all that is known takes {1e3 * best_s:.3f} ms (simulated). {described}"
    return StudyTable(model, COLUMNS, rows, (note,))


def _row(name: str, runs: Sequence[Replayed], default: int) -> tuple[str, ...]:
    def told(value: Callable[[Replayed], float], text: Callable[[float], str]) -> str:
        values = [value(one) for one in runs]
        middle, worst = text(median(values)), text(max(values))
        return middle if len(values) == 1 else f"{middle}, {worst}"

    return (
        name,
        str(len(runs)),
        told(lambda one: one.samples, _count),
        told(lambda one: one.to_close, _count),
        told(lambda one: one.regret_at(default), _percent),
        told(lambda one: one.curve[-1][1], _percent),
        told(lambda one: one.layer_mean, _percent),
        told(lambda one: one.layer_p95, _percent),
    )


def _count(value: float) -> str:
    return "never" if value == float("inf") else f"{value:.0f}"


def _percent(value: float) -> str:
    return "no network" if value == float("inf") else f"{100 * value:.2f} %"


def _with_figure(table: StudyTable, figure: Path, model: str) -> StudyTable:
    from dataclasses import replace

    place = f"figures/{figure.name}"
    return replace(table, notes=(*table.notes, f"![Regret of {model} by samples]({place})"))


def _figure(markdown: Path, model: str, done: Sequence[Replayed]) -> Path:
    """Regret by samples, the median seed of each strategy."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for name in dict.fromkeys(one.strategy for one in done):
        runs = sorted((one for one in done if one.strategy == name), key=lambda one: one.curve[-1][1])
        curve = [(n, 100 * regret) for n, regret in runs[len(runs) // 2].curve if regret < float("inf")]
        axes.plot([n for n, _ in curve], [max(regret, 0.01) for _, regret in curve], label=name)
    axes.axhline(1.0, color="grey", linewidth=0.8)
    axes.set(xlabel="samples", ylabel="regret of the composed network, %", yscale="log", title=model)
    axes.legend()
    path = markdown.parent / "figures" / f"strategies-{model}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return path
