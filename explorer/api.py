"""`explore run` from Python, and what a run left as one object. The package `explorer` offers the names of this module.

The examples run in a directory with `tiny.onnx`, a network with an input `x` of 1x3x8x8 and an output `y` of 1x5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from codegen.plan import Plan
from explorer.errors import RunDataError
from explorer.pipeline.results import run_with_results, show_results
from explorer.pipeline.run import Run
from explorer.plans.check import require
from explorer.runs.data import BUNDLE_DIRECTORY, RunData
from explorer.runs.data import open_run as read_run
from explorer.runs.figures import figures
from explorer.runs.files import SAMPLES_FILE
from explorer.runs.frames import steps_frame
from explorer.runs.report import RunReport
from explorer.settings import RUNS, RunSettings
from explorer.terminal.output_errors import output_errors
from explorer.terminal.progress import Progress, Silent
from explorer.terminal.progress_lines import progress_on
from microbench.profile import load_profile

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from codegen.loaded import LoadedBundle


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A run's directory, read. Tables are read when they are first asked for; all times are in seconds, and a column
    `kind` beside them says what they are: `silicon`, `host`, `simulated` or `modelled`.

    >>> from explorer import open_run
    >>> run = open_run("runs/tiny")
    >>> run.plan.device, run.kinds
    ('host', ('modelled',))
    >>> layers = run.layers[run.layers["operator"] != "Relayout"]
    >>> layers[["layer", "engine", "kind"]].head(2).reset_index(drop=True)
          layer engine      kind
    0     first    cpu  modelled
    1  second     cpu  modelled
    """

    data: RunData  # what functions of reports and comparisons take
    summary: RunReport

    @property
    def directory(self) -> Path:
        return self.data.directory

    @property
    def plan(self) -> Plan:
        """Every decision; `plan.steps` are in the order they run."""
        return self.data.plan

    @property
    def time_s(self) -> float:
        """Seconds of one inference: of the whole bundle where the board ran it, else as composed."""
        return self.data.time_s

    @property
    def kinds(self) -> tuple[str, ...]:
        """What `time_s` is made of."""
        return self.data.kinds

    @property
    def command(self) -> tuple[str, ...]:
        """The words of the command line that makes this run again. Raises RunDataError where run.json is damaged."""
        return self.data.command or ()

    @cached_property
    def candidates(self) -> pd.DataFrame:
        """Every measured candidate in the order of measurement, columns as `explorer.runs.files.SAMPLE_COLUMNS`.

        Raises RunDataError where samples.csv is absent or damaged.
        """
        samples = self.data.samples
        if samples is None:
            raise RunDataError(f"{self.directory / SAMPLES_FILE} is not there; make the run again")
        return samples

    @cached_property
    def layers(self) -> pd.DataFrame:
        """A row per step of the plan in the order they run, columns as `explorer.runs.frames.STEP_COLUMNS`."""
        return steps_frame(self.data)

    @property
    def front(self) -> pd.DataFrame | None:
        """The plans of the front, columns as `explorer.runs.data.FRONT_COLUMNS`; None where none was asked for.

        Each has plan.json and a bundle in `front/<plan>/`. Raises RunDataError where front.csv is damaged.
        """
        return self.data.front

    @property
    def figures(self) -> Mapping[str, Path]:
        """PNG files by what they show: `layers`, and `candidates` where any were timed; drawn when first asked for.

        Raises RunDataError where samples.csv is damaged, and OSError where they cannot be written.
        """
        return figures(self.data)

    @property
    def files(self) -> Mapping[str, Path]:
        """All that the run left, directories too, by name."""
        return {path.name: path for path in sorted(self.directory.iterdir())}

    @property
    def bundle(self) -> Path:
        """The directory of the compiled network."""
        return self.directory / BUNDLE_DIRECTORY

    def load_bundle(self, profile: str | None = None) -> LoadedBundle:
        """The compiled network as a callable in this process, whatever device it is for: compiled for this machine,
        steps on QPUs computed by the virtual board in the bundle, on a Raspberry Pi by its own.

        `profile`: name or file *.toml of the device, where it is not the built-in one that the plan names. Raises
        BundleError for a damaged bundle, GpuUnavailableError where QPUs are not to be had, ToolchainError where it
        cannot be compiled, ProfileError for an unknown profile.

        >>> import numpy
        >>> from explorer import open_run
        >>> with open_run("runs/tiny").load_bundle() as model:
        ...     outputs = model.run({"x": numpy.zeros((1, 3, 8, 8), numpy.float32)})
        >>> outputs["y"].shape, outputs["y"].dtype
        ((1, 5), dtype('float32'))
        """
        from codegen.loaded import load_bundle

        own = load_profile(profile or self.plan.device)
        here = own if not own.compiler_target else load_profile("host")
        return load_bundle(self.bundle, here.target())


