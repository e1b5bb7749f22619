"""What a candidate must not exceed to be of any use: what was measured already would do its work in that time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from codegen.graph import LayerSpec
from codegen.operators.chain import Chain
from codegen.schedule import Candidate
from explorer.compose.timed_candidates import Interface, TimedCandidate, relayout_spec, threads_of
from explorer.search.layer_search import LayerSearch


class Ceilings:
    """Of a layer: another choice with changes of layout around it. Of a chain: its layers one by one.

    Times are compared within a lane: what keeps other cores busy may be wanted for that. Memory is not looked at: a
    plan with less of it chooses among what is measured for speed.
    """

    def __init__(self, layers: Iterable[LayerSearch]) -> None:
        self._fastest_of = {layer.spec: layer.fastest for layer in layers}

    def of(self, layer: LayerSearch) -> Callable[[Candidate], float]:
        """The ceiling of each of the layer's candidates, in seconds; infinite where nothing is known."""
        timed_candidates, spec = layer.timed_candidates, layer.spec
        members = spec.op.members if isinstance(spec.op, Chain) else ()

        @cache
        def ceiling(interface: Interface, lane: int) -> float:
            times = [
                self._instead(spec, interface, timed) for timed in timed_candidates if timed.threads == lane
            ]
            if members:
                times.append(sum(self._fastest(member, lane) for member in members))
            return min(times, default=float("inf"))

        return lambda candidate: ceiling(Interface.of(candidate), threads_of(candidate))

    def _fastest(self, spec: LayerSpec, lane: int) -> float:
        return self._fastest_of.get(spec, {}).get(lane, float("inf"))

    def _instead(self, spec: LayerSpec, wanted: Interface, timed: TimedCandidate) -> float:
        """The time of a timed candidate that takes and gives what is wanted."""
        given = timed.candidate.choice
        pairs = [*zip(spec.inputs, wanted.input_layouts, given.input_layouts, strict=True)]
        pairs += zip(spec.outputs, given.output_layouts, wanted.output_layouts, strict=True)
        changes = (
            self._fastest(relayout_spec(tensor, source, target), timed.threads)
            for tensor, source, target in pairs
            if source != target
        )
        return timed.time_s + sum(changes)
