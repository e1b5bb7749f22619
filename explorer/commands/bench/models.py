"""`explore bench models`: what cost models predict of candidates, layers and networks that they have not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.bench.ground_truth import MODELS
from explorer.commands.bench.options import JsonOption, MarkdownOption, ResolutionOption
from explorer.terminal.exits import reported

if TYPE_CHECKING:
    from codegen.graph import LayerSpec
    from explorer.studies.model_scores import ModelScores

COLUMNS = (
    ("model", "left"),
    ("held out", "left"),
    ("judged on", "left"),
    ("candidates", "right"),
    ("layers", "right"),
    ("error p50", "right"),
    ("error p90", "right"),
    ("rank in a layer", "right"),
    ("regret", "right"),
    ("in the interval", "right"),
    ("worst layer", "right"),
    ("width", "right"),
)
TITLE = "Cost models"
INTRODUCTION = """\
`explore bench models` fits each registered cost model without a fifth of the candidates or shapes, or without a
network, and compares what it predicts of those with what `explore bench ground-truth` measured: all candidates, or a
share of large spaces that their hashes tell. Layers that differ in padding or in what follows them are of one shape.
Errors are relative to the measured time. The rank correlation and the regret of the first choice are means over layers;
an interval should hold eight times of ten, the worst layer is that of at least ten candidates whose times they hold
least, and the width is relative to the time. Judged are all candidates, and those that take at most three times as long
as the fastest of their layer. Modelled times are left out, and those of kernels that are generated otherwise now.
Candidates and shapes are dealt out in several ways: a figure is the median of these, that in brackets the worst."""


def models(
    store: Annotated[
        str | None,
        typer.Option(help="samples to judge by (default truth.sqlite in results/runs)", metavar="STORE"),
    ] = None,
    learned_from: Annotated[
        str | None,
        typer.Option(
            help="a store whose samples alone models learn from (default: those judged by)", metavar="STORE"
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="profile whose times are judged", metavar="DEVICE")] = "pi-zero",
    networks: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            help=f"networks to hold out: of the zoo, or ONNX files; may be repeated (default: {', '.join(MODELS)})",
            metavar="MODEL",
        ),
    ] = None,
    cost_model: Annotated[
        list[str] | None,
        typer.Option(help="only these cost models; may be repeated (default: all)", metavar="NAME"),
    ] = None,
    seeds: Annotated[
        int, typer.Option(help="in how many ways candidates and shapes are dealt out", min=1, metavar="N")
    ] = 10,
    resolution: ResolutionOption = 224,
    note: Annotated[
        str, typer.Option(help="how the times were taken, for below the table", metavar="SENTENCE")
    ] = "",
    markdown: MarkdownOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge cost models by what they predict of candidates, layers and networks that they have not seen."""
    with reported(place=markdown):
        from cost_models.registry import known_cost_models
        from explorer.settings import RUNS
        from explorer.studies.ground_truth import distinct_layers
        from explorer.studies.model_scores import model_scores, timed_observations
        from explorer.studies.roofline_bound import bound_sentence
        from explorer.studies.study_table import StudyTable, show, write_markdown
        from explorer.studies.zoo_networks import network_named
        from microbench.profile import load_profile

        profile = load_profile(device)
        judged = timed_observations(store or str(RUNS / "truth.sqlite"), profile)
        learned = timed_observations(learned_from, profile) if learned_from else None
        owners: dict[LayerSpec, str] = {}
        for name in networks or MODELS:
            with network_named(name, resolution) as network:
                owners |= {
                    spec: name for spec in distinct_layers(network.graph).values() if spec not in owners
                }
        names = cost_model or known_cost_models()
        taught = learned.observations if learned else None
        rows = tuple(map(_row, model_scores(names, profile, judged.observations, taught, owners, seeds)))
        source = (
            f"samples of another store ({len(learned.observations)}). {learned.left_out}"
            if learned
            else "the samples judged by."
        )
        told = (f"Times of {profile.title}.", note, judged.left_out, f"Models learn from {source}")
        notes = (
            " ".join(filter(None, told)),
            judged.noise,
            bound_sentence(judged.observations, profile),
        )
        table = StudyTable(f"{profile.name}: errors of what was not seen", COLUMNS, rows, notes)
        show([table], as_json, "explore run --cost-model NAME searches with another than the default")
        if markdown is not None:
            write_markdown(markdown, TITLE, INTRODUCTION, [table])


def _row(found: ModelScores) -> tuple[str, ...]:
    scores = found.scores

    def percent(values: Iterable[float], worst: Callable[[Sequence[float]], float]) -> str:
        every = [100 * value for value in values]
        more = f" ({worst(every):.1f})" if len(every) > 1 else ""
        return f"{median(every):.1f}{more} %"

    return (
        found.model,
        found.held_out,
        "near the best" if found.near else "all",
        str(scores[0].samples),
        str(scores[0].layers),
        percent((one.median_error for one in scores), max),
        percent((one.p90_error for one in scores), max),
        f"{median(one.rank for one in scores):.2f}",
        percent((one.top_regret for one in scores), max),
        percent((one.coverage for one in scores), min),
        percent((one.worst_coverage for one in scores), min),
        percent((one.width for one in scores), max),
    )
