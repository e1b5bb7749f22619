"""How long the composition takes, and how good it is proven to be, on synthetic networks and those of the zoo."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from codegen.graph import Graph
from codegen.zoo import networks
from explorer.compose.compose import Composition, Limits, compose
from explorer.compose.held import Caps
from explorer.errors import CompositionError, UndecidedError
from explorer.studies.composition_graphs import OVERHEADS, SHAPES, synthetic_times
from explorer.studies.zoo_networks import network_named

SEED = 0
RESOLUTION = 224  # of the zoo's networks, in pixels
CAPPED = 0.5  # of what the plan without a cap holds


@dataclass(frozen=True)
class Composed:
    """One composition. `shape`: the name of a network or its file; `seconds` of a core; `composition` None: nothing
    keeps within the cap, or none `is_undecided`: none was found that does.
    """

    shape: str
    qpus: bool
    nodes: int
    options: int
    is_capped: bool
    seconds: float
    peak_bytes: int
    composition: Composition | None
    is_undecided: bool = False


def names() -> tuple[str, ...]:
    """The networks that there are without a file."""
    return (*SHAPES, *networks())


def study(shapes: Sequence[str], seconds: float) -> Iterator[Composed]:
    """Every shape with the choices of a board with QPUs and of one without, each in a process of its own.

    Raises ModelError and its kin for a network that there is not, and for a file that cannot be imported.
    """
    for shape in shapes:
        for qpus in (True, False):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                yield from pool.submit(_compose, shape, qpus, seconds).result()


def _compose(shape: str, qpus: bool, seconds: float) -> list[Composed]:
    graph = named_graph(shape)
    times = synthetic_times(graph, SEED, qpus)
    options = sum(map(len, times.values()))
    found: list[Composed] = []
    caps = Caps()
    for is_capped in (False, True):
        began_s, is_undecided = time.process_time(), False
        try:
            composition = compose(graph, times, OVERHEADS, Limits(caps=caps, seconds=seconds))
        except CompositionError as error:
            composition, is_undecided = None, isinstance(error, UndecidedError)
        spent_s = time.process_time() - began_s
        peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        nodes = len(graph.nodes)
        found.append(
            Composed(shape, qpus, nodes, options, is_capped, spent_s, peak_bytes, composition, is_undecided)
        )
        if composition is not None:
            caps = _half(composition)
    return found


def named_graph(name: str) -> Graph:
    """A synthetic network, one of the zoo, or that of a file; errors as those of `study`."""
    if name in SHAPES:
        return SHAPES[name]()
    with network_named(name, RESOLUTION) as network:
        return network.graph


def _half(composition: Composition) -> Caps:
    """Of the memory that it holds most of."""
    if composition.gpu_bytes > composition.arena_bytes:
        return Caps(gpu_bytes=CAPPED * composition.gpu_bytes)
    return Caps(arena_bytes=CAPPED * composition.arena_bytes)
