"""The data files that a run leaves beside its plan and summary, for reports and for anyone else who reads CSV.

samples.csv has a row per measured candidate, in the order they were measured; run.json says which run it is and
has the command that makes it again. Equal runs write equal bytes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codegen.schedule import Values
from explorer.errors import RunDataError
from explorer.objectives.usage import traffic_bytes
from explorer.runs.report import MeasuredCandidate
from explorer.settings import RunSettings

SAMPLES_FILE = "samples.csv"
COMMAND_FILE = "run.json"
COMMAND_FORMAT = 2
PRIOR, MEASURED = "prior", "measured"  # in run.json: ids of samples, learned from and taken
CONTENTS = "samples"  # in run.json: the same by their contents, which no other store changes
# Of samples.csv, with what they say. Empty where there is nothing to say.
SAMPLE_COLUMNS = {
    "layer": "the layer in a line: operator and shapes (NCHW)",
    "spec_hash": "hash of the layer: equal layers share samples",
    "candidate": "hash of layer and choice",
    "engine": "that computes it: cpu, videocore4 or a plug-in's",
    "algorithm": "as `explore algorithms` lists it",
    "split": "how processing elements share the layer, as name=value",
    "tile": "sizes of tiles, as name=value",
    "input_layouts": "layout in memory of each input",
    "output_layouts": "layout in memory of each output",
    "status": "ok, wrong (the output differs from the reference) or failed",
    "kind": "what the time is: silicon, host, simulated (a twin's too) or modelled",
    "time_s": "seconds: median of the repeats, within a launch",
    "predicted_s": "seconds, by the model without having seen the layer",
    "predicted_low_s": "seconds: lower end of the prediction's interval",
    "predicted_high_s": "seconds: upper end of the prediction's interval",
    "macs": "multiplications with addition, counted from shapes",
    "traffic_bytes": "bytes read, re-reads included, and written, counted from shapes",
    "message": "why a candidate is not ok",
}


@dataclass(frozen=True)
class Contents:
    """The samples that a run learned from and those that it took, by the digests of their contents."""

    prior: tuple[str, ...]
    measured: tuple[str, ...]


def write_samples(measured: Iterable[MeasuredCandidate], path: Path) -> None:
    """samples.csv, columns as `SAMPLE_COLUMNS`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SAMPLE_COLUMNS)
        writer.writerows(_row(candidate) for candidate in measured)


def command_text(settings: RunSettings, identity: str) -> str:
    """run.json: the run's identity, and the words of the command line that asks for the same run; files by name, no
    place of this machine.
    """
    command = ["explore", "run", *_arguments(settings)]
    content = {"format": COMMAND_FORMAT, "identity": identity, "command": command}
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def recorded_ids(directory: Path, what: str) -> tuple[int, ...] | None:
    """Ids of samples that run.json lists under a name; None where it does not, or is damaged."""
    ids = _recorded(directory, what)
    return tuple(map(int, ids)) if isinstance(ids, list) else None


def record_ids(directory: Path, what: str, ids: Iterable[int]) -> None:
    """Adds a list of ids of samples to run.json: what the run learned from, or what it measured."""
    _record(directory, what, list(ids))


def recorded_contents(directory: Path) -> Contents | None:
    """Digests of the samples that a run learned from and took; None where run.json has none, or is damaged."""
    found = _recorded(directory, CONTENTS)
    lists = [found.get(name) for name in (PRIOR, MEASURED)] if isinstance(found, dict) else []
    if not lists or not all(isinstance(digests, list) for digests in lists):
        return None
    prior, measured = (tuple(map(str, digests)) for digests in lists if isinstance(digests, list))
    return Contents(prior, measured)


def record_contents(directory: Path, contents: Contents) -> None:
    """Adds to run.json what the run learned from and took, by content."""
    _record(directory, CONTENTS, asdict(contents))


def recorded_command(directory: Path) -> tuple[str, ...]:
    """The options of the command line that made a run. Raises RunDataError where run.json has none."""
    words = _recorded(directory, "command")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise RunDataError(f"{directory / COMMAND_FILE} is not there or damaged: name a run's directory")
    return tuple(words[2:])


