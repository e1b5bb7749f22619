"""How many elements of a tensor are likely to be other than zero, from what computes it: sums over them are so long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from codegen.expression import Expression
from codegen.operator import Epilogued, Operator
from codegen.operators.chain import Chain
from codegen.operators.elementwise import Map
from codegen.operators.side_by_side import SideBySide
from codegen.plan import PlanStep

HALF = 0.5  # of numbers that are as often below 0 as above
_BELOW = np.array([-1.0, -2.0, -4.0])


def filled_shares(steps: Iterable[PlanStep]) -> Mapping[str, float]:
    """By tensor, of the steps' results: half where a step's last operation makes all that is below 0 nothing; where it
    moves elements, what it reads; else all.
    """
    found: dict[str, float] = {}
    for step in steps:
        op = step.spec.op
        if isinstance(op, SideBySide):
            for member, own in op.shares():
                share = _share(member.spec.op, step.inputs[own.inputs], found)
                found.update(dict.fromkeys(step.outputs[own.outputs], share))
        else:
            found.update(dict.fromkeys(step.outputs, _share(op, step.inputs, found)))
    return found


def _share(op: Operator, inputs: Sequence[str], known: Mapping[str, float]) -> float:
    if op.moves_elements and inputs:
        return float(np.mean([known.get(name, 1.0) for name in inputs]))
    expression = _last(op)
    return HALF if expression is not None and _is_rectifying(expression) else 1.0


def _last(op: Operator) -> Expression | None:
    if isinstance(op, Chain):
        return _last(op.members[-1].op)
    if isinstance(op, Map):
        return op.expression
    return op.epilogue if isinstance(op, Epilogued) else None


def _is_rectifying(expression: Expression) -> bool:
    """Whether it is 0 wherever its first operand is well below 0: the others, factors and terms, are 1 here."""
    operands = [_BELOW, *(np.ones(1) for _ in range(1, expression.arity))]
    return expression.arity > 0 and not expression.evaluate(operands).any()
