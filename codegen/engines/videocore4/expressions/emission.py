"""Appends the operations of an expression's steps to a kernel: registers are taken and given back step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.expressions.lowering import Program
from codegen.engines.videocore4.expressions.steps import Input, Result, Step, Value, is_constant, segments
from codegen.engines.videocore4.mnemonics import operation
from codegen.engines.videocore4.operation import Bundle, Source
from codegen.engines.videocore4.packing import pack
from codegen.engines.videocore4.registers import (
    NULL,
    R0,
    R4,
    SFU_EXP2,
    SFU_LOG2,
    SFU_RECIP,
    SFU_RSQRT,
    Register,
)
from codegen.errors import ScheduleError

_FUNCTIONS = {register.name: register for register in (SFU_RECIP, SFU_RSQRT, SFU_EXP2, SFU_LOG2)}
LACKING = "an expression of {} steps needs more registers than the {} that are free; take a smaller tile"
_SHORT = 3  # steps that a value may live in an accumulator for want of better use


@dataclass(frozen=True)
class Element:
    """One element of each lane: where its operands are, and where its result goes, which may be one of them."""

    operands: tuple[Register, ...]
    result: Register


class Emission:
    """The steps of the elements that are computed together, with constants and temporaries in registers given."""

    def __init__(
        self,
        k: Assembler,
        program: Program,
        elements: Sequence[Element],
        constants: Mapping[float | int, Register],
        temporaries: Sequence[Register],
    ) -> None:
        self._k = k
        self._result = program.result
        self._elements = elements
        self._constants = constants
        self._temporaries = temporaries
        self._free = list(temporaries)
        self._places: list[dict[Value, Register]] = [
            {Input(index): register for index, register in enumerate(element.operands)}
            for element in elements
        ]
        self._steps = program.steps
        self._last: dict[Value, int] = {program.result: len(self._steps)}
        for number, step in enumerate(self._steps):
            for value in step.used:
                self._last[value] = max(number, self._last.get(value, 0))
        self._root = self._root_of_result()

    def run(self) -> None:
        """Appends the operations; raises ScheduleError where the registers do not suffice."""
        number = 0
        for run in segments(list(self._steps)):
            for element in range(len(self._elements)):
                for offset, step in enumerate(run):
                    self._issue(element, number + offset, step)
            number += len(run)
        for element in range(len(self._elements)):
            self._deliver(element)

    def _root_of_result(self) -> int | None:
        """The step that first writes the register of the result, if it may be the wanted one: None where an operand
        in its place is read later.
        """
        by_result = {step.result: number for number, step in enumerate(self._steps)}
        value = self._result
        number = None
        while isinstance(value, Result):
            number = by_result[value.number]
            over = self._steps[number].over
            if over is None:
                break
            value = over
        if number is None:
            return None
        for element in self._elements:
            for index, register in enumerate(element.operands):
                if register == element.result and self._last.get(Input(index), -1) > number:
                    return None
        return number

    def _issue(self, element: int, number: int, step: Step) -> None:
        places = self._places[element]
        dying: set[Value] = {v for v in step.used if isinstance(v, Result) and self._last[v] == number}
        if self._passes_on(step, number, dying, places):
            (source,) = step.sources
            places[Result(_number_of(step))] = places.pop(source)
            return
        held: list[Register] = []
        found = [self._source(value, places, held) for value in step.sources]
        sources = self._fitted(step.name, found, held)
        for value in dying - {step.over}:
            self._release(places.pop(value))
        for register in held:
            self._release(register)
        destination = self._destination(element, number, step, places)
        flags = step.result is None
        self._k.op(step.name, destination, *sources, condition=step.condition, set_flags=flags)

    def _passes_on(
        self, step: Step, number: int, dying: set[Value], places: Mapping[Value, Register]
    ) -> bool:
        """Whether a copy can do without an instruction: of a value that is not needed any more."""
        return (
            step.name == "mov"
            and step.condition == "always"
            and step.function is None
            and step.result is not None
            and number != self._root
            and step.sources[0] in dying
            and places[step.sources[0]] in self._temporaries
        )

    def _source(self, value: Value, places: Mapping[Value, Register], held: list[Register]) -> Source:
        if isinstance(value, (Input, Result)):
            return places[value]
        if not is_constant(value):
            return value
        if value in self._constants:
            return self._constants[value]
        register = self._take()
        held.append(register)
        self._k.load(register, value)
        return register

    def _fitted(self, name: str, sources: list[Source], held: list[Register]) -> list[Source]:
        """The sources so that one instruction can read them: of those whose ports collide one is copied."""
        if _encodes(name, sources):
            return sources
        for index, source in enumerate(sources):
            if isinstance(source, Register) and source.mux is not None:
                continue
            for register in self._free:
                changed = [register if i == index else s for i, s in enumerate(sources)]
                if _encodes(name, changed):
                    self._free.remove(register)
                    held.append(register)
                    self._k.mov(register, source)
                    return changed
        raise self._lacking()

    def _destination(self, element: int, number: int, step: Step, places: dict[Value, Register]) -> Register:
        if step.result is None:
            return NULL
        value = Result(step.result)
        if step.function is not None:
            places[value] = R4
            return _FUNCTIONS[step.function]
        if step.over is not None:
            places[value] = places.pop(step.over)
        elif number == self._root:
            places[value] = self._elements[element].result
        else:
            places[value] = self._take(short=self._last[value] - number <= _SHORT)
        return places[value]

    def _deliver(self, element: int) -> None:
        value, target = self._result, self._elements[element].result
        if not isinstance(value, (Input, Result)):
            if is_constant(value):
                self._k.load(target, value)
            else:
                self._k.mov(target, value)
            return
        place = self._places[element].pop(value)
        if place != target:
            self._k.mov(target, place)
        if isinstance(value, Result):
            self._release(place)

    def _take(self, short: bool = True) -> Register:
        """A free register: an accumulator for what lives shortly, else one of a file, if there is one."""
        if not self._free:
            raise self._lacking()
        register = next((r for r in self._free if (r.mux is not None) == short), self._free[0])
        self._free.remove(register)
        return register

    def _release(self, register: Register) -> None:
        """Back among the free ones, where it is one of them: accumulators, the longest unused first, then files."""
        if register in self._temporaries and register not in self._free:
            accumulators = sum(r.mux is not None for r in self._free)
            self._free.insert(accumulators if register.mux is not None else len(self._free), register)

    def _lacking(self) -> ScheduleError:
        return ScheduleError(LACKING.format(len(self._steps), len(self._temporaries)))


def _number_of(step: Step) -> int:
    assert step.result is not None
    return step.result


def _encodes(name: str, sources: Sequence[Source]) -> bool:
    return pack([Bundle((operation(name, R0, *sources),))]) is not None
