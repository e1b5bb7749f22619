"""The order in which a thread can execute a program: delay slots, taken and untaken branches, the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from codegen.engines.videocore4.effects import Effects
from codegen.engines.videocore4.isa import BRANCH_CONDITIONS, Branch, Instruction

DELAY_SLOTS = 3
END_SLOTS = 2
UNKNOWN = -1  # a target that a register or an absolute address gives: the way is not followed
FINISH = -2


@dataclass(frozen=True)
class Place:
    """About to execute instruction `index`; `pending` are (instructions until then, target) of jumps under way."""

    index: int
    pending: tuple[tuple[int, int], ...] = ()


@dataclass
class Flow:
    """All places a thread can be at, with those just before each; `entries` are where nothing is known before."""

    before: dict[Place, list[Place]] = field(default_factory=dict)
    entries: list[Place] = field(default_factory=list)
    after: dict[Place, list[Place]] = field(default_factory=dict)
    runs_off: list[int] = field(default_factory=list)
    bad_targets: list[tuple[int, int]] = field(default_factory=list)  # branch, bytes

    def histories(self, place: Place) -> list[tuple[int, ...]]:
        """Instructions executed just before a place, last first, as far as two back, along every way."""
        found: list[tuple[int, ...]] = []
        for last in self.before[place]:
            earlier = {place.index for place in self.before[last]}
            found += [(last.index, index) for index in earlier] or [(last.index,)]
        return list(dict.fromkeys(found))


def flow_of(code: Sequence[Instruction], facts: Sequence[Effects]) -> Flow:
    """Follows the program from its first instruction, then from the first that was not reached, and so on."""
    flow = Flow()
    reached = [False] * len(code)
    for index in range(len(code)):
        if not reached[index]:
            _follow(code, facts, Place(index), flow, reached)
    return flow


def _follow(
    code: Sequence[Instruction], facts: Sequence[Effects], entry: Place, flow: Flow, reached: list[bool]
) -> None:
    flow.entries.append(entry)
    flow.before.setdefault(entry, [])
    work = [entry]
    while work:
        place = work.pop()
        if place in flow.after:
            continue
        reached[place.index] = True
        flow.after[place] = _successors(code, facts, place, flow)
        for successor in flow.after[place]:
            known = successor in flow.before
            flow.before.setdefault(successor, []).append(place)
            if not known:
                work.append(successor)


def _successors(
    code: Sequence[Instruction], facts: Sequence[Effects], place: Place, flow: Flow
) -> list[Place]:
    instruction = code[place.index]
    if not place.pending and not facts[place.index].is_branch and not facts[place.index].ends:
        if place.index + 1 < len(code):
            return [Place(place.index + 1)]
        flow.runs_off.append(place.index)
        return []
    under_way = tuple((slots - 1, target) for slots, target in place.pending)
    choices = [under_way]
    if isinstance(instruction, Branch):
        taken = (*under_way, (DELAY_SLOTS, _target(code, place.index, instruction, flow)))
        choices = [taken] if instruction.condition == BRANCH_CONDITIONS["always"] else [under_way, taken]
    elif facts[place.index].ends:
        choices = [(*under_way, (END_SLOTS, FINISH))]
    found = []
    for pending in choices:
        due = [target for slots, target in pending if slots == 0]
        index = due[-1] if due else place.index + 1
        if index == len(code):
            flow.runs_off.append(place.index)
        elif index >= 0:
            found.append(Place(index, tuple(p for p in pending if p[0] > 0)))
    return found


def _target(code: Sequence[Instruction], index: int, branch: Branch, flow: Flow) -> int:
    if not branch.relative or branch.use_register:
        return UNKNOWN
    offset = branch.immediate - (branch.immediate >> 31 << 32)
    target = index + 1 + DELAY_SLOTS + offset // 8
    if offset % 8 or not 0 <= target <= len(code):
        flow.bad_targets.append((index, offset))
        return UNKNOWN
    return target
