"""Arithmetic of the numbers that sizes are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.quantities import LEAST, MOST, Number, Quantity, least, most
from codegen.onnx_import.steps import Steps

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder


class Arithmetic:
    """Sums, products and ends of numbers, for a node: what is known is computed here, the rest by the network."""

    def __init__(self, node: OnnxNode, builder: GraphBuilder) -> None:
        self._node, self._steps, self._known = node, Steps(node, builder), builder.quantities

    def add(self, a: Number, b: Number) -> Number:
        """a + b."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if b == 0 or a == 0:
            return a if b == 0 else b
        return self._combined("Add", a, b, least(a) + least(b), most(a) + most(b))

    def subtract(self, a: Number, b: Number) -> Number:
        """a - b."""
        if isinstance(b, int):
            return self.add(a, -b)
        return 0 if a == b else self._combined("Sub", a, b, least(a) - most(b), most(a) - least(b))

    def multiply(self, a: Number, b: Number) -> Number:
        """a * b."""
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if isinstance(a, int):
            a, b = b, a
        if b in (0, 1):
            return a if b == 1 else 0
        ends = [x * y for x in (least(a), most(a)) for y in (least(b), most(b))]
        if not isinstance(b, int):
            return self._combined("Mul", a, b, min(ends), max(ends))
        root, times = self._known.factor(a)
        product = self._combined("Mul", root, times * b, min(ends), max(ends))
        assert isinstance(product, Quantity)
        self._known.set_factor(product, root, times * b)
        return product

    def product(self, numbers: Iterable[Number]) -> Number:
        """All numbers multiplied; 1 of none."""
        result: Number = 1
        for number in numbers:
            result = self.multiply(result, number)
        return result

    def divide(self, a: Number, by: int) -> Number:
        """How often a positive number goes into one that is not negative."""
        if isinstance(a, int) or by == 1:
            return a // by if isinstance(a, int) else a
        root, times = self._known.factor(a)
        if times % by == 0:
            return self.multiply(root, times // by)
        return self._combined("Div", a, by, least(a) // by, most(a) // by)

    def smaller(self, a: Number, b: Number) -> Number:
        """The smaller one."""
        if a == b or most(a) <= least(b):
            return a
        if most(b) <= least(a):
            return b
        return self._combined("Min", a, b, min(least(a), least(b)), min(most(a), most(b)))

    def larger(self, a: Number, b: Number) -> Number:
        """The larger one."""
        if a == b or least(a) >= most(b):
            return a
        if least(b) >= most(a):
            return b
        return self._combined("Max", a, b, max(least(a), least(b)), max(most(a), most(b)))

    def chosen(self, condition: str, a: Number, b: Number) -> Number:
        """One number or the other by a truth value that the network computes."""
        if a == b:
            return a
        key = ("Where", condition, a, b)
        found = self._known.made(key)
        if found is None:
            tensor = self._steps("Where", condition, self.tensor(a), self.tensor(b))
            found = self._known.add(tensor, min(least(a), least(b)), max(most(a), most(b)))
            self._known.keep(key, found)
        return found

    def from_front(self, index: Number, size: Number) -> Number:
        """An index of an axis, negative ones counted from its end."""
        if least(index) >= 0:
            return index
        if most(index) < 0:
            return self.add(index, size)
        is_negative = self._steps("Less", self.tensor(index), self.tensor(0))
        return self.chosen(is_negative, self.add(index, size), index)

    def tensor(self, number: Number) -> str:
        """The number as an int64 scalar."""
        if isinstance(number, Quantity):
            return number.tensor
        if not LEAST <= number <= MOST:
            raise self._node.unsupported(
                f"it computes with {number}, which int64 has not", "use smaller numbers"
            )
        return self._steps.constant(number, "int64")

    def _combined(self, op_type: str, a: Number, b: Number, least: int, most: int) -> Number:
        if op_type != "Sub" and op_type != "Div" and isinstance(a, int):
            a, b = b, a
        key = (op_type, a, b)
        found = self._known.made(key)
        if found is None:
            tensor = self._steps(op_type, self.tensor(a), self.tensor(b))
            found = self._known.add(tensor, least, most)
            self._known.keep(key, found)
        return found
