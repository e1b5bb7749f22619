"""How much memory a network's activations take: layer by layer and depth first, for speed and for memory alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from codegen.engine_registry import host_engines
from codegen.operators.chain import Chain
from explorer.compose.compose import Composition, Limits
from explorer.errors import CompositionError
from explorer.plans.searched_network import SearchedNetwork

STEP = 0.02  # of memory, from one cap to the next
MOST_CAPS = 60


@dataclass(frozen=True)
class MemoryPoint:
    """A composition and the bytes that its bundle allocates for activations."""

    composition: Composition
    total_bytes: int

    @property
    def chains(self) -> int:
        """How many of its steps are chains of layers."""
        return sum(isinstance(step.timed.candidate.spec.op, Chain) for step in self.composition.steps)


@dataclass(frozen=True)
class MemoryRange:
    """The fastest composition, and the one that no lower cap on memory leaves anything of."""

    fastest: MemoryPoint
    smallest: MemoryPoint


def memory_range(found: SearchedNetwork, chains: bool, threads: int) -> MemoryRange:
    """Both ends, on the CPU alone, with or without chains of layers."""
    limits = Limits(engines=host_engines(), threads=threads, chains=chains)
    fastest = smallest = _point(found, found.compose(limits))
    for _ in range(MOST_CAPS):
        cap = min(smallest.total_bytes - 1, int(smallest.total_bytes * (1 - STEP)))
        try:
            smallest = _point(found, found.compose_within(cap, limits))
        except CompositionError:
            break
    return MemoryRange(fastest, smallest)


def least_bytes(found: SearchedNetwork, too_little: int, least: int, limits: Limits) -> int:
    """The least memory in all, within some percent, of which a plan was found, where `too_little` is not enough and
    `least` is.
    """
    while least > too_little * (1 + STEP) + 1:
        cap = int(math.sqrt(too_little * least))
        try:
            least = found.all_memory_bytes(found.compose_within_all(cap, limits))
        except CompositionError:
            too_little = cap
    return least


def _point(found: SearchedNetwork, composition: Composition) -> MemoryPoint:
    return MemoryPoint(composition, found.memory(composition).total_bytes)
