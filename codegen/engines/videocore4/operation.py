"""What a kernel is written in: single operations, fused by the scheduler into instructions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from codegen.engines.videocore4.isa import SIGNALS, small_immediate
from codegen.engines.videocore4.registers import NULL, R4, Register
from codegen.engines.videocore4.tables import ADD, MUL
from codegen.errors import AssemblyError

Source = Register | int | float
Unit = Literal["add", "mul", "any"]

# Distances in instructions from a write to the first read that sees it (guide p.18, 23, 37).
FILE_LATENCY = 2
ACCUMULATOR_LATENCY = 1
ROTATE_LATENCY = 2
UNIFORM_ADDRESS_LATENCY = 3
SFU_LATENCY = 3
NOSWAP_LATENCY = 3

_OPERANDS = {op.name: op.operands for op in (*ADD, *MUL)} | {"mov": 1}


@dataclass(frozen=True)
class Operation:
    """One ALU operation. `name` is of the ISA's tables, or "mov", which either ALU can do."""

    name: str
    unit: Unit
    destination: Register
    sources: tuple[Source, ...]
    condition: str = "always"
    set_flags: bool = False
    rotate: int | Literal["r5"] = 0

    def __post_init__(self) -> None:
        if len(self.sources) != _OPERANDS.get(self.name, len(self.sources)):
            raise AssemblyError(f"{self.name} takes {_OPERANDS[self.name]} operands, not {len(self.sources)}")
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
    condition: str = "always"
    set_flags: bool = False


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
        yield from _written(item.destination)
        yield from _flags(item)
        return
    if item.signal in ("load_tmu0", "load_tmu1"):
        yield Access(item.signal[-4:], True)
        yield from _written(R4)
    for operation in item.operations:
        yield from _operation_accesses(operation)


def _operation_accesses(operation: Operation) -> Iterator[Access]:
    for source in operation.sources:
        if isinstance(source, Register) and source is not NULL:
            # A register read by a rotation must not have been written by the instruction before.
            yield Access(source.resource, source.ordered, ROTATE_LATENCY if operation.rotate else 1)
    if operation.rotate == "r5":
        yield Access("r5", False, ROTATE_LATENCY)
    if operation.destination is not NULL:
        yield from _written(operation.destination)
    yield from _flags(operation)


def _flags(item: Operation | Immediate) -> Iterator[Access]:
    if item.set_flags:
        yield Access("flags", True)
    if item.condition != "always":
        yield Access("flags", False)


def _written(register: Register) -> Iterator[Access]:
    if register.name == "tmu_noswap":
        for resource in ("tmu0", "tmu1"):
            yield Access(resource, True, NOSWAP_LATENCY)
        return
    latency = ACCUMULATOR_LATENCY
    if register.name == "uniform_address":
        latency = UNIFORM_ADDRESS_LATENCY
    elif register.name.startswith("sfu_"):
        latency = SFU_LATENCY
    elif register.write_address is not None and register.write_address < 32:
        latency = FILE_LATENCY
    yield Access(register.resource, True, latency)


def signal_code(name: str) -> int:
    """The number of a signal; raises AssemblyError for an unknown one."""
    if name not in SIGNALS:
        raise AssemblyError(f"unknown signal {name!r}; known: {', '.join(SIGNALS)}")
    return SIGNALS[name]