def explore(
    settings: RunSettings,
    *,
    console: Console | None = None,
    progress: Progress | None = None,
    show: Callable[[Run, Console], None] = show_results,
) -> FinishedRun:
    """Searches, composes, compiles and checks a network: the same as `explore run`, with the same files.

    Nothing is printed. A rich `console` shows what the command shows; `progress` is told the news in place of its
    bars, and `show` shows the results in place of its tables.

    Raises ExploreError, whose subclasses name what went wrong; texts name options of the command line, which are the
    fields of the settings. Among them: UsageError for settings that contradict each other; ModelError for a network
    that cannot be read, UnsupportedOperatorError and DynamicShapeError included; ProfileError, DevicesError and
    BoardError for a board; SearchError where a layer cannot be computed on it; StoreError for the samples;
    RunExistsError for a directory of another run, OutputError for one that cannot be written; and CheckFailedError
    where the compiled network's outputs are wrong, after everything is written. What is interrupted goes on where it
    stopped when it is called again.

    >>> from explorer import RunSettings, SearchSettings, explore
    >>> settings = RunSettings(
    ...     model="tiny.onnx", device="host", board="null", search=SearchSettings(layer_budget=2), out="runs/tiny"
    ... )
    >>> run = explore(settings)
    >>> {step.choice.engine for step in run.plan.steps}
    {'cpu'}
    >>> sorted(run.files)
    ['bundle', 'counters.csv', 'layers.csv', 'plan.json', 'reasons.csv', 'run.json', 'samples.csv', 'summary.json',
     'table.txt']
    """
    with output_errors(settings.out or RUNS):
        with _progress(console, progress) as told:
            result = run_with_results(
                settings,
                told,
                lambda line: console.print(line, style="bold", markup=False) if console else None,
            )
        if console is not None:
            show(result, console)
    if result.report.check is not None:
        require(result.report.check)
    if result.report.cpu_plan is not None:
        require(result.report.cpu_plan.check)
    return open_run(result.directory)


def open_run(directory: str | Path) -> FinishedRun:
    """The run in a directory that `explore` or `explore run` wrote.

    Raises RunDataError where there is none, it did not finish, or a file of it is damaged, and PlanError for a
    damaged plan.

    >>> from explorer import ExploreError, open_run
    >>> try:
    ...     open_run("runs/nowhere")
    ... except ExploreError as error:
    ...     print(type(error).__name__, error)
    RunDataError runs/nowhere is no directory: name a directory that `explore run` wrote; `explore runs` lists them
    """
    data = read_run(directory)
    if data.report is None:
        raise RunDataError(f"{directory} holds no finished run: summary.json is not there; run it again")
    return FinishedRun(data, data.report)


@contextmanager
def _progress(console: Console | None, progress: Progress | None) -> Iterator[Progress]:
    """Who is told of the run's progress."""
    if progress is not None or console is None:
        yield progress or Silent()
        return
    with progress_on(console) as bars:
        yield bars
