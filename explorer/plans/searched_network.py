"""What a search on one board found out: enough to compose, plan and compile a network without the board."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from codegen.bundle.memory import MemoryUse, memory_use
from codegen.plan import Plan
from codegen.target import Target
from explorer.compose.all_memory import AllMemory
from explorer.compose.compose import UNLIMITED, Composition, Limits, cpu_only
from explorer.compose.footprint import kept_bytes_of
from explorer.compose.known_compositions import KnownCompositions
from explorer.compose.memory_cap import compose_within
from explorer.compose.on_board import compose_on
from explorer.compose.steps import Overheads
from explorer.compose.timed_candidates import TimedCandidates
from explorer.errors import CompositionError
from explorer.plans.network import Network
from explorer.plans.planning import build_plan, workspaces_of
from explorer.runs.report import Regret
from explorer.search.search import SearchResult
from microbench.board import Fingerprint
from microbench.profile import DeviceProfile
from microbench.store import Sample


@dataclass(frozen=True, eq=False)
class SearchedNetwork:
    """A network, the board it was measured on, and everything measured.

    `expected`: the timed candidates of the search with the times they are expected to take in the network, from
    `rehearsals`; `best`: the composition that took least there, or that with the least `regret`.
    """

    network: Network
    profile: DeviceProfile
    target: Target
    fingerprint: Fingerprint
    overheads: Overheads
    seed: int
    result: SearchResult
    expected: TimedCandidates
    rehearsals: tuple[Sample, ...] = ()
    best: Composition | None = None
    regret: Regret | None = None

    @cached_property
    def fastest(self) -> Composition:
        """The plan that was chosen in rehearsals or under several profiles; else the best by the candidates' times.

        Its gap is that to the best by the times that are expected.
        """
        composed = self.compose(UNLIMITED)
        if self.best is None:
            return composed
        bound_s = composed.total_s * (1 - composed.gap)
        return replace(self.best, gap=max(0.0, 1 - bound_s / self.best.total_s))

    @cached_property
    def cpu_only(self) -> Composition | None:
        """The fastest composition without the QPUs; None where a layer has no choice there."""
        try:
            return self.compose(cpu_only())
        except CompositionError:
            return None

    @cached_property
    def _samples(self) -> dict[int, Sample]:
        return {sample.id: sample for sample in (*self.result.samples, *self.rehearsals)}

    def compose(self, limits: Limits) -> Composition:
        """The best composition within the limits; raises CompositionError where there is none."""
        return compose_on(self.network.graph, self.expected, self.overheads, limits, self.target)

    def compose_within(self, cap_bytes: float, limits: Limits) -> Composition:
        """The same, with a cap on all activation memory that its bundle allocates."""
        known = self._within_caps.setdefault(
            limits, KnownCompositions(lambda caps: self.compose(replace(limits, caps=caps)))
        )
        return compose_within(cap_bytes, known, self.memory, limits.price)

    def compose_within_all(self, cap_bytes: int, limits: Limits) -> Composition:
        """The same, with a cap on all memory that its bundle allocates; raises TooLittleMemoryError where none is
        found.
        """
        return self._all_memory.compose_within(
            cap_bytes,
            self.expected,
            self.overheads,
            limits,
            lambda ways, within: compose_on(self.network.graph, ways, self.overheads, within, self.target),
        )

    def all_memory_bytes(self, composition: Composition) -> int:
        """Of a bundle of the composition, what its steps share counted for each."""
        return self._all_memory.of(composition)

    @cached_property
    def _within_caps(self) -> dict[Limits, KnownCompositions]:
        return {}

    @cached_property
    def _all_memory(self) -> AllMemory:
        return AllMemory(self.memory, lambda way: kept_bytes_of(way.candidate, self.target))

    def plan(self, composition: Composition) -> Plan:
        """The plan file's content."""
        return build_plan(
            self.network, composition, self._samples, self.profile, self.fingerprint, self.seed,
            self.cpu_only.total_s if self.cpu_only else None, self.target.weights,
        )  # fmt: skip

    def memory(self, composition: Composition) -> MemoryUse:
        """What a bundle of the composition allocates for activations."""
        return memory_use(self.plan(composition), workspaces_of(composition))
