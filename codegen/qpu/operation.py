"""What a kernel is written in: single operations, fused by the scheduler into instructions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from codegen.errors import AssemblyError
from codegen.qpu.isa import SIGNALS, small_immediate
from codegen.qpu.registers import NULL, R4, Register

Source = Register | int | float
Unit = Literal["add", "mul", "any"]

# Distances in instructions from a write to the first read that sees it (guide p.18, 23, 37).
FILE_LATENCY = 2
ACCUMULATOR_LATENCY = 1
ROTATE_LATENCY = 2
UNIFORM_ADDRESS_LATENCY = 3


@dataclass(frozen=True)
class Operation:
    """One ALU operation. `name` is of the ISA's tables, or "mov", which either ALU can do."""

    name: str
    unit: Unit
    destination: Register
    sources: tuple[Source, ...]
    condition: str = "always"
    set_flags: bool = False
    rotate: int = 0

    def __post_init__(self) -> None:
        for source in self.sources:
            if not isinstance(source, Register) and small_immediate(source) is None:
                raise AssemblyError(f"{self.name}: {source!r} is no small immediate; load it into a register")


@dataclass(frozen=True)
class Bundle:
    """Operations that must issue together, and a signal; the scheduler's unit."""

    operations: tuple[Operation, ...] = ()
    signal: str = "none"


@dataclass(frozen=True)
class Immediate:
    """A 32-bit constant into one register; takes a whole instruction. Mode 1 and 3: two bits a lane."""

    destination: Register
    value: int
    mode: int = 0


@dataclass(frozen=True)
class SemaphoreStep:
    """Increment or decrement of a semaphore; takes a whole instruction and keeps the order of VPM accesses."""

    number: int
    decrement: bool


Item = Bundle | Immediate | SemaphoreStep


@dataclass(frozen=True)
class Access:
    """A read or write of a resource; `latency` is the distance to a dependent read."""

    resource: str
    write: bool
    latency: int = 1


def accesses(item: Item) -> Iterator[Access]:
    """Every resource an item reads or writes."""
    if isinstance(item, SemaphoreStep):
        yield Access("vpm", True)
        return
    if isinstance(item, Immediate):
        yield _written(item.destination)
        return
    if item.signal in ("load_tmu0", "load_tmu1"):
        yield Access(item.signal[-4:], True)
        yield _written(R4)
    for operation in item.operations:
        yield from _operation_accesses(operation)


def _operation_accesses(operation: Operation) -> Iterator[Access]:
    for source in operation.sources:
        if isinstance(source, Register) and source is not NULL:
            # A register read by a rotation must not have been written by the instruction before.
            yield Access(source.resource, source.ordered, ROTATE_LATENCY if operation.rotate else 1)
    if operation.destination is not NULL:
        yield _written(operation.destination)
    if operation.set_flags:
        yield Access("flags", True)
    if operation.condition != "always":
        yield Access("flags", False)


def _written(register: Register) -> Access:
    if register.name == "uniform_address":
        return Access(register.resource, True, UNIFORM_ADDRESS_LATENCY)
    if register.write_address is not None and register.write_address < 32:
        return Access(register.resource, True, FILE_LATENCY)
    return Access(register.resource, True, ACCUMULATOR_LATENCY)


def signal_code(name: str) -> int:
    """The number of a signal; raises AssemblyError for an unknown one."""
    if name not in SIGNALS:
        raise AssemblyError(f"unknown signal {name!r}; known: {', '.join(SIGNALS)}")
    return SIGNALS[name]
