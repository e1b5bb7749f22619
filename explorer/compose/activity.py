"""What runs between two steps, in few states: which engine's launch is open, and whether threads look for work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from explorer.compose.steps import Prices
from explorer.compose.timed_candidates import TimedCandidate

ASLEEP, AWAKE = 0, 1


class Rule(NamedTuple):
    """How a step changes the state: `after` it, whatever was before, and what entering costs unless it was so.

    `stays_awake`: threads that look for work go on looking.
    """

    after: int
    entering: float = 0.0
    stays_awake: bool = False


class Activity:
    """States by number: asleep, awake, then an open launch of each engine that launches."""

    def __init__(self, prices: Prices, launching: Sequence[str]) -> None:
        self._prices = prices
        self._launched = {engine: 2 + place for place, engine in enumerate(launching)}
        self._rules: dict[
            int, tuple[TimedCandidate, Rule]
        ] = {}  # by identity: there are many, and equal ones are few
        self.states = range(2 + len(launching))
        self._launching = {engine: Rule(state, prices.launch) for engine, state in self._launched.items()}
        self._waking = Rule(AWAKE, prices.wake)

    def state(self, launched: str, awake: bool) -> int:
        """The number of a state."""
        return self._launched[launched] if launched else (AWAKE if awake else ASLEEP)

    def is_launch(self, state: int) -> bool:
        """Whether a launch is open in a state."""
        return state > AWAKE

    def may_run(self, timed: TimedCandidate) -> bool:
        """Whether its engine is one of those that there are states for."""
        return not timed.engine.launches or timed.engine.name in self._launched

    def rule(self, timed: TimedCandidate) -> Rule:
        """Of a step that computes."""
        known = self._rules.get(id(timed))
        if known is None:
            known = self._rules[id(timed)] = (timed, self._rule(timed))
        return known[1]

    def _rule(self, timed: TimedCandidate) -> Rule:
        engine = timed.engine
        if engine.launches:
            return self._launching[engine.name]
        if timed.threads > 1:
            return self._waking
        return Rule(ASLEEP, stays_awake=self._prices.overheads.still_awake(True, timed))

    def enter(self, rule: Rule, before: int) -> tuple[int, float]:
        """The state behind a step, and what getting there costs beside the step."""
        if rule.stays_awake and before == AWAKE:
            return AWAKE, 0.0
        return rule.after, 0.0 if before == rule.after else rule.entering

    def most(self, timed: TimedCandidate) -> float:
        """What a step costs at most where it is put in between others, which may have to be entered anew."""
        dearest = max(self._prices.wake, self._prices.launch if len(self.states) > 2 else 0.0)
        return self._prices.of(timed) + self.rule(timed).entering + dearest
