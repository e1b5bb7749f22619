"""The steps of an expression: QPU operations on values that have no register yet. Equal steps are one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeGuard

from codegen.engines.videocore4.isa import small_immediate


@dataclass(frozen=True)
class Input:
    """The element of an operand."""

    index: int


@dataclass(frozen=True)
class Result:
    """What a step gives."""

    number: int


# A float is the number, an int the 32 bits of a word.
Value = Input | Result | float | int


@dataclass(frozen=True)
class Step:
    """One operation of the ISA, or a `mov`.

    `result` is None where the flags alone are of use; then the steps that follow with a condition need them. Where
    the condition fails, the lanes of `over` stay, which nothing else uses. With a `function` the result is the
    argument of that special function, and the value is what it leaves in r4.
    """

    result: int | None
    name: str
    sources: tuple[Value, ...]
    condition: str = "always"
    over: Result | None = None
    function: str | None = None

    @property
    def used(self) -> tuple[Value, ...]:
        """All values that must exist before."""
        return self.sources if self.over is None else (*self.sources, self.over)


Test = tuple[str, Value, Value]  # an operation for its flags, and its operands


@dataclass
class Steps:
    """Collects the steps of one expression."""

    steps: list[Step] = field(default_factory=list)
    _known: dict[tuple[object, ...], Result] = field(default_factory=dict)

    def op(self, name: str, *sources: Value) -> Result:
        """An operation of the ISA; equal ones are computed once."""
        return self._once((name, *map(_key, sources)), lambda: self._append(name, sources))

    def function(self, name: str, argument: Value) -> Result:
        """A special function: `recip`, `rsqrt`, `exp2` or `log2`."""
        key = (name, _key(argument))
        return self._once(key, lambda: self._append("mov", (argument,), function=f"sfu_{name}"))

    def choose(self, test: Test, condition: str, then: Value, otherwise: Value) -> Result:
        """`then` in the lanes where the test's flags meet the condition."""
        key = ("choose", test[0], *map(_key, test[1:]), condition, _key(then), _key(otherwise))

        def build() -> Result:
            copy = self._append("mov", (otherwise,))
            self._flags(test)
            return self._append("mov", (then,), condition=condition, over=copy)

        return self._once(key, build)

    def adjust(self, test: Test, condition: str, name: str, value: Value, by: Value) -> Result:
        """`value`, with an operation on it and `by` in the lanes where the test's flags meet the condition."""
        copy = self._append("mov", (value,))
        self._flags(test)
        return self._append(name, (copy, by), condition=condition, over=copy)

    def _once(self, key: tuple[object, ...], build: Callable[[], Result]) -> Result:
        if key not in self._known:
            self._known[key] = build()
        return self._known[key]

    def _flags(self, test: Test) -> None:
        name, first, second = test
        sources = (first,) if name == "mov" else (number(first), number(second))
        self.steps.append(Step(None, name, sources))

    def _append(
        self,
        name: str,
        sources: tuple[Value, ...],
        condition: str = "always",
        over: Result | None = None,
        function: str | None = None,
    ) -> Result:
        result = len(self.steps)
        self.steps.append(Step(result, name, tuple(map(number, sources)), condition, over, function))
        return Result(result)


def _key(value: Value) -> tuple[str, Value]:
    return (type(value).__name__, value)  # 1 and 1.0 are different words


def number(value: Value) -> Value:
    """A number as operations take it: 0.0 is the word 0, which is a small immediate."""
    return 0 if isinstance(value, float) and value == 0.0 else value


def is_constant(value: Value) -> TypeGuard[float | int]:
    """Whether a value is a number that needs a register."""
    return isinstance(value, (int, float)) and small_immediate(value) is None


def arranged(steps: list[Step], result: Value) -> tuple[list[Step], Value]:
    """Steps, and the value of the whole, with the traffic of special functions settled: arguments are written to them
    by the step that computes them where nothing else needs it, and results leave r4 unless the next step is their
    only use.
    """
    uses: dict[Value, int] = {result: 1}
    for step in steps:
        for value in step.used:
            uses[value] = uses.get(value, 0) + 1
    settled: list[Step] = []
    for step in steps:
        before = settled[-1] if settled else None
        if step.function is not None and before is not None and _feeds(before, step, uses):
            settled[-1] = replace(before, result=step.result, function=step.function)
        else:
            settled.append(step)
    found: list[Step] = []
    moved: dict[Value, Value] = {}
    fresh = len(steps)
    for index, step in enumerate(settled):
        step = replace(step, sources=tuple(moved.get(value, value) for value in step.sources))
        found.append(step)
        if step.function is None or step.result is None:
            continue
        value = Result(step.result)
        following = settled[index + 1] if index + 1 < len(settled) else None
        if following is None or uses[value] > 1 or value not in following.sources:
            found.append(Step(fresh, "mov", (value,)))
            moved[value] = Result(fresh)
            fresh += 1
    return found, moved.get(result, result)


def _feeds(before: Step, step: Step, uses: dict[Value, int]) -> bool:
    """Whether a step's result is wanted by the special function behind it alone."""
    return (
        before.result is not None
        and before.function is None
        and before.condition == "always"
        and step.sources == (Result(before.result),)
        and uses[Result(before.result)] == 1
    )


def segments(steps: list[Step]) -> list[list[Step]]:
    """Runs of steps between which those of another element may stand: they share r4 and the flags."""
    found: list[list[Step]] = []
    together = False
    for step in steps:
        if together or step.condition != "always":
            found[-1].append(step)
        else:
            found.append([step])
        together = step.function is not None or step.result is None
    return found
