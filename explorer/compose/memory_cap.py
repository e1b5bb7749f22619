"""The fastest composition within a cap on all activation memory, as the compiler will really lay it out."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import count

from codegen.bundle.memory import MemoryUse
from explorer.compose.compose import Composition
from explorer.compose.held import Caps
from explorer.errors import CompositionError, UndecidedError

MOST_ATTEMPTS = 200

Compose = Callable[[Caps], Composition]
Measure = Callable[[Composition], MemoryUse]
Price = Callable[[Composition], float]


def compose_within(cap_bytes: float, compose: Compose, measure: Measure, price: Price) -> Composition:
    """The cheapest composition whose GPU memory and arena together take at most `cap_bytes`.

    Branch and bound: the cap is first put on either alone; where both together exceed it, one or the other must hold
    less. Where only gaps between buffers exceed it, what is held is lowered until the layout fits: there, and only
    there, a cheaper composition with a luckier layout may be missed. Raises CompositionError where nothing fits.
    """
    order = count()
    waiting: list[tuple[float, int, Composition, Caps]] = []
    undecided: list[Composition] = []  # of which narrower ones are not known
    refusal: CompositionError | None = None

    def consider(caps: Caps) -> CompositionError | None:
        try:
            found = compose(caps)
        except CompositionError as error:
            return error
        heapq.heappush(waiting, (price(found), next(order), found, caps))
        return None

    refusal = consider(Caps(cap_bytes, cap_bytes))
    if isinstance(refusal, UndecidedError):
        raise refusal
    for _ in range(MOST_ATTEMPTS):
        if not waiting:
            break
        _, _, found, caps = heapq.heappop(waiting)
        if measure(found).total_bytes <= cap_bytes:
            left = [found, *undecided, *(other for _, _, other, _ in waiting)]
            return replace(found, gap=_gap(found, left, price))
        for narrower in _branches(found, caps, cap_bytes):
            error = consider(narrower)
            refusal = error or refusal
            if isinstance(error, UndecidedError):
                undecided.append(found)
    if undecided:
        raise UndecidedError(
            f"no plan was found that keeps activations within {cap_bytes:,.0f} bytes, and not all were looked at: "
            "allow more memory"
        ) from refusal
    raise CompositionError(
        f"no plan keeps activations within {cap_bytes:,.0f} bytes: allow more memory"
    ) from refusal


def _gap(found: Composition, left: Iterable[Composition], price: Price) -> float:
    """What of its price nothing is known to need: what is left may be cheaper by its own gaps."""
    bound = min(price(other) * (1 - other.gap) for other in left)
    return max(0.0, 1 - bound / price(found)) if price(found) else 0.0


def _branches(found: Composition, caps: Caps, cap_bytes: float) -> Iterator[Caps]:
    """Two narrower problems that leave out what was found, and together nothing that fits."""
    gpu, arena = found.gpu_bytes, found.arena_bytes
    if gpu + arena > cap_bytes:
        yield Caps(min(caps.gpu_bytes, cap_bytes - arena), caps.arena_bytes)
        yield Caps(caps.gpu_bytes, arena - 1)
        return
    if gpu:
        yield Caps(gpu - 1, caps.arena_bytes)
    if arena:
        yield Caps(caps.gpu_bytes, arena - 1)