def _recorded(directory: Path, what: str) -> Any:
    try:
        content = json.loads((directory / COMMAND_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content.get(what) if isinstance(content, dict) else None


def _record(directory: Path, what: str, value: object) -> None:
    path = directory / COMMAND_FILE
    content = json.loads(path.read_text(encoding="utf-8")) | {what: value}
    write_whole(json.dumps(content, indent=2, sort_keys=True) + "\n", path)


def write_whole(text: str, path: Path) -> None:
    """All of it or nothing, whatever interrupts."""
    beside = path.with_suffix(".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _row(measured: MeasuredCandidate) -> Iterable[object]:
    choice, work, predicted = measured.choice, measured.work, measured.predicted
    return (
        measured.layer,
        measured.spec_hash,
        measured.candidate,
        choice.engine,
        choice.algorithm,
        _axes(choice.split),
        _axes(choice.tile),
        " ".join(choice.input_layouts),
        " ".join(choice.output_layouts),
        measured.status,
        measured.kind,
        measured.time_s,
        *((predicted.time_s, predicted.low_s, predicted.high_s) if predicted else (None, None, None)),
        work.macs,
        traffic_bytes(work),
        measured.message,
    )


def _axes(values: Values) -> str:
    return " ".join(f"{name}={value}" for name, value in values)


def _arguments(settings: RunSettings) -> Iterable[str]:
    yield from ("--device", Path(settings.device).name)
    if settings.model:
        yield from ("--model", settings.model.name)
    for name, shape in sorted(settings.shapes.items()):
        yield from ("--shape", f"{name}={','.join(map(str, shape))}")
    for name, value in sorted(settings.values.items()):
        yield from ("--value", f"{name}={value}")
    if settings.board:
        yield from ("--board", settings.board)
    for name in sorted(settings.board_options):  # a value may be a place, or the serial number of a board
        yield from ("--board-option", f"{name}={name.upper()}")
    if settings.ssh:
        yield from ("--ssh", "USER@HOST", *(("--sudo",) if settings.ssh.sudo else ()))
    if settings.v3d_hz:
        yield from ("--v3d-hz", f"{settings.v3d_hz:.0f}")
    if settings.qpus:
        yield from ("--qpus", str(settings.qpus))
    if settings.gpu_memory:
        yield from ("--gpu-memory", settings.gpu_memory)
    if settings.weights != "float32":
        yield from ("--weights", settings.weights)
    if settings.objective != "latency":
        yield from ("--objective", settings.objective)
    for name, price in sorted(settings.prices.items()):
        yield from ("--price", f"{name}={price:g}")
    if settings.robust:
        yield "--robust"
    if settings.max_memory_bytes is not None:
        yield from ("--max-memory", str(settings.max_memory_bytes))
    if settings.with_cpu_plan:
        yield "--with-cpu-plan"
    if settings.twin:
        yield from ("--twin", Path(settings.twin).name)
    if settings.no_twin:
        yield "--no-twin"
    if settings.probes:
        yield from ("--probes", str(settings.probes))
    if settings.farm:
        yield from ("--farm", settings.farm)
    yield from ("--cost-model", settings.cost_model)
    if settings.prior != "store":
        yield from ("--prior", settings.prior)
    if settings.samples:
        yield from ("--from", settings.samples.name)
    search = settings.search
    yield from ("--strategy", settings.strategy, "--seed", str(search.seed))
    if search.budget.text:
        yield from ("--budget", search.budget.text)
    yield from ("--layer-budget", str(search.layer_budget))
    for option, rules in (("--force", search.restrictions.force), ("--forbid", search.restrictions.forbid)):
        for rule in rules:
            yield from (option, rule.text)
    if search.restrictions.cores_free:
        yield from ("--keep-cores-free", str(search.restrictions.cores_free))
    yield from ("--rehearsals", str(settings.rehearsal.rounds))
