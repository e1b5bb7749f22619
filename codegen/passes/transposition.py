"""Transposes in a row become one, and those that leave every element in its place become Reshapes."""

from __future__ import annotations

from dataclasses import replace

from codegen.graph import Graph, Node
from codegen.operators.reshape import Reshape
from codegen.operators.transpose import Transpose, moves_nothing
from codegen.passes.rewrite import substitute


def cancel_transposes(graph: Graph) -> Graph:
    """Transposes read past other Transposes; those that only move axes of size 1 are Reshapes from then on.

    What is left without a reader goes with the dead code, a Reshape to the same shape with the Reshapes.
    """
    source: dict[str, tuple[str, tuple[int, ...]]] = {}
    renewed: dict[str, tuple[Node, ...]] = {}
    for node in graph.nodes:
        if not isinstance(node.op, Transpose):
            continue
        tensor, permutation = node.inputs[0], node.op.permutation
        if tensor in source:
            tensor, first = source[tensor]
            permutation = tuple(first[axis] for axis in permutation)
        source[node.output] = (tensor, permutation)
        still = moves_nothing(permutation, graph.types[tensor].shape)
        op = Reshape() if still else Transpose(permutation)
        renewed[node.name] = (replace(node, op=op, inputs=(tensor,)),)
    return substitute(graph, renewed)
