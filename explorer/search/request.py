"""What a strategy asks for."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.schedule import Candidate


@dataclass(frozen=True)
class Request:
    """A candidate to be measured; `reason` says why in a line, `gain` which part of the network's time it should
    save, None where the strategy cannot tell. `is_needed`: without it there may be no plan, whatever time it takes.
    `can_wait`: until nothing else is asked for, as long as the budget suffices for it then.
    """

    candidate: Candidate
    reason: str
    gain: float | None = None
    is_needed: bool = False
    can_wait: bool = False
