"""Every fault at every step of a run, and the table of what came of it.

    python -m tests.explorer.faults.table [--out results/faults.md] [--only TEXT] [--at TEXT] [--side-by-side N]
        [--records FILE] [--note TEXT]

Each row is a run of its own over a real OpenSSH server on loopback; what is in the file of records is not tried again.
Ends with exit code 1 where a sample was lost or a run did not end well.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from statistics import median

from rich.console import Console

from tests.explorer.faults.clock import CLOCK_FAULTS
from tests.explorer.faults.disk import DISK_FAULTS
from tests.explorer.faults.fault import Fault
from tests.explorer.faults.kernels import KERNEL_FAULTS
from tests.explorer.faults.link import LINK_FAULTS
from tests.explorer.faults.processes import PROCESS_FAULTS
from tests.explorer.faults.steps import Step
from tests.explorer.faults.trial import Trial, attempt
from tests.explorer.faults.virtual_pi import VIRTUAL_PI_FAULTS
from tests.explorer.tiny import write_tiny_model
from tests.microbench.loopback_sshd import LoopbackServer, loopback_server

FAULTS: tuple[Fault, ...] = (
    *(*LINK_FAULTS, *PROCESS_FAULTS, *DISK_FAULTS, *KERNEL_FAULTS, *CLOCK_FAULTS),
    *VIRTUAL_PI_FAULTS,
)
RESULT = Path(__file__).parents[3] / "results" / "faults.md"

INTRODUCTION = """\
# Faults

What becomes of `explore run` when something fails. Every row is one run of a network of four layers over a real OpenSSH
server on loopback, through a proxy that fails at that step; the program stops at the step until the fault has
happened. Where a fault is a virtual Pi's, the programs, the firmware and the QPUs of one are at the other end.
`python -m tests.explorer.faults.table` makes this file.

- **Samples lost**: measurements that the board had answered with and that the store does not hold in the end.
- **Commands**: how often the user had to give `explore run`; 1 where it went on by itself. Before the second, what the
  message asks for was done (disk space made, the other host left alone until it had ended).
- **Time to recover**: from the fault to the next result, a sample in the store or a run of the network. Where the
  command was given again it holds the new start, and for a frozen link the time that it was frozen.

Messages are as printed, with names for places, processes and hashes that differ from run to run.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Tries what was asked for and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULT, help="the table to write")
    parser.add_argument("--only", default="", help="only faults whose name contains this")
    parser.add_argument("--at", default="", help="only steps whose title contains this")
    parser.add_argument("--side-by-side", type=int, default=4, help="runs at one time; most of them wait")
    parser.add_argument("--records", type=Path, help="trials as they end, a line of JSON each")
    parser.add_argument("--note", default="", help="what the page says of the machine and when it was made")
    asked = parser.parse_args(arguments)
    faults = [fault for fault in FAULTS if asked.only in fault.name]
    trials, not_tried = _tried(faults, asked.at, asked.side_by_side, _Records(asked.records))
    asked.out.write_text("\n".join(_document(trials, not_tried, asked.note)) + "\n", encoding="utf-8")
    bad = [trial for trial in trials if trial.lost or not trial.ended_well]
    console = Console(soft_wrap=True, highlight=False)
    for trial in bad:
        console.print(f"{trial.fault}, {trial.step}: {trial.lost} lost, {trial.seen}", markup=False)
    console.print(f"{len(trials)} trials, {len(bad)} of them bad: {asked.out}", markup=False)
    return 1 if bad or not trials else 0


class _Records:
    """Trials that are done; `path` None: none are kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []
        trials = [Trial(**json.loads(line)) for line in lines]
        self._known = {(trial.fault, trial.step): trial for trial in trials}

    def trial(self, fault: Fault, step: Step) -> Trial | None:
        """What came of it; None where it is not known."""
        return self._known.get((fault.name, step.title))

    def add(self, trial: Trial) -> None:
        """A line is written at once, whoever writes others meanwhile."""
        if self._path:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(trial)) + "\n")


def _tried(
    faults: Iterable[Fault], at: str, side_by_side: int, records: _Records
) -> tuple[list[Trial], list[str]]:
    """Every trial, in the order of the table, and why others were none."""
    not_tried = []
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        directory = Path(scratch)
        model = write_tiny_model(directory / "tiny.onnx")
        (directory / "keys").mkdir()
        with loopback_server(directory / "keys") as server, ThreadPoolExecutor(side_by_side) as pool:
            due: list[Future[Trial]] = []
            for fault in faults:
                reason = fault.why_not()
                if reason:
                    not_tried.append(f"{fault.name}: {reason}")
                    continue
                for step in fault.steps:
                    if at in step.title:
                        place = directory / f"trial-{len(due)}"
                        due.append(pool.submit(_attempt, fault, step, server, model, place, records))
            return [future.result() for future in due], not_tried


def _attempt(
    fault: Fault, step: Step, server: LoopbackServer, model: Path, place: Path, records: _Records
) -> Trial:
    known = records.trial(fault, step)
    if known:
        return known
    trial = attempt(fault, step, server, model, place)
    records.add(trial)
    sys.stderr.write(f"{trial.fault}, {trial.step}: {_seconds(trial.recovery_s)}, {trial.lost} lost\n")
    return trial


def _document(trials: Sequence[Trial], not_tried: Sequence[str], note: str = "") -> Iterable[str]:
    yield INTRODUCTION
    if note:
        yield f"{note}\n"
    yield "| fault | steps | samples lost | went on by itself | time to recover, median | worst |"
    yield "|---|---:|---:|---:|---:|---:|"
    names = list(dict.fromkeys(trial.fault for trial in trials))
    for name in names:
        yield _summary(name, [trial for trial in trials if trial.fault == name])
    for reason in not_tried:
        yield f"\nNot tried on this machine: {reason}."
    for name in names:
        yield f"\n## {name[0].upper()}{name[1:]}\n"
        yield "| step | what the user sees | samples before | lost | commands | time to recover |"
        yield "|---|---|---:|---:|---:|---:|"
        yield from (_row(trial) for trial in trials if trial.fault == name)


def _summary(name: str, trials: Sequence[Trial]) -> str:
    times_s = [trial.recovery_s for trial in trials if trial.recovery_s is not None]
    alone = sum(trial.runs == 1 and trial.ended_well for trial in trials)
    lost = sum(trial.lost for trial in trials)
    middle, worst = (median(times_s), max(times_s)) if times_s else (None, None)
    return f"| {name} | {len(trials)} | {lost} | {alone} of {len(trials)} | {_seconds(middle)} | {_seconds(worst)} |"


def _row(trial: Trial) -> str:
    seen = trial.seen.replace("|", "\\|").replace("<", "&lt;").replace("\n", "<br>") or "nothing"
    end = "" if trial.ended_well else " **did not end well**"
    cells = (trial.step, seen + end, trial.taken, trial.lost, trial.runs, _seconds(trial.recovery_s))
    return f"| {' | '.join(map(str, cells))} |"


def _seconds(time_s: float | None) -> str:
    return "never" if time_s is None else f"{time_s:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
