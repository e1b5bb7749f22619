"""What is known of a run that goes on, gathered from its journal."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from explorer.errors import RunDataError
from explorer.live.tail import Event

MOST_RECENT = 15  # measurements that are shown singly


@dataclass(frozen=True)
class Taken:
    """A sample as it came, from the board or the store, where it has the number `id`. Seconds; None: there is none."""

    id: int
    layer: str
    algorithm: str
    status: str
    kind: str
    time_s: float | None
    measured: bool
    reason: str


@dataclass(frozen=True)
class Found:
    """A plan of the whole network, as `explorer.terminal.progress.FoundPlan`."""

    name: str
    time_s: float
    memory_bytes: float
    kind: str


@dataclass
class Layer:
    """A layer's samples so far: how many, and the fastest that works."""

    samples: int = 0
    fastest: Taken | None = None


@dataclass
class Watched:
    """Times of the run in seconds since it began; `best_s` of the network's fastest plan so far, with the number of
    samples that it was known after; `due` by candidates' hashes, the next first.
    """

    about: dict[str, str] = field(default_factory=dict)
    at_s: float = 0.0
    phase: str = ""
    phase_at_s: float = 0.0
    expected: int = 0
    done: int = 0
    left: str = ""
    samples: int = 0
    new: int = 0
    unusable: int = 0
    best_s: list[tuple[int, float]] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    due: dict[str, str] = field(default_factory=dict)
    recent: deque[Taken] = field(default_factory=lambda: deque(maxlen=MOST_RECENT))
    layers: dict[str, Layer] = field(default_factory=dict)
    plans: dict[str, Found] = field(default_factory=dict)
    ended: str = ""
    message: str = ""

    def take(self, events: Iterable[Event]) -> None:
        """Takes in what has come; raises RunDataError for what no journal says."""
        ways = {
            "run": self._run,
            "phase": self._phase,
            "round": self._round,
            "expect": self._expect,
            "done": self._done,
            "sample": self._sample,
            "plan": self._plan,
            "ended": self._ended,
        }
        for event in events:
            try:
                self.at_s = float(event["at_s"])
                ways[event["event"]](event)
            except (KeyError, TypeError, ValueError) as error:
                raise RunDataError(f"the journal of the run is damaged: {event!r:.200}") from error

    @property
    def left_s(self) -> float | None:
        """Until the phase ends, if it goes on as it went; None where nobody can tell."""
        if not 0 < self.done < self.expected:
            return None
        return (self.at_s - self.phase_at_s) / self.done * (self.expected - self.done)

    def lost(self) -> None:
        """The run has ended without saying so."""
        self.ended = self.ended or "killed"

    def _run(self, event: Event) -> None:
        self.about = {name: value for name, value in event.items() if name not in ("event", "at_s")}

    def _phase(self, event: Event) -> None:
        self.phase, self.phase_at_s = event["title"], self.at_s
        self.expected, self.done, self.left, self.due = 0, 0, "", {}

    def _round(self, event: Event) -> None:
        self.left, self.due = event["left"], event["reasons"]
        if event["best_s"] is not None:
            self.best_s.append((self.samples, event["best_s"]))

    def _expect(self, event: Event) -> None:
        self.expected = event["count"]

    def _done(self, event: Event) -> None:
        self.done += 1

    def _sample(self, event: Event) -> None:
        self.done += 1
        reason = self.due.pop(event["candidate"], "").partition(": ")[2]
        names = ("id", "layer", "algorithm", "status", "kind", "time_s", "measured")
        taken = Taken(**{name: event[name] for name in names}, reason=reason)
        self.samples += 1
        self.new += taken.measured
        self.unusable += taken.status != "ok"
        self.recent.appendleft(taken)
        layer = self.layers.setdefault(taken.layer, Layer())
        layer.samples += 1
        if taken.status != "ok" or taken.time_s is None:
            return
        self.kinds.add(taken.kind)
        before = layer.fastest
        if before is None or before.time_s is None or taken.time_s < before.time_s:
            layer.fastest = taken

    def _plan(self, event: Event) -> None:
        found = Found(event["name"], event["time_s"], event["memory_bytes"], event["kind"])
        self.plans[found.name] = found

    def _ended(self, event: Event) -> None:
        self.ended, self.message = event["how"], event["message"]


def undominated(plans: Iterable[Found]) -> set[Found]:
    """The plans that no other beats in time and memory."""
    every = set(plans)
    return {
        plan
        for plan in every
        if not any(
            (other.time_s, other.memory_bytes) != (plan.time_s, plan.memory_bytes)
            and other.time_s <= plan.time_s
            and other.memory_bytes <= plan.memory_bytes
            for other in every
        )
    }
