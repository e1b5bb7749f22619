"""Products of tensors summed over common axes: MatMul and Gemm of activations, Einsum."""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import ascii_letters
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import GraphSpecError
from codegen.onnx_import.registry import handles
from codegen.operator import Arrays, Operator, Types
from codegen.tensor import Doubles, Shape, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class Contraction(Operator):
    """Einstein's sum: a letter for each axis of each input, and those of the result in order. What is not in the result
    is summed over; a letter that an input has twice walks along its diagonal.

    Fields:
        terms: for each input a letter for each axis
        result: the letters of the output's axes
    """

    terms: tuple[str, ...]
    result: str

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        if len(inputs) != len(self.terms) or weights or len({tensor.dtype for tensor in inputs}) != 1:
            raise GraphSpecError(f"Contraction {self.describe()} of {inputs} and {len(weights)} weights")
        sizes = letter_sizes(self, inputs)
        if not set(self.result) <= set(sizes) or len(set(self.result)) != len(self.result):
            raise GraphSpecError(f"Contraction to {self.result!r} of {self.terms}")
        return (TensorType(tuple(sizes[letter] for letter in self.result), inputs[0].dtype),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        return (np.asarray(np.einsum(f"{','.join(self.terms)}->{self.result}", *inputs, optimize=True)),)

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        place = self.result.find(self.terms[source][axis])
        return (place if place >= 0 else None,)

    def filler(self, axis: int, source: int, inputs: Types) -> float | None:
        return None if self.terms[source][axis] in self.result else 0.0

    def describe(self) -> str:
        return f"Contraction {','.join(self.terms)}->{self.result}"

    def macs(self, inputs: Types, weights: Types, outputs: Types) -> int:
        return int(np.prod(list(letter_sizes(self, inputs).values()), dtype=np.int64))


def letter_sizes(op: Contraction, inputs: Types) -> dict[str, int]:
    """The length of every letter's axes; raises GraphSpecError where they differ."""
    sizes: dict[str, int] = {}
    for term, tensor in zip(op.terms, inputs, strict=True):
        if len(term) != len(tensor.shape):
            raise GraphSpecError(f"Contraction term {term!r} of a tensor of shape {tensor.shape}")
        for letter, size in zip(term, tensor.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise GraphSpecError(f"Contraction: axis {letter!r} is {sizes[letter]} and {size} long")
    return sizes


def matrix_product(first: Shape, second: Shape) -> Contraction | None:
    """The product of matrices, or vectors, whose leading axes broadcast, as numpy's matmul; None: they do not fit."""
    if not first or not second:
        return None
    letters = iter(ascii_letters)
    inner, row, column = next(letters), next(letters), next(letters)
    left = (row if len(first) > 1 else "") + inner
    right = inner + (column if len(second) > 1 else "")
    result = (row if len(first) > 1 else "") + (column if len(second) > 1 else "")
    leading = [list(first[:-2]), list(second[:-2])]
    common = max(map(len, leading))
    for depth in range(1, common + 1):
        sizes = [own[-depth] if depth <= len(own) else 0 for own in leading]
        letter = next(letters)
        result = letter + result
        own_letters = [letter if size == max(sizes) else next(letters) for size in sizes]
        if any(0 < size < max(sizes) and size != 1 for size in sizes):
            return None
        left = (own_letters[0] if sizes[0] else "") + left
        right = (own_letters[1] if sizes[1] else "") + right
    return Contraction((left, right), result)


def emit_product(node: OnnxNode, builder: GraphBuilder, first: str, second: str, *, step: str = "") -> str:
    """The matrix product of two activations."""
    shapes = builder.shape_of(first), builder.shape_of(second)
    op = matrix_product(*shapes)
    if op is None:
        raise node.malformed(f"it multiplies tensors of shapes {shapes[0]} and {shapes[1]}")
    return builder.emit(node, op, (first, second), step=step)


@handles("Einsum", "all")
def einsum(node: OnnxNode, builder: GraphBuilder) -> None:
    """Einsum with its ellipses spelt out."""
    tensors = [builder.tensor(node, index) for index in range(len(node.inputs))]
    equation = re.sub(r"\s", "", node.text("equation", ""))
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(tensors) or not re.fullmatch(r"[A-Za-z.,>-]*", equation):
        raise node.malformed(f"its equation {equation!r} does not fit {len(tensors)} inputs")
    spare = [letter for letter in ascii_letters if letter not in equation]
    ranks = [len(builder.shape_of(tensor)) for tensor in tensors]
    spelt, longest = [], 0
    for term, rank in zip(terms, ranks, strict=True):
        hidden = rank - len(term.replace("...", "")) if "..." in term else 0
        if hidden < 0 or hidden > len(spare):
            raise node.malformed(f"term {term!r} does not fit a tensor of {rank} dimensions")
        longest = max(longest, hidden)
        spelt.append(term.replace("...", "".join(reversed(spare[:hidden]))))
    common = "".join(reversed(spare[:longest]))
    if not arrow:
        once = sorted(letter for letter in set(left) - set(".,") if left.count(letter) == 1)
        result = ("..." if "..." in left else "") + "".join(once)
    builder.emit(node, Contraction(tuple(spelt), result.replace("...", common)), tensors)
