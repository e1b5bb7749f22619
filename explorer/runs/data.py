"""A run's directory as data: what reports, listings and comparisons are made from. Nothing else is read."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from codegen.errors import PlanError
from codegen.plan import Plan, read_plan
from explorer.errors import RunDataError
from explorer.objectives.registry import objectives
from explorer.runs.counters import COUNTER_COLUMNS, COUNTERS_FILE
from explorer.runs.files import COMMAND_FILE, COMMAND_FORMAT, SAMPLE_COLUMNS, SAMPLES_FILE
from explorer.runs.reasons import REASON_COLUMNS, REASONS_FILE
from explorer.runs.report import SUMMARY_FORMAT, RunReport

if TYPE_CHECKING:
    import pandas as pd

PLAN_FILE = "plan.json"
BUNDLE_DIRECTORY = "bundle"
SUMMARY_FILE = "summary.json"
FRONT_FILE = "front.csv"
# Of front.csv, with what they say.
FRONT_COLUMNS = {
    "plan": "name of the plan: its directory in front/",
    **{objective.column: objective.explanation for objective in objectives()},
    "kind": "what the times are: silicon, host, simulated or modelled",
    "energy_kind": "what the energy is: metered or modelled; empty where nothing is known of it",
}


@dataclass(frozen=True, eq=False)
class RunData:
    """A plan with what else its run left; `report` is None where there is a plan only.

    Tables are read when they are first asked for: they raise RunDataError where their file is damaged and are
    None where it is absent.
    """

    directory: Path
    plan: Plan
    report: RunReport | None

    @property
    def name(self) -> str:
        """What the run is called in tables: the directory's name."""
        return self.directory.resolve().name

    @property
    def board(self) -> str | None:
        """The board's model, None where only the plan is there."""
        return self.report.board if self.report else None

    @property
    def time_s(self) -> float:
        """The network's time: of the whole bundle where it was run, else the plan's."""
        return self.report.time_s if self.report else self.plan.predicted_s

    @property
    def kinds(self) -> tuple[str, ...]:
        """What the time of the network is made of; steps that take no time are of no kind."""
        if self.report:
            return self.report.kinds
        return tuple(sorted({step.kind for step in self.plan.steps if step.predicted_s > 0}))

    @property
    def speedup(self) -> float | None:
        """The time of the plan without QPUs over this one's; None where this plan uses none, or nothing is known."""
        if self.report:
            return self.report.speedup
        if self.plan.cpu_only_predicted_s is None or self.plan.is_of_host:
            return None
        return self.plan.cpu_only_predicted_s / self.plan.predicted_s

    @cached_property
    def samples(self) -> pd.DataFrame | None:
        """The measured candidates, one a row, columns as `SAMPLE_COLUMNS`."""
        return _table(self.directory / SAMPLES_FILE, SAMPLE_COLUMNS)

    @cached_property
    def reasons(self) -> pd.DataFrame | None:
        """Why candidates were measured, one a row, columns as `REASON_COLUMNS`."""
        return _table(self.directory / REASONS_FILE, REASON_COLUMNS)

    @cached_property
    def counters(self) -> pd.DataFrame | None:
        """What roofline and board say of candidates, one a row: `COUNTER_COLUMNS`, and a column for each counter."""
        return _table(self.directory / COUNTERS_FILE, COUNTER_COLUMNS)

    @cached_property
    def front(self) -> pd.DataFrame | None:
        """The plans none of which is better than another in every objective that is told."""
        front = _table(self.directory / FRONT_FILE, FRONT_COLUMNS)
        return front if front is None or len(front) else None

    @cached_property
    def command(self) -> tuple[str, ...] | None:
        """The words of the command line that makes this run again."""
        path = self.directory / COMMAND_FILE
        if not path.is_file():
            return None
        content = _json(path)
        words = content.get("command")
        if content.get("format") != COMMAND_FORMAT or not isinstance(words, list):
            raise RunDataError(f"{path} is of another version or damaged; {_AGAIN}")
        return tuple(map(str, words))


_AGAIN = "make it again by `explore run`"


def open_run(directory: str | Path) -> RunData:
    """The run in a directory, or the plan alone where `directory` is a plan file.

    Raises RunDataError for a directory without a run or with damaged files, PlanError for a damaged plan.
    """
    place = Path(directory)
    if place.is_file():
        return RunData(place.parent, read_plan(place), None)
    if not (place / PLAN_FILE).is_file():
        what = "has no plan.json" if place.is_dir() else "is no directory"
        raise RunDataError(
            f"{place} {what}: name a directory that `explore run` wrote; `explore runs` lists them"
        )
    plan = read_plan(place / PLAN_FILE)
    path = place / SUMMARY_FILE
    report = read_summary(path) if path.is_file() else None
    if report and [step.name for step in report.steps] != [step.name for step in plan.steps]:
        raise RunDataError(f"{path} is not of the run that wrote {place / PLAN_FILE}; {_AGAIN}")
    return RunData(place, plan, report)


def read_summary(path: Path) -> RunReport:
    """The report in a summary.json, without its single candidates; raises RunDataError naming what is wrong."""
    content = _json(path)
    if content.get("format") != SUMMARY_FORMAT:
        raise RunDataError(
            f"{path} is of format {content.get('format')!r}, this program reads {SUMMARY_FORMAT}; {_AGAIN}"
        )
    try:
        return TypeAdapter(RunReport).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise RunDataError(f"{path}: {place}: {first['msg']}; {_AGAIN}") from error


def open_runs(directory: Path) -> tuple[tuple[Path, RunData | str], ...]:
    """Every run in a directory, itself included, by name; for a damaged one, what is wrong with it.

    Raises RunDataError where there is no such directory.
    """
    if not directory.is_dir():
        raise RunDataError(
            f"{directory} is no directory: `explore run` makes runs, by default in results/runs"
        )
    places = [directory, *sorted(place for place in directory.iterdir() if place.is_dir())]
    return tuple((place, _opened(place)) for place in places if (place / PLAN_FILE).is_file())


def _opened(place: Path) -> RunData | str:
    try:
        return open_run(place)
    except (RunDataError, PlanError) as error:
        return str(error)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunDataError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise RunDataError(f"{path} is not JSON: {error}; {_AGAIN}") from error
    if not isinstance(content, dict):
        raise RunDataError(f"{path} is no JSON object; {_AGAIN}")
    return content


def _is_number(name: str, columns: Collection[str]) -> bool:
    """Whether a column of a table holds numbers; those that are not of its `columns` do, as counters."""
    return name not in columns or name.endswith(("_s", "_bytes", "_j")) or name in ("macs", "round", "gain")


def _table(path: Path, columns: Collection[str]) -> pd.DataFrame | None:
    import pandas as pd

    if not path.is_file():
        return None
    try:
        numbers = {name: float for name in pd.read_csv(path, nrows=0).columns if _is_number(name, columns)}
        texts = {name: str for name in columns if name not in numbers}
        table = pd.read_csv(
            path, dtype={**numbers, **texts}, keep_default_na=False, na_values=dict.fromkeys(numbers, "")
        )
    except OSError as error:
        raise RunDataError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # pandas' own ParserError and EmptyDataError are ValueErrors too
        raise RunDataError(f"{path} is damaged: {str(error).strip()}; {_AGAIN}") from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise RunDataError(f"{path} has no column {missing[0]!r}; {_AGAIN}")
    return table
