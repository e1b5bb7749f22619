"""The cheapest steps within caps on memory, with a lower bound: ever wider beams, until nothing is left out.

What the rest costs at least, tables of demands say (see `explorer.compose.suffixes`).
"""

from __future__ import annotations

from itertools import count

from explorer.compose.decomposition import CLOSE, Cheapest
from explorer.compose.effort import Effort
from explorer.compose.held import Caps
from explorer.compose.moves import Moves
from explorer.compose.problem import Problem
from explorer.compose.rest import Rest
from explorer.compose.rivals import INFINITE
from explorer.compose.shortest_paths import Label, Search
from explorer.compose.steps import ComposedStep
from explorer.compose.suffixes import Suffixes
from explorer.errors import UndecidedError

FIRST_WIDTH = 4
WIDER = 8


def cheapest_within(
    problem: Problem, suffixes: Suffixes, bound: float, caps: Caps, effort: Effort
) -> Cheapest | None:
    """The best found until it is exact or its effort is spent; None where nothing keeps within the caps.

    `suffixes`: filled tables; `bound`: a price that is known not to be beaten. Where nothing is found yet, every other
    beam looks at memory before cost, and the search goes on; raises UndecidedError once its effort is overdrawn.
    """
    moves = Moves(problem)
    rest = Rest(problem, suffixes)
    search = Search(tuple(moves.starts()), moves.layers(), moves.is_end, rest, caps)
    best: Label[ComposedStep] | None = None
    width = FIRST_WIDTH
    for attempt in count():
        most = INFINITE if best is None else best.cost * (1 - CLOSE)
        thrifty = best is None and attempt % 2 == 1
        is_over = effort.is_overdrawn if best is None else effort.is_spent
        found = search.beam(width, most, effort, is_over, thrifty)
        best = found.best or best
        bound = max(bound, min(found.bound, most))
        if best is None and found.bound == INFINITE:
            return None
        if best is None and effort.is_overdrawn():
            raise UndecidedError(
                f"no combination of choices was found that keeps activations within {caps.gpu_bytes:,.0f} bytes of GPU "
                f"memory and {caps.arena_bytes:,.0f} of the CPU's, and not all were looked at: allow more memory"
            )
        if best is not None and (bound >= best.cost * (1 - CLOSE) or effort.is_spent()):
            return Cheapest(best.path(), best.cost, min(bound, best.cost))
        if best is not None or thrifty:
            width *= WIDER
    raise AssertionError("beams never end")
