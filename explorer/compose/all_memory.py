"""The fastest composition within a cap on all memory that its bundle allocates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from codegen.bundle.memory import MemoryUse
from explorer.compose.compose import Composition, Limits
from explorer.compose.kept_memory import Keeping
from explorer.compose.memory_cap import compose_within
from explorer.compose.steps import Overheads
from explorer.compose.timed_candidates import TimedCandidate, TimedCandidates

Compose = Callable[[TimedCandidates, Limits], Composition]
"""The cheapest composition of candidates within limits; raises CompositionError where there is none."""


@dataclass(frozen=True)
class AllMemory:
    """Buffers and workspaces as the compiler lays them out (`measure`), and what a step's program keeps beside them:
    weights, and of an engine that launches code, streams and scratch memory too. Counted step by step: of what steps
    share, such as code, each has its own.
    """

    measure: Callable[[Composition], MemoryUse]
    keeps: Callable[[TimedCandidate], int]

    def of(self, composition: Composition) -> int:
        """Bytes in all; a bundle takes no more."""
        kept = sum(self.keeps(step.timed) for step in composition.steps if not step.is_free)
        return self.measure(composition).total_bytes + kept

    def compose_within(
        self, cap_bytes: int, ways: TimedCandidates, overheads: Overheads, limits: Limits, compose: Compose
    ) -> Composition:
        """The best found that takes at most `cap_bytes`, with a proven gap; raises TooLittleMemoryError where none is
        found.
        """

        def composed(dear: TimedCandidates, within: Limits, cap: float) -> Composition:
            return compose_within(
                cap,
                lambda caps: compose(dear, replace(within, caps=caps)),
                self.measure,
                within.price,
            )

        keeping = Keeping(
            ways, overheads, limits, composed, self.keeps, lambda found: self.measure(found).total_bytes
        )
        return keeping.within(compose(ways, limits), cap_bytes)
