"""What a candidate must not exceed to be of any use: what was measured already would do its work in that time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from codegen.graph import Chain, LayerSpec
from codegen.schedule import Candidate
from explorer.field import LayerField
from explorer.options import Option, relayout_spec, threads_of


class Ceilings:
    """Of a layer: another choice with changes of layout around it. Of a chain: its layers one by one.

    Times are compared within a lane: what keeps other cores busy may be wanted for that. Memory is not looked at: a
    plan with less of it chooses among what is measured for speed.
    """

    def __init__(self, fields: Iterable[LayerField]) -> None:
        self._fields = {field.spec: field for field in fields}

    def of(self, field: LayerField) -> Callable[[Candidate], float]:
        """The ceiling of each of the field's candidates, in seconds; infinite where nothing is known."""
        options, spec = field.options, field.spec
        members = spec.op.members if isinstance(spec.op, Chain) else ()

        def ceiling(candidate: Candidate) -> float:
            lane = threads_of(candidate)
            others = [self._instead(candidate, option) for option in options if option.threads == lane]
            layers = sum(self._fastest(member, lane) for member in members)
            return min([*others, layers] if members else others, default=float("inf"))

        return ceiling

    def _fastest(self, spec: LayerSpec, lane: int) -> float:
        field = self._fields.get(spec)
        return field.fastest.get(lane, float("inf")) if field else float("inf")

    def _instead(self, candidate: Candidate, option: Option) -> float:
        """The time of an option that takes and gives what the candidate does."""
        wanted, given, spec = candidate.choice, option.candidate.choice, candidate.spec
        pairs = [*zip(spec.inputs, wanted.input_layouts, given.input_layouts, strict=True)]
        pairs.append((spec.output, given.output_layout, wanted.output_layout))
        changes = (
            self._fastest(relayout_spec(tensor, source, target), option.threads)
            for tensor, source, target in pairs
            if source != target
        )
        return option.time_s + sum(changes)
