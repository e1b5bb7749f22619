"""What any composition holds at least, whatever it chooses: the values that are there while a layer runs."""

from __future__ import annotations

from codegen.engine_registry import layout_named
from codegen.operators.concat import Concat
from codegen.operators.reshape import Reshape
from explorer.compose.problem import Problem


def least_held_bytes(problem: Problem) -> int:
    """Bytes of GPU memory and of the CPU's arena together that no composition can do without.

    While a layer runs, or a chain with it, what it reads and writes is there, and what is read later: of each value one
    copy, in its smallest layout. What may be in the caller's arrays or in another value's buffer is not counted.
    """
    graph, sizes = problem.graph, _Sizes(problem)
    last = {tensor: index for index, node in enumerate(graph.nodes) for tensor in node.inputs}
    spans: list[list[int]] = [[] for _ in graph.nodes]  # bytes while each layer runs, in every way to run it
    alive: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        held = sum(alive.values())
        for chain in problem.chains.get(index, ()):
            for place in range(index, chain.last + 1):
                spans[place].append(held + sum(map(sizes.of, chain.node.outputs)))
        shares = isinstance(node.op, Concat)
        spans[index].append(held + (0 if shares else sum(map(sizes.of, node.outputs))))
        alive = {tensor: size for tensor, size in alive.items() if last.get(tensor, -1) > index}
        for tensor in node.outputs:
            if last.get(tensor, -1) > index:
                parts = sum(alive.get(part, 0) for part in set(node.inputs)) if shares else 0
                alive[tensor] = max(0, sizes.of(tensor) - parts)
    return max((min(every) for every in spans), default=0)


class _Sizes:
    def __init__(self, problem: Problem) -> None:
        graph = problem.graph
        self._layouts = problem.layouts
        self._types = graph.types
        views = [node for node in graph.nodes if isinstance(node.op, Reshape)]
        self._elsewhere = {*graph.inputs, *graph.outputs}
        self._elsewhere |= {tensor for node in views for tensor in (*node.inputs, *node.outputs)}

    def of(self, tensor: str) -> int:
        """Of the smallest copy; 0 where the bytes may be somebody else's."""
        if tensor in self._elsewhere:
            return 0
        return min(layout_named(layout).size_bytes(self._types[tensor]) for layout in self._layouts)
