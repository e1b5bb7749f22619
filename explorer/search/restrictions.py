"""Choices that a user takes or rules out: --force and --forbid of single layers, cores that are kept free."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from codegen.graph import Graph, LayerSpec
from codegen.operators.chain import Chain
from codegen.schedule import Candidate, Value
from codegen.suggestion import unknown
from codegen.target import Target
from explorer.compose.timed_candidates import threads_of
from explorer.errors import ChoiceError

Admits = Callable[[Candidate], bool]

_TEXT = re.compile(r"(?P<layer>.+?)=(?P<algorithm>\w+)(?::(?P<axes>\w+=[\w.-]+(?:,\w+=[\w.-]+)*))?")


@dataclass(frozen=True)
class ChoiceRule:
    """Of a layer, by name, and of all layers that are equal to it: an algorithm, and values of some of its axes."""

    layer: str
    algorithm: str
    axes: tuple[tuple[str, str], ...] = ()

    def fits(self, candidate: Candidate) -> bool:
        """Whether the candidate is such a choice."""
        choice = candidate.choice
        given = {name: str(value) for name, value in (*choice.split, *choice.tile)}
        return choice.algorithm == self.algorithm and all(given.get(n) == value for n, value in self.axes)

    @property
    def text(self) -> str:
        """As `parse_rule` takes it."""
        axes = ",".join(f"{name}={value}" for name, value in self.axes)
        return f"{self.layer}={self.algorithm}{':' if axes else ''}{axes}"


@dataclass(frozen=True)
class Restrictions:
    """`force`: what a layer has to be; `forbid`: what it must not be; `cores_free`: of the CPU's, used by no step."""

    force: tuple[ChoiceRule, ...] = ()
    forbid: tuple[ChoiceRule, ...] = ()
    cores_free: int = 0


def parse_rule(option: str, text: str) -> ChoiceRule:
    """LAYER=ALGORITHM or LAYER=ALGORITHM:axis=value,axis=value; raises ChoiceError for what is neither."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ChoiceError(
            f"{option} {text!r} is malformed; an example: {option} stem.conv=qpu_implicit_gemm:pixel_tiles=2"
        )
    axes = tuple(tuple(axis.split("=")) for axis in (match["axes"] or "").split(",") if axis)
    return ChoiceRule(match["layer"], match["algorithm"], tuple((name, value) for name, value in axes))


class Admission:
    """Which candidates of each layer a search may look at: of those that `admits` lets pass.

    Raises ChoiceError for a layer that the graph has not, and where no core would be left.
    """

    def __init__(
        self,
        restrictions: Restrictions,
        graph: Graph,
        target: Target,
        admits: Admits = lambda candidate: True,
    ) -> None:
        self._admits = admits
        if not 0 <= restrictions.cores_free < target.cores:
            raise ChoiceError(
                f"--keep-cores-free {restrictions.cores_free}: {target.name} has {target.cores}, of which a network "
                "needs one"
            )
        self._threads = target.cores - restrictions.cores_free
        specs = {node.name: LayerSpec.of(graph, node) for node in graph.nodes}
        self._force = _by_spec("--force", restrictions.force, specs)
        self._forbid = _by_spec("--forbid", restrictions.forbid, specs)

    def of(self, spec: LayerSpec) -> Admits:
        """Whether a candidate of that layer may be looked at. A chain of layers with one that is forced may not."""
        if isinstance(spec.op, Chain) and any(member in self._force for member in spec.op.members):
            return lambda candidate: False
        force, forbid = self._force.get(spec, ()), self._forbid.get(spec, ())
        return lambda candidate: (
            self._admits(candidate)
            and threads_of(candidate) <= self._threads
            and all(rule.fits(candidate) for rule in force)
            and not any(rule.fits(candidate) for rule in forbid)
        )

    def require(
        self, spec: LayerSpec, admitted: Sequence[Candidate], every: Callable[[], Sequence[Candidate]]
    ) -> None:
        """Raises ChoiceError for a rule of a layer that names no choice of it, and where all rules together leave
        nothing, listing what there is without them.
        """
        rules = [("--force", rule) for rule in self._force.get(spec, ())]
        rules += [("--forbid", rule) for rule in self._forbid.get(spec, ())]
        there = every() if rules else ()
        for option, rule in rules:
            if not any(map(rule.fits, there)):
                listed = _listed(there, rule.algorithm)
                named = {candidate.choice.algorithm for candidate in there}
                what = ";" if rule.algorithm in named else f" {unknown(rule.algorithm, sorted(named))}"
                raise ChoiceError(
                    f"{option} {rule.text}: that layer has no such choice{what} there are: {listed}"
                )
        if rules and not admitted:
            option, rule = rules[0]
            raise ChoiceError(
                f"{option} {rule.text}: no choice is left for that layer; there are: {_listed(there, rule.algorithm)}"
            )


def _by_spec(
    option: str, rules: Iterable[ChoiceRule], specs: Mapping[str, LayerSpec]
) -> Mapping[LayerSpec, tuple[ChoiceRule, ...]]:
    found: dict[LayerSpec, tuple[ChoiceRule, ...]] = {}
    for rule in rules:
        if rule.layer not in specs:
            raise ChoiceError(
                f"{option} {rule.text}: no layer {unknown(rule.layer, specs)} there are: {', '.join(specs)}"
            )
        spec = specs[rule.layer]
        found[spec] = (*found.get(spec, ()), rule)
    return found


def _listed(candidates: Iterable[Candidate], algorithm: str) -> str:
    """The algorithms, that which was named with the values of its axes."""
    axes: dict[str, dict[str, dict[Value, None]]] = {}
    for candidate in candidates:
        seen = axes.setdefault(candidate.choice.algorithm, {})
        for name, value in (*candidate.choice.split, *candidate.choice.tile):
            seen.setdefault(name, {})[value] = None
    if algorithm not in axes:
        return ", ".join(axes)
    listed = "; ".join(f"{name}={'|'.join(map(str, values))}" for name, values in axes[algorithm].items())
    return f"{', '.join(axes)}; {algorithm} with {listed or 'no axes'}"
