"""Two networks in one process and one queue: throughput beside runs in turn, priorities and deadlines."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codegen.frame_queue import FrameQueue, Ticket
from codegen.loaded import LoadedBundle
from codegen.tensor import Array
from explorer.studies.study_table import LEFT, RIGHT, StudyTable
from explorer.terminal.units import seconds
from microbench.errors import CandidateError

BLOCK = 20  # frames of each network in a turn
ROOM = 4
EAGER = 4  # frames of the other network that are always queued while priorities are tried


@dataclass(frozen=True, eq=False)
class Contender:
    """A loaded network, its input, and what a run alone gives."""

    name: str
    model: LoadedBundle
    inputs: Mapping[str, Array]
    expected: Mapping[str, Array]


@dataclass(frozen=True)
class Shared:
    """Seconds of every turn: of both networks' frames by way of one queue, and of as many runs; frames in all."""

    names: tuple[str, str]
    frames: int
    queued_s: tuple[float, ...]
    direct_s: tuple[float, ...]


@dataclass(frozen=True)
class Urgent:
    """Latencies of one network's frames while the queue is full of the other's, and how many were late."""

    name: str
    priority: int
    latencies_s: tuple[float, ...]
    deadline_s: float
    late: int


def contender(name: str, model: LoadedBundle, seed: int) -> Contender:
    """With seeded values."""
    random = np.random.default_rng(seed)
    inputs = {
        tensor.name: random.standard_normal(tensor.shape).astype(tensor.dtype)
        for tensor in model.describe().inputs
    }
    return Contender(name, model, inputs, model.run(inputs))


def share_queue(pair: tuple[Contender, Contender], queue: FrameQueue, turns: int) -> Shared:
    """Frames of both in turn, and runs of both in turn, turn by turn.

    Raises CandidateError where a frame has other outputs than a run alone.
    """
    queued_s, direct_s = [], []
    for _ in range(turns):
        start_s = time.monotonic()
        _queue_frames(pair, queue, 2 * BLOCK)
        middle_s = time.monotonic()
        for number in range(2 * BLOCK):
            one = pair[number % 2]
            _require(one, one.model.run(one.inputs))
        queued_s.append(middle_s - start_s)
        direct_s.append(time.monotonic() - middle_s)
    return Shared((pair[0].name, pair[1].name), turns * 2 * BLOCK, tuple(queued_s), tuple(direct_s))


def _queue_frames(pair: tuple[Contender, Contender], queue: FrameQueue, count: int) -> None:
    waiting: list[tuple[Contender, Ticket]] = []
    for number in range(count):
        if len(waiting) == ROOM:
            one, ticket = waiting.pop(0)
            _require(one, one.model.wait(ticket).outputs)
        one = pair[number % 2]
        waiting.append((one, one.model.submit(queue, one.inputs)))
    for one, ticket in waiting:
        _require(one, one.model.wait(ticket).outputs)


def _require(one: Contender, outputs: Mapping[str, Array]) -> None:
    if any(not np.array_equal(outputs[name], value) for name, value in one.expected.items()):
        raise CandidateError(f"{one.name}: a frame in a queue has other outputs than a run alone")


def try_priority(
    urgent: Contender, other: Contender, queue: FrameQueue, priority: int, frames: int, deadline_s: float
) -> Urgent:
    """Frames of the first network, one at a time, while `EAGER` of the other's wait; raises as `share_queue`."""
    latencies_s, late = [], 0
    others = [other.model.submit(queue, other.inputs) for _ in range(EAGER)]
    for _ in range(frames):
        ticket = urgent.model.submit(
            queue, urgent.inputs, priority=priority, deadline_s=time.monotonic() + deadline_s
        )
        while (frame := urgent.model.poll(ticket)) is None:
            _require(other, other.model.wait(others.pop(0)).outputs)
            others.append(other.model.submit(queue, other.inputs))
        _require(urgent, frame.outputs)
        latencies_s.append(frame.latency_s)
        late += frame.is_late
    for ticket in others:
        other.model.wait(ticket)
    return Urgent(urgent.name, priority, tuple(latencies_s), deadline_s, late)


def shared_table(found: Sequence[Shared]) -> StudyTable:
    """Throughput of two networks."""
    rows = tuple(
        (
            " and ".join(one.names),
            f"{one.frames}",
            f"{one.frames / sum(one.queued_s):.2f}",
            f"{one.frames / sum(one.direct_s):.2f}",
            f"{statistics.median(d / q for q, d in zip(one.queued_s, one.direct_s, strict=True)):.3f}",
        )
        for one in found
    )
    columns = (
        ("networks", LEFT),
        ("frames", RIGHT),
        ("a second", RIGHT),
        ("without the queue", RIGHT),
        ("ratio", RIGHT),
    )
    notes = (
        f"One process, one queue with room for {ROOM}, frames of both in turn; {BLOCK} of each took turns with as many "
        "runs of both without the queue. The ratio is the median of the turns'. From Python.",
    )
    return StudyTable("Two networks in one process", columns, rows, notes)


def priority_table(found: Sequence[Urgent], other: str) -> StudyTable:
    """Latencies by priority."""
    rows = tuple(
        (
            one.name,
            f"{one.priority}",
            f"{len(one.latencies_s)}",
            seconds(statistics.median(one.latencies_s)),
            seconds(max(one.latencies_s)),
            seconds(one.deadline_s),
            f"{one.late}",
        )
        for one in found
    )
    columns = (
        ("network", LEFT),
        ("priority", RIGHT),
        ("frames", RIGHT),
        ("latency: median", RIGHT),
        ("most", RIGHT),
        ("deadline", RIGHT),
        ("late", RIGHT),
    )
    notes = (
        f"{EAGER} frames of {other}, of priority 0, always wait meanwhile. A frame that runs is not interrupted: the "
        "best that a priority gives is the rest of the other's frame and its own.",
    )
    return StudyTable("Priorities and deadlines", columns, rows, notes)
