"""Operations as Python calls that read like assembly: `k.fadd(R0, R1, R2).fmul(R3, R1, R2).signal("load_tmu0")`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from codegen.engines.videocore4.isa import ADD_OPS, CONDITIONS, MUL_OPS
from codegen.engines.videocore4.operation import Bundle, Item, Operation, Source, Unit, signal_code
from codegen.engines.videocore4.registers import Register
from codegen.errors import AssemblyError

# Names that Python keeps for itself carry an underscore: and_, or_, not_.
_NAMES = frozenset({*ADD_OPS, *MUL_OPS, "mov"} - {"nop"})


def operation(
    name: str,
    destination: Register,
    *sources: Source,
    condition: str = "always",
    set_flags: bool = False,
    rotate: int | Literal["r5"] = 0,
) -> Operation:
    """An operation for `Assembler.together`; the ALU follows from the name. Raises AssemblyError."""
    if name not in _NAMES:
        raise AssemblyError(f"unknown operation {name!r}; known: {', '.join(sorted(_NAMES))}")
    if condition not in CONDITIONS:
        raise AssemblyError(f"{name}: unknown condition {condition!r}; known: {', '.join(CONDITIONS)}")
    unit: Unit = "any" if name == "mov" or (name in ADD_OPS and name in MUL_OPS) else "add"
    if name in MUL_OPS and name not in ADD_OPS:
        unit = "mul"
    if rotate:
        unit = "mul"
    return Operation(name, unit, destination, sources, condition, set_flags, rotate)


def move(
    destination: Register, source: Source, condition: str = "always", set_flags: bool = False
) -> Operation:
    """A copy by either ALU."""
    return operation("mov", destination, source, condition=condition, set_flags=set_flags)


@dataclass(frozen=True)
class Mnemonic:
    """An operation's name, to be called with result and operands."""

    name: str
    issue: Callable[[Operation], Issued]

    def __call__(
        self,
        destination: Register,
        *sources: Source,
        condition: str = "always",
        set_flags: bool = False,
        rotate: int | Literal["r5"] = 0,
    ) -> Issued:
        """Writes the operation; `rotate` moves the multiplier's result up by lanes, or by what r5 says."""
        return self.issue(
            operation(
                self.name, destination, *sources, condition=condition, set_flags=set_flags, rotate=rotate
            )
        )


@dataclass(frozen=True)
class Issued:
    """The instruction written last; the operation of the other ALU and a signal may join it."""

    items: list[Item]

    def __getattr__(self, name: str) -> Mnemonic:
        return mnemonic(name, self._join)

    def signal(self, name: str) -> Issued:
        """Adds a signal; a load to r4 is visible to the next instruction."""
        signal_code(name)
        bundle = self._last()
        if bundle.signal != "none":
            raise AssemblyError(f"signal {name}: the instruction has {bundle.signal} already")
        self.items[-1] = Bundle(bundle.operations, name)
        return self

    def _join(self, added: Operation) -> Issued:
        bundle = self._last()
        if len(bundle.operations) > 1:
            raise AssemblyError(f"{added.name}: the instruction has two operations already")
        self.items[-1] = Bundle((*bundle.operations, added), bundle.signal)
        return self

    def _last(self) -> Bundle:
        last = self.items[-1]
        if not isinstance(last, Bundle):
            raise AssemblyError(f"nothing can join {last}")
        return last


def mnemonic(name: str, issue: Callable[[Operation], Issued]) -> Mnemonic:
    """The operation of an attribute's name; raises AttributeError for another."""
    plain = name.removesuffix("_")
    if plain not in _NAMES:
        raise AttributeError(f"{name!r} is no operation of the QPU; known: {', '.join(sorted(_NAMES))}")
    return Mnemonic(plain, issue)
