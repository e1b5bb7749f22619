"""Compositions of a searched network that outlive the process: each is made once of the same times by the same code."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from pydantic import BaseModel, ConfigDict, ValidationError

from codegen.canonical import content_hash
from codegen.chains import chain_nodes, node_side_by_side
from codegen.graph import Node
from codegen.operators.side_by_side import SideBySide
from explorer.compose.compose import Composition, priced
from explorer.compose.memory_use import held_bytes
from explorer.compose.steps import ComposedStep
from explorer.compose.timed_candidates import TimedCandidate, by_candidate
from explorer.errors import CompositionError, UndecidedError
from explorer.plans.searched_network import SearchedNetwork
from explorer.search.installed_code import installed_code
from explorer.search.keeper import RoundKeeper
from microbench.errors import StoreError

VERSION = 1  # of what is kept


class _Step(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    node: str | None
    tensors: tuple[str, ...]
    candidate: str
    is_view: bool
    in_place: bool
    starts_launch: bool


class _Kept(BaseModel):
    """`steps` None: nothing fits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: tuple[_Step, ...] | None
    launches: int = 0
    gap: float = 0.0


class KeptCompositions:
    """What was composed of one network, by what was asked for; of a keeper None nothing outlives this."""

    def __init__(self, found: SearchedNetwork, keeper: RoundKeeper | None) -> None:
        self._found = found
        self._keeper = keeper

    def composition(self, asked: object, compose: Callable[[], Composition]) -> Composition | None:
        """What `compose` finds for what is asked, which has a canonical form; None where nothing fits.

        Raises what the keeper raises, StoreError for what is damaged there, and UndecidedError, which is not kept.
        """
        if self._keeper is None:
            return _made(compose)
        key = content_hash([self._basis, asked])
        kept = self._keeper.round(key)
        if kept is not None:
            return self._read(kept, key)
        made = _made(compose)
        self._keeper.add_round(key, _content(made).model_dump_json())
        return made

    def _read(self, content: str, key: str) -> Composition | None:
        try:
            kept = _Kept.model_validate_json(content)
            if kept.steps is None:
                return None
            steps = tuple(map(self._step, kept.steps))
        except (ValidationError, KeyError) as error:
            raise StoreError(
                f"the store's composition {key[:12]} is damaged: {error}; take a copy that is not, or name another "
                "store with --store"
            ) from error
        held = held_bytes(self._found.network.graph, steps)
        return priced(steps, self._found.overheads, *held, kept.gap, kept.launches)

    def _step(self, kept: _Step) -> ComposedStep:
        return ComposedStep(
            None if kept.node is None else self._node(kept.node, kept.tensors[0], self._ways[kept.candidate]),
            kept.tensors,
            self._ways[kept.candidate],
            kept.is_view,
            kept.in_place,
            kept.starts_launch,
        )

    def _node(self, name: str, tensor: str, way: TimedCandidate) -> Node:
        op, graph = way.candidate.spec.op, self._found.network.graph
        if not isinstance(op, SideBySide):
            return self._nodes[name]
        first = next(n for n, node in enumerate(graph.nodes) if tensor in node.outputs)
        found = node_side_by_side(graph, first, op, name)
        if found is None:
            raise KeyError(name)
        return found.node

    @cached_property
    def _basis(self) -> str:
        """Of all that decides what is composed, beside what is asked for."""
        found = self._found
        return content_hash(
            [
                "composition",
                VERSION,
                installed_code(()),
                found.network.sha256,
                [found.target, found.profile.hash, found.overheads],
                [
                    [way.candidate.hash, way.time_s, way.workspace_bytes, way.traffic_bytes]
                    for ways in found.expected.values()
                    for way in ways
                ],
            ]
        )

    @cached_property
    def _nodes(self) -> dict[str, Node]:
        graph = self._found.network.graph
        nodes = (*graph.nodes, *(chain.node for chain in chain_nodes(graph)))
        return {node.name: node for node in nodes}

    @cached_property
    def _ways(self) -> dict[str, TimedCandidate]:
        return {candidate.hash: way for candidate, way in by_candidate(self._found.expected).items()}


def _made(compose: Callable[[], Composition]) -> Composition | None:
    try:
        return compose()
    except UndecidedError:
        raise
    except CompositionError:
        return None


def _content(made: Composition | None) -> _Kept:
    if made is None:
        return _Kept(steps=None)
    steps = tuple(
        _Step(
            node=None if step.node is None else step.node.name,
            tensors=step.tensors,
            candidate=step.timed.candidate.hash,
            is_view=step.is_view,
            in_place=step.in_place,
            starts_launch=step.starts_launch,
        )
        for step in made.steps
    )
    return _Kept(steps=steps, launches=made.launches, gap=made.gap)
