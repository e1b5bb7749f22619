"""Rewriting steps that the passes share: one substitution for a whole graph, or many small ones in an editor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from codegen.graph import Graph, Node
from codegen.operators.reshape import Reshape
from codegen.tensor import Array, TensorType


def substitute(graph: Graph, replacements: Mapping[str, Sequence[Node]]) -> Graph:
    """Puts other nodes, or none, in the place of the nodes named; tensors and constants left unused go.

    It visits the whole graph: a pass calls it once, or edits in a GraphEditor.
    """
    return _with_nodes(
        graph, tuple(new for node in graph.nodes for new in replacements.get(node.name, (node,)))
    )


def _with_nodes(graph: Graph, nodes: tuple[Node, ...]) -> Graph:
    tensors = {*graph.inputs, *(tensor for node in nodes for tensor in (*node.inputs, *node.outputs))}
    weights = {name for node in nodes for name in node.weights}
    return replace(
        graph,
        nodes=nodes,
        types={name: type_ for name, type_ in graph.types.items() if name in tensors},
        constants={name: value for name, value in graph.constants.items() if name in weights},
    )


class GraphEditor:
    """A graph under rewriting; a step costs what it touches, whatever the size of the graph.

    Types and constants that no node uses any more stay until `graph`, which gives the result.
    """

    def __init__(self, graph: Graph) -> None:
        self.types = dict(graph.types)
        self.constants = dict(graph.constants)
        self._origin = graph
        self._inputs, self._outputs = frozenset(graph.inputs), frozenset(graph.outputs)
        self._nodes: dict[str, Node] = {}
        self._places: dict[str, tuple[int, ...]] = {}  # by node name; their order is that of the nodes
        self._producers: dict[str, str] = {}
        self._readers: dict[str, dict[str, None]] = {}
        self._users: dict[str, dict[str, None]] = {}
        for index, node in enumerate(graph.nodes):
            self._insert(node, (index,))

    def graph(self) -> Graph:
        """The graph as it is now, without tensors and constants left unused."""
        nodes = tuple(sorted(self._nodes.values(), key=lambda node: self._places[node.name]))
        return _with_nodes(replace(self._origin, types=self.types, constants=self.constants), nodes)

    def has(self, name: str) -> bool:
        """Whether a node of that name is still there."""
        return name in self._nodes

    def node(self, name: str) -> Node:
        """The node of a name as it is now."""
        return self._nodes[name]

    def producer(self, tensor: str) -> Node | None:
        """The node that writes an activation, or None for a graph input."""
        return self._nodes[self._producers[tensor]] if tensor in self._producers else None

    def consumers(self, tensor: str) -> tuple[Node, ...]:
        """The nodes that read an activation, in no order."""
        return tuple(self._nodes[name] for name in self._readers.get(tensor, ()))

    def is_output(self, tensor: str) -> bool:
        """Whether an activation is an output of the graph."""
        return tensor in self._outputs

    def is_read_once(self, tensor: str) -> bool:
        """Whether one node reads an activation and the graph's user does not."""
        return len(self._readers.get(tensor, ())) == 1 and tensor not in self._outputs

    def weights_of(self, node: Node) -> tuple[Array, ...]:
        """The constants a node uses."""
        return tuple(self.constants[name] for name in node.weights)

    def substitute(
        self,
        replacements: Mapping[str, Sequence[Node]],
        *,
        types: Mapping[str, TensorType] | None = None,
        constants: Mapping[str, Array] | None = None,
    ) -> None:
        """Puts other nodes, or none, in the place of the nodes named."""
        places = {name: self._remove(name) for name in replacements}
        for name, nodes in replacements.items():
            for index, node in enumerate(nodes):
                self._insert(node, places[name] if len(nodes) == 1 else (*places[name], index))
        self.types.update(types or {})
        self.constants.update(constants or {})

    def fresh_node(self, wanted: str) -> str:
        """A node name that the graph does not have yet."""
        return _fresh(wanted, self._nodes.__contains__)

    def fresh_tensor(self, wanted: str) -> str:
        """A tensor name that the graph does not have yet."""
        return _fresh(wanted, lambda name: name in self._producers or name in self._inputs)

    def with_weights(
        self, node: Node, roles: Sequence[str], values: Sequence[Array]
    ) -> tuple[Node, dict[str, Array]]:
        """The node with other values for its weights, and these as new constants named `node.role`."""

        def others_use(name: str) -> bool:
            return any(user != node.name for user in self._users.get(name, ()))

        names = tuple(_fresh(f"{node.name}.{role}", others_use) for role in roles)
        arrays: dict[str, Array] = {
            name: np.ascontiguousarray(value, dtype=np.float32)
            for name, value in zip(names, values, strict=True)
        }
        return replace(node, weights=names), arrays

    def _insert(self, node: Node, place: tuple[int, ...]) -> None:
        self._nodes[node.name], self._places[node.name] = node, place
        self._producers.update(dict.fromkeys(node.outputs, node.name))
        for index, names in ((self._readers, node.inputs), (self._users, node.weights)):
            for name in names:
                index.setdefault(name, {})[node.name] = None

    def _remove(self, name: str) -> tuple[int, ...]:
        node = self._nodes.pop(name)
        for tensor in node.outputs:
            del self._producers[tensor]
        for index, names in ((self._readers, node.inputs), (self._users, node.weights)):
            for used in names:
                index[used].pop(name, None)
        return self._places.pop(name)


def chain_above(editor: GraphEditor, tensor: str) -> tuple[Node, ...]:
    """The node that writes `tensor`, below it the Reshapes passed on the way down: the first is no Reshape.

    Empty where the chain is read from outside it, for then none of its nodes may change what they compute.
    """
    chain: list[Node] = []
    while True:
        node = editor.producer(tensor)
        if node is None or not editor.is_read_once(tensor):
            return ()
        chain.insert(0, node)
        if not isinstance(node.op, Reshape):
            return tuple(chain)
        tensor = node.inputs[0]


def absorb(
    editor: GraphEditor,
    chain: Sequence[Node],
    head: Node,
    absorbed: Node,
    constants: Mapping[str, Array] | None = None,
) -> None:
    """Drops `absorbed`, which reads the end of `chain`: `head` takes the place of the chain's first node.

    The chain's last node writes what `absorbed` wrote, so that graph outputs keep their names.
    """
    renewed = [head, *chain[1:]]
    renewed[-1] = replace(renewed[-1], outputs=absorbed.outputs)
    replacements: dict[str, Sequence[Node]] = {
        old.name: (new,) for old, new in zip(chain, renewed, strict=True)
    }
    editor.substitute({**replacements, absorbed.name: ()}, constants=constants)


def _fresh(wanted: str, is_taken: Callable[[str], bool]) -> str:
    """`wanted`, or with a number behind it where it is taken."""
    name, suffix = wanted, 2
    while is_taken(name):
        name, suffix = f"{wanted}_{suffix}", suffix + 1
    return name
