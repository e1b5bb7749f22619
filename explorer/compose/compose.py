"""The exact composition: which timed candidate each layer takes, where layouts change, how often the QPUs start.

Steps run in the graph's order, every layout change right after the tensor's producer (once, however many layers read
it). Layers may be taken together as a chain, of which nothing is kept but the result. A composition costs the sum of
its steps' times plus an overhead for every launch and whenever threads are woken; where CPU time or energy have a
price, those of all these too. Network inputs and outputs are nchw and belong to the caller. A view (a reshape that
moves no byte) and a concatenation whose parts were written in place cost nothing and end no launch.

Memory: a buffer of the CPU is held while its value is needed. One that the QPUs touch is held, from the start, through
every launch that it is needed in: within a launch no address may be used twice (see
`codegen.engines.videocore4.link`). To start the QPUs anew gives such memory back. A cap is kept by what is held; how
buffers are laid out may need a little more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from codegen.engine_registry import host_engines
from codegen.graph import Graph
from codegen.schedule import Candidate
from explorer.compose.capped import CappedSearch
from explorer.compose.decomposition import Cheapest, Decomposition
from explorer.compose.effort import Effort
from explorer.compose.held import Caps
from explorer.compose.memory_use import held_bytes
from explorer.compose.problem import Problem, Sides
from explorer.compose.steps import ComposedStep, Overheads, Prices, overhead, starts_launch, wakes
from explorer.compose.timed_candidates import TimedCandidate, TimedCandidates
from explorer.errors import CompositionError
from explorer.objectives.objective import Weights
from explorer.objectives.usage import Usage, total


@dataclass(frozen=True)
class Limits:
    """What a composition may use. `threads`: the most of one step; `weights`: what is minimised;
    `engines`: those that layers may run on, None for all; `chains`: whether layers may be computed
    together; `seconds`: after work that takes one core about so long the best found so far is taken, with the gap that
    is left: work is counted, so that every machine finds the same. `wall_s`: the same by the clock, where that matters
    more. `effort`: that several compositions share, in the place of these. `called`, `launched`: layers, by name, that
    may not, or have to, run on an engine that launches.
    """

    engines: Sequence[str] | None = None
    threads: float = float("inf")
    weights: Weights = field(default_factory=Weights)
    caps: Caps = field(default_factory=Caps)
    chains: bool = True
    seconds: float = 10.0
    effort: Effort | None = field(default=None, compare=False)
    wall_s: float | None = None
    called: frozenset[str] = frozenset()
    launched: frozenset[str] = frozenset()

    def price(self, composition: Composition) -> float:
        """What is minimised, with the charges of its steps."""
        charges = (step.timed.charge for step in composition.steps if not step.is_free)
        return self.weights.of(composition.usage) + sum(charges)


UNLIMITED = Limits()
PART = 0.125  # of the effort that several compositions share


def cpu_only() -> Limits:
    """All that runs on the host's cores."""
    return Limits(engines=host_engines())


@dataclass(frozen=True)
class Composition:
    """Steps in the order they run, what they take together with launches, and the most bytes held at once.

    `gap`: the part of its price that no other composition within the limits can save; 0 where none is cheaper.
    """

    steps: tuple[ComposedStep, ...]
    usage: Usage
    launches: int
    gap: float = 0.0

    @property
    def total_s(self) -> float:
        """Seconds from start to end."""
        return self.usage.latency_s

    @property
    def cpu_s(self) -> float:
        """Every core that works: a step's time by its threads, and the overhead of launches."""
        return self.usage.cpu_s

    @property
    def gpu_bytes(self) -> int:
        """The most of the GPU's memory that is held at once."""
        return int(self.usage.gpu_bytes)

    @property
    def arena_bytes(self) -> int:
        """The most of the CPU's."""
        return int(self.usage.arena_bytes)


def compose(
    graph: Graph, timed_candidates: TimedCandidates, overheads: Overheads, limits: Limits = UNLIMITED
) -> Composition:
    """The fastest composition of timed candidates within the limits, or the best found in time with a proven gap.

    Raises CompositionError naming the layer that has no timed candidate, where layouts cannot be joined, or where
    nothing keeps within the caps.
    """
    allowed = {spec: _allowed(ways, limits) for spec, ways in timed_candidates.items()}
    effort = limits.effort.share(PART) if limits.effort else Effort(limits.seconds, limits.wall_s)
    prices, sides = Prices(overheads, limits.weights), Sides(limits.called, limits.launched)
    problem = Problem(graph, allowed, prices, limits.engines, limits.chains, sides)
    free = limits.caps == Caps()
    cheapest = Decomposition(problem, effort).run() if free else _capped(problem, limits.caps, effort)
    return priced(cheapest.steps, overheads, *held_bytes(graph, cheapest.steps), cheapest.gap)


def _capped(problem: Problem, caps: Caps, effort: Effort) -> Cheapest:
    found = CappedSearch(problem, caps, effort).run()
    if found is None:
        raise CompositionError(_why_none(caps))
    return found


def _allowed(ways: Sequence[TimedCandidate], limits: Limits) -> tuple[TimedCandidate, ...]:
    return tuple(way for way in ways if way.threads <= limits.threads)


def retimed(
    composition: Composition, ways: Mapping[Candidate, TimedCandidate], overheads: Overheads
) -> Composition:
    """The same steps with what is known of their candidates elsewhere, which names all of them; no gap is proven
    there.
    """
    steps = tuple(replace(step, timed=ways[step.timed.candidate]) for step in composition.steps)
    return priced(steps, overheads, composition.gpu_bytes, composition.arena_bytes, gap=1.0)


def priced(
    steps: tuple[ComposedStep, ...],
    overheads: Overheads,
    gpu_bytes: int,
    arena_bytes: int,
    gap: float,
    launches: int | None = None,
) -> Composition:
    """What steps take together, of which so much is held; `launches`, where parts of layers have some of their own."""
    begun = sum(starts_launch(steps))
    overhead_s = begun * overheads.launch_s + sum(wakes(steps, overheads)) * overheads.wake_s
    taken = total((*(step.usage for step in steps), overhead(overhead_s)))
    held = replace(taken, gpu_bytes=gpu_bytes, arena_bytes=arena_bytes)
    return Composition(steps, held, begun if launches is None else launches, gap)


def _why_none(caps: Caps) -> str:
    if caps == Caps():
        return (
            "no combination of choices fits together: a layout change that some layer needs has no algorithm"
        )
    return (
        f"no combination of choices keeps activations within {caps.gpu_bytes:,.0f} bytes of GPU memory and "
        f"{caps.arena_bytes:,.0f} of the CPU's: allow more memory"
    )
