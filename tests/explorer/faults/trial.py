"""One fault at one step of one run: what the user sees, what is lost, how long it takes to go on."""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.explorer.faults.fault import Fault
from tests.explorer.faults.rig import Event, Rig, SteppedRun
from tests.explorer.faults.steps import Step
from tests.microbench.link_proxy import LinkProxy
from tests.microbench.loopback_sshd import LoopbackServer

RESULTS = frozenset({"stored", "ran"})
MOST_RUNS = 3  # of the same command


@dataclass(frozen=True)
class Trial:
    """What became of it.

    `runs` is how often the user had to give the command; `recovery_s` is from the fault to the next result (a sample
    in the store, a run of the network, the end), None where none came; `taken` samples were measured until the fault,
    `lost` ones measured at any time and not in the store afterwards.
    """

    fault: str
    step: str
    seen: str
    taken: int
    lost: int
    runs: int
    recovery_s: float | None
    ended_well: bool


class _Watch:
    """Strikes at the step, and keeps in mind when that was."""

    def __init__(self, fault: Fault, step: Step, rig: Rig) -> None:
        self._fault, self._step, self._rig = fault, step, rig
        self.struck_s: float | None = None
        self.taken_before = 0
        self.recovered_s: float | None = None
        self.taken: Counter[str] = Counter()

    def follow(self, run: SteppedRun) -> int:
        """The exit code of a run that is followed to its end; what one that fails found before is no recovery."""
        self.recovered_s = None
        for event in run.follow():
            self._note(event)
            if event.form == "step":
                run.answer(self._reaction(event, run))
        code = run.process.returncode
        if code == 0 and self.struck_s is not None:
            self.recovered_s = self.recovered_s or time.monotonic()
        return code

    def _reaction(self, event: Event, run: SteppedRun) -> str:
        if self.struck_s is not None or (event.what, event.count) != (self._step.what, self._step.count):
            return "go"
        self.taken_before = self.taken.total()
        answer = self._fault.strike(self._rig, run, self._step)
        self.struck_s = time.monotonic()
        return answer

    def _note(self, event: Event) -> None:
        if event.what == "taken":
            self.taken[event.detail] += 1
        if self.struck_s is None:
            return
        self._fault.notice(self._rig, event)
        if event.form == "event" and event.what in RESULTS:
            self.recovered_s = self.recovered_s or event.at_s


def attempt(fault: Fault, step: Step, server: LoopbackServer, model: Path, place: Path) -> Trial:
    """Tries it in a fresh directory, and gives the command again until it ends well.

    A run that never comes to the step did not end well, whatever it says.
    """
    place.mkdir(parents=True)
    with (
        LinkProxy(server.port) as proxy,
        fault.prepared(Rig(place, server, proxy, model)) as rig,
    ):
        watch = _Watch(fault, step, rig)
        runs: list[SteppedRun] = []
        code = 1
        while code != 0 and len(runs) < MOST_RUNS:
            runs.append(rig.start())
            code = watch.follow(runs[-1])
            if code != 0:
                fault.mend(rig)
        fault.mend(rig)
        struck_s = watch.struck_s
        seen = _seen(runs, fault.seen(rig), rig)
        lost = _lost(watch.taken, rig)
    trial = Trial(
        fault.name,
        step.title,
        seen if struck_s is not None else f"the run never came to this step\n{seen}",
        watch.taken_before,
        lost,
        len(runs),
        None if watch.recovered_s is None or struck_s is None else watch.recovered_s - struck_s,
        code == 0 and struck_s is not None and (place / "out" / "plan.json").is_file(),
    )
    if trial.ended_well and not lost:
        shutil.rmtree(place)
    return trial


def _lost(taken: Counter[str], rig: Rig) -> int:
    """Measurements that a board's answer gave, and that no row of the store holds."""
    stored = Counter(candidate for _, candidate, status in rig.stored() if status != "failed")
    return (taken - stored).total()


def _seen(runs: Iterable[SteppedRun], elsewhere: str, rig: Rig) -> str:
    """What was printed, each message once, without what differs from machine to machine."""
    said = [line.strip() for run in runs for line in run.said.splitlines() if line.strip()]
    said += [line.strip() for line in elsewhere.splitlines() if line.strip()]
    return "\n".join(dict.fromkeys(_without_places(line, rig) for line in said))


def _without_places(text: str, rig: Rig) -> str:
    for path, name in (
        (str(rig.place), "DIRECTORY"),
        (str(rig.server.directory), "KEYS"),
        (rig.server.user, "USER"),
    ):
        text = text.replace(path, name)
    text = re.sub(r"127\.0\.0\.1:\d+", "BOARD", text)
    text = re.sub(r"USER@(?!BOARD)\S+", "USER@HOST", text)
    text = re.sub(r"\bprocess \d+", "process PID", text)
    text = re.sub(r"\b[0-9a-f]{8,64}\b", "HASH", text)
    text = re.sub(r"\brun-\w{6}/(work/)?", "run-XXXXXX/", text)
    return re.sub(r"WARNING microbench\.\S+ ", "", text)
