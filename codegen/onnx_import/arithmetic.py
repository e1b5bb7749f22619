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
        return self._sum(a, b, 1)

    def subtract(self, a: Number, b: Number) -> Number:
        """a - b."""
        return self._sum(a, b, -1)

    def multiply(self, a: Number, b: Number) -> Number:
        """a * b."""
        if isinstance(a, int):
            a, b = b, a
        if isinstance(b, int):
            root, times, offset = self._known.linear(a)
            return self._of(root, times * b, offset * b)
        ends = [x * y for x in (least(a), most(a)) for y in (least(b), most(b))]
        return self._combined("Mul", a, b, min(ends), max(ends))

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
        root, times, offset = self._known.linear(a)
        if times % by == 0 and offset % by == 0:
            return self._of(root, times // by, offset // by)
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

    def _sum(self, a: Number, b: Number, sign: int) -> Number:
        """a + b or a - b: of the same quantity so many times of it, whatever is added."""
        (first, times, offset), (second, more, other) = self._known.linear(a), self._known.linear(b)
        if first is None or second is None or first == second:
            return self._of(first or second, times + sign * more, offset + sign * other)
        if sign > 0:
            return self._combined("Add", a, b, least(a) + least(b), most(a) + most(b))
        return self._combined("Sub", a, b, least(a) - most(b), most(a) - least(b))

    def _of(self, root: Quantity | None, times: int, offset: int) -> Number:
        """A quantity so many times, and what is added."""
        if root is None or times == 0:
            return offset
        ends = sorted((times * root.least, times * root.most))
        result: Number = root
        if times == -1:
            result = self._combined("Sub", offset, root, ends[0] + offset, ends[1] + offset)
        else:
            if times != 1:
                result = self._combined("Mul", root, times, *ends)
                self._known.set_linear(_open(result), (root, times, 0))
            if offset != 0:
                result = self._combined("Add", result, offset, ends[0] + offset, ends[1] + offset)
        if result != root:
            self._known.set_linear(_open(result), (root, times, offset))
        return result

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


def _open(number: Number) -> Quantity:
    assert isinstance(number, Quantity)
    return number
