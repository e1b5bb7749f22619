"""Rules about what a thread has asked for and not yet received, along every way through the program.

Counts are ranges: a rule is broken only where every way that leads to the instruction breaks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from codegen.engines.videocore4 import rules
from codegen.engines.videocore4.effects import (
    DMA_ADDRESS,
    MUTEX,
    TMU_S,
    UNIFORM,
    VPM,
    VPM_SETUP,
    Effects,
)
from codegen.engines.videocore4.flow import Flow, Place
from codegen.engines.videocore4.rules import Finding, Rule

TMU_DEPTH = 4
_MOST = 16  # counts beyond are all the same
_ANY_VPM = 16

Range = tuple[int, int]


@dataclass(frozen=True)
class Outstanding:
    """Ranges over all ways here: requests in flight, vectors set up; 0 and 1 for yes and no."""

    tmu: tuple[Range, Range]
    mutex: Range
    vpm_reads: Range
    vpm_write_setup: Range
    dma: tuple[Range, Range]  # load, store: whether one was started and not waited for
    relay: tuple[Range, Range]  # by port: whether its last value was a uniform

    def join(self, other: Outstanding) -> Outstanding:
        """What holds on either way."""
        return Outstanding(
            (_hull(self.tmu[0], other.tmu[0]), _hull(self.tmu[1], other.tmu[1])),
            _hull(self.mutex, other.mutex),
            _hull(self.vpm_reads, other.vpm_reads),
            _hull(self.vpm_write_setup, other.vpm_write_setup),
            (_hull(self.dma[0], other.dma[0]), _hull(self.dma[1], other.dma[1])),
            (_hull(self.relay[0], other.relay[0]), _hull(self.relay[1], other.relay[1])),
        )


_NO, _MAYBE, _YES = (0, 0), (0, 1), (1, 1)
START = Outstanding((_NO, _NO), _NO, _NO, _NO, (_NO, _NO), (_NO, _NO))
ANYTHING = Outstanding(
    ((0, TMU_DEPTH), (0, TMU_DEPTH)), _MAYBE, (0, _ANY_VPM), _MAYBE, (_MAYBE, _MAYBE), (_NO, _NO)
)


def flow_findings(facts: Sequence[Effects], flow: Flow, whole: bool) -> Iterator[Finding]:
    """What breaks a rule; the program starts with nothing outstanding where it is `whole`."""
    states = _states(facts, flow, whole)
    seen: set[tuple[Rule, int]] = set()
    for place, state in states.items():
        broken = _step(facts[place.index], state)[1]
        for rule, detail in (*broken, *_relays_past_a_branch(facts, place.index)):
            if (rule, place.index) not in seen:
                seen.add((rule, place.index))
                yield Finding(rule, place.index, detail)


def _states(facts: Sequence[Effects], flow: Flow, whole: bool) -> dict[Place, Outstanding]:
    states: dict[Place, Outstanding] = {}
    for entry in flow.entries:
        states[entry] = START if whole and entry.index == 0 else ANYTHING
    work = list(reversed(flow.entries))
    while work:
        place = work.pop()
        reached = _step(facts[place.index], states[place])[0]
        for successor in flow.after[place]:
            old = states.get(successor)
            new = reached if old is None else old.join(reached)
            if new != old:
                states[successor] = new
                work.append(successor)
    return states


def _step(e: Effects, state: Outstanding) -> tuple[Outstanding, list[tuple[Rule, str]]]:
    if not (e.outputs or e.inputs or e.relays or e.loads_r4 or e.ends or any(p is not None for p in e.ports)):
        return state, []
    broken: list[tuple[Rule, str]] = []
    if e.outputs or e.inputs or e.loads_r4:
        state = _tmu(e, state, broken)
        state = _mutex(e, state, broken)
        state = _vpm(e, state, broken)
        state = _dma(e, state, broken)
    for port in e.relays:
        if state.relay[port][0] == 0:
            broken.append((rules.FOREIGN_RELAY, f"port {'AB'[port]}"))
    if e.ends:
        if state.mutex[0] == 1:
            broken.append((rules.MUTEX_LEFT, ""))
        if state.vpm_reads[0] > 0:
            broken.append((rules.VPM_LEFT, f"{state.vpm_reads[0]} vectors"))
    return _relayed(e, state), broken


def _tmu(e: Effects, state: Outstanding, broken: list[tuple[Rule, str]]) -> Outstanding:
    if e.loads_tmu is None and not any(address in TMU_S for address in e.outputs):
        return state
    counts = list(state.tmu)
    for unit in (0, 1):
        if e.loads_tmu == unit:
            if counts[unit][1] == 0:
                broken.append((rules.TMU_EMPTY, f"TMU {unit}"))
            counts[unit] = _added(counts[unit], -1)
        if TMU_S[unit] in e.outputs:
            counts[unit] = _added(counts[unit], 1)
            if counts[unit][0] > TMU_DEPTH:
                broken.append((rules.TMU_OVERFLOW, f"{counts[unit][0]} on TMU {unit}"))
    return replace(state, tmu=(counts[0], counts[1]))


def _mutex(e: Effects, state: Outstanding, broken: list[tuple[Rule, str]]) -> Outstanding:
    if MUTEX in e.inputs:
        if state.mutex[0] == 1:
            broken.append((rules.MUTEX_TWICE, ""))
        state = replace(state, mutex=(1, 1))
    if MUTEX in e.outputs:
        if state.mutex[1] == 0:
            broken.append((rules.MUTEX_FREE, ""))
        state = replace(state, mutex=(0, 0))
    return state


def _vpm(e: Effects, state: Outstanding, broken: list[tuple[Rule, str]]) -> Outstanding:
    if VPM in e.inputs:
        if state.vpm_reads[1] == 0:
            broken.append((rules.VPM_UNREADY_READ, ""))
        state = replace(state, vpm_reads=_added(state.vpm_reads, -1))
    if VPM in e.outputs and state.vpm_write_setup[1] == 0:
        broken.append((rules.VPM_UNREADY_WRITE, ""))
    for write in e.writes:
        if write.address == VPM_SETUP:
            state = _set_up(e.immediate, write.file == 0, state, broken)
    return state


def _dma(e: Effects, state: Outstanding, broken: list[tuple[Rule, str]]) -> Outstanding:
    transfers = list(state.dma)
    for port, address in enumerate(e.ports):
        if address == DMA_ADDRESS:
            transfers[port] = _NO
        elif address == VPM_SETUP:  # polled: whether the program heeds the answer is its business
            transfers[port] = (0, transfers[port][1])
    for write in e.writes:
        if write.address == DMA_ADDRESS:
            if transfers[write.file] == _YES:
                broken.append((rules.DMA_BUSY, ("a load", "a store")[write.file]))
            transfers[write.file] = _YES
    return state if tuple(transfers) == state.dma else replace(state, dma=(transfers[0], transfers[1]))


def _set_up(
    setup: int | None, reads: bool, state: Outstanding, broken: list[tuple[Rule, str]]
) -> Outstanding:
    """A setup's two upper bits are 0 for the QPU's own reads and writes (guide tables 32, 33); None: unknown."""
    if setup is not None and setup >> 30:
        return state
    if not reads:
        return replace(state, vpm_write_setup=(1, 1) if setup is not None else (state.vpm_write_setup[0], 1))
    if setup is None:
        return replace(state, vpm_reads=(state.vpm_reads[0], _ANY_VPM))
    if state.vpm_reads[0] > 1:
        broken.append((rules.VPM_SETUP_IGNORED, f"{state.vpm_reads[0]} unread"))
        return state
    count = (setup >> 20 & 15) or 16
    return replace(state, vpm_reads=_added(state.vpm_reads, count))


def _relays_past_a_branch(facts: Sequence[Effects], index: int) -> Iterator[tuple[Rule, str]]:
    """What the virtual board does not follow: a port's last value from before a branch, in the order of memory."""
    for port in facts[index].relays:
        before = next((e for e in reversed(facts[:index]) if e.is_branch or e.ports[port] is not None), None)
        if before is None or before.is_branch or before.ports[port] != UNIFORM:
            yield rules.FOREIGN_RELAY, f"port {'AB'[port]}, no uniform since the branch before"


def _relayed(e: Effects, state: Outstanding) -> Outstanding:
    relay = state.relay
    for port, address in enumerate(e.ports):
        if address is not None:
            now = _YES if address == UNIFORM else _NO
            relay = (now, relay[1]) if port == 0 else (relay[0], now)
    return state if relay == state.relay else replace(state, relay=relay)


def _added(counts: Range, change: int) -> Range:
    low, high = (min(max(count + change, 0), _MOST) for count in counts)
    return low, high


def _hull(one: Range, other: Range) -> Range:
    return min(one[0], other[0]), max(one[1], other[1])
