"""What any composition holds at least, whatever it chooses: the values that are there while a layer runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from codegen.chains import ChainNode
from codegen.graph import Graph
from codegen.memory_space import HOST
from codegen.operators.concat import Concat
from codegen.operators.reshape import Reshape
from explorer.compose.held import Caps
from explorer.compose.problem import Problem


def may_keep(problem: Problem, caps: Caps) -> bool:
    """Whether caps leave room for what no composition can do without; GPU memory is none where no step needs it."""
    uses_gpu = any(HOST not in way.engine.reads for way in problem.every_way())
    return least_held_bytes(problem) <= caps.arena_bytes + (caps.gpu_bytes if uses_gpu else 0)


def least_held_bytes(problem: Problem) -> int:
    """Bytes of GPU memory and of the CPU's arena together that no composition can do without, of each value one copy,
    which has its elements at least.
    """
    types = problem.graph.types
    return least_alive_bytes(problem.graph, problem.chains, lambda tensor: types[tensor].size_bytes)


def least_alive_bytes(
    graph: Graph, chains: Mapping[int, Sequence[ChainNode]], size_of: Callable[[str], int]
) -> int:
    """Bytes that are alive at least, where values take `size_of` their tensors.

    While a layer runs, or one of the `chains` with it, which are given by their first layer's number, what it reads and
    writes is there, and what is read later. What may be in the caller's arrays or in another value's buffer is not
    counted.
    """
    elsewhere = _elsewhere(graph)
    sizes = {tensor: 0 if tensor in elsewhere else size_of(tensor) for tensor in graph.types}
    last = {tensor: index for index, node in enumerate(graph.nodes) for tensor in node.inputs}
    spans: list[list[int]] = [[] for _ in graph.nodes]  # bytes while each layer runs, in every way to run it
    alive: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        held = sum(alive.values())
        for chain in chains.get(index, ()):
            for place in range(index, chain.last + 1):
                spans[place].append(held + sum(sizes[tensor] for tensor in chain.node.outputs))
        shares = isinstance(node.op, Concat)
        spans[index].append(held + (0 if shares else sum(sizes[tensor] for tensor in node.outputs)))
        alive = {tensor: size for tensor, size in alive.items() if last.get(tensor, -1) > index}
        for tensor in node.outputs:
            if last.get(tensor, -1) > index:
                parts = sum(alive.get(part, 0) for part in set(node.inputs)) if shares else 0
                alive[tensor] = max(0, sizes[tensor] - parts)
    return max((min(every) for every in spans), default=0)


def _elsewhere(graph: Graph) -> set[str]:
    """Tensors whose bytes may be somebody else's."""
    views = (node for node in graph.nodes if isinstance(node.op, Reshape))
    shown = (tensor for node in views for tensor in (*node.inputs, *node.outputs))
    return {*graph.inputs, *graph.outputs, *shown}
