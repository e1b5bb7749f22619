"""Small graphs and made-up timed candidates for tests of the composition."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from codegen.expression import RESULT, clamp
from codegen.graph import Graph, LayerSpec, Node
from codegen.operators.elementwise import Map
from codegen.operators.reshape import Reshape
from codegen.schedule import Candidate, Choice
from codegen.tensor import TensorType
from explorer.compose.timed_candidates import TimedCandidate

LAYOUTS = ("nchw", "pixel16")


def graph_of(
    edges: Sequence[tuple[int, ...]], outputs: Sequence[int], reshapes: Collection[int] = ()
) -> Graph:
    """A graph with one input tensor `t0`; node i reads the tensors of `edges[i]` and writes `t{i + 1}`.

    Nodes named by `reshapes` are reshapes to the same shape; every other one has its own spec (its clamp's end),
    so timed candidates can differ from node to node.
    """
    types = {f"t{i}": TensorType((1, 4, 2, 2)) for i in range(len(edges) + 1)}
    nodes = tuple(
        Node(
            f"n{i}",
            Reshape() if i in reshapes else Map(clamp(RESULT, float(i), None)),
            tuple(f"t{source}" for source in sources),
            (f"t{i + 1}",),
        )
        for i, sources in enumerate(edges)
    )
    return Graph("random", ("t0",), tuple(f"t{i}" for i in outputs), nodes, types, {})


def timed(
    spec: LayerSpec,
    engine: str,
    inputs: tuple[str, ...],
    output: str,
    time_s: float,
    tag: int = 0,
    workspace_bytes: int = 0,
    threads: int = 1,
) -> TimedCandidate:
    """A choice nobody could run, with a time."""
    split = (("threads", threads),) if threads > 1 else ()
    choice = Choice(engine, f"fake-{engine}", split, (("tag", tag),), inputs, (output,))
    return TimedCandidate(Candidate(spec, choice), time_s, "modelled", 0, workspace_bytes)
