"""`explore bench cpu-layers`: where the time of compiled networks goes on this machine."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.bench.options import JsonOption, MarkdownOption
from explorer.terminal.exits import reported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microbench.profile import DeviceProfile

INTRODUCTION = """\
`explore bench cpu-layers` runs a compiled network many times on this machine and takes the median time of each step
within it (kind: host). GFLOP/s count two operations for each multiply-accumulate of direct convolution, whatever the
algorithm; `of peak` divides by the threads of the step times the peak of one core, which a loop of independent vector
multiply-accumulates reached in between. Bytes are counted from shapes: `least` reads everything once, `streamed` is
the estimate with what caches lose; GB/s are streamed bytes over time."""


def cpu_layers(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="directories that `explore run --device host` wrote, or bundles", metavar="RUN"),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="a plan to compile and run instead; give its --model too", metavar="FILE"),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="ONNX file that --plan was made for", metavar="FILE")
    ] = None,
    rounds: Annotated[
        int, typer.Option(help="rounds, each between two measurements of the peak", min=1, metavar="N")
    ] = 5,
    repeats: Annotated[
        int, typer.Option(help="timed runs of the network in a round", min=1, metavar="N")
    ] = 10,
    markdown: MarkdownOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show for each layer of a compiled network its time, its speed and its share of this machine's peak."""
    with reported(place=markdown), ExitStack() as places:
        from explorer.studies.layer_times import measure_layers
        from explorer.studies.layer_times_table import kind_table, layer_table
        from explorer.studies.study_table import show, write_markdown
        from microbench.boards.execution import LocalExecutor
        from microbench.profile import load_profile

        profile, tables = load_profile("host"), []
        for bundle in _bundles(runs or [], plan, model, profile, places):
            times = measure_layers(bundle, profile, LocalExecutor(), rounds, repeats)
            found = [layer_table(times), kind_table(times)]
            if not as_json:
                show(found, as_json)
            tables += found
        if markdown is not None:
            write_markdown(markdown, "Layers on this machine's CPU", INTRODUCTION, tables)
        then = "explore explain RUN LAYER says why a layer is computed as it is"
        show(tables if as_json else (), as_json, then)


def _bundles(
    runs: Sequence[Path], plan: Path | None, model: Path | None, profile: DeviceProfile, places: ExitStack
) -> list[Path]:
    from explorer.errors import UsageError

    if (plan is None) != (model is None) or bool(runs) == (plan is not None):
        raise UsageError("name directories of runs, or give --plan and --model")
    if plan is None or model is None:
        return [run / "bundle" if (run / "bundle").is_dir() else run for run in runs]
    return [_compiled(plan, model, profile, places)]


def _compiled(plan_path: Path, model: Path, profile: DeviceProfile, places: ExitStack) -> Path:
    from tempfile import TemporaryDirectory

    from codegen.bundle import compile_bundle
    from codegen.plan import check_plan_fits, read_plan
    from explorer.plans.network import load_network

    plan = read_plan(plan_path)
    network = load_network(model, {tensor.name: tensor.shape for tensor in plan.inputs}, plan.model_name)
    check_plan_fits(plan, network.sha256)
    directory = Path(places.enter_context(TemporaryDirectory(prefix="explore-bundle-"))) / "bundle"
    compile_bundle(network.graph, plan, profile.target(), directory)
    return directory
