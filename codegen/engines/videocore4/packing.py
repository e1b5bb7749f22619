"""Fits operations into one 64-bit instruction: ALUs, register ports, write swap, immediates and signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.engines.videocore4.isa import (
    ADD_OPS,
    CONDITIONS,
    MUL_OPS,
    MUX_A,
    MUX_B,
    ROTATE_BY_R5,
    SIGNALS,
    Alu,
    rotation,
    small_immediate,
)
from codegen.engines.videocore4.operation import Bundle, Operation, Source, signal_code
from codegen.engines.videocore4.registers import Register
from codegen.engines.videocore4.syntax import PACK_A_CODES, PACK_MUL_CODES, UNPACK_CODES
from codegen.engines.videocore4.tables import ADD, MUL
from codegen.errors import AssemblyError

MOVE_ADD, MOVE_MUL = "or", "v8min"


@dataclass
class _Ports:
    """The register-file ports of one instruction: what they read, or the immediate on port B."""

    a: int | None = None
    b: int | None = None
    immediate: int | None = None

    def mux(self, source: Source) -> int | None:
        """The multiplexer input for a source, claiming a port; None where no port is free."""
        if not isinstance(source, Register):
            return self._immediate(small_immediate(source))
        if source.mux is not None:
            return source.mux
        for port in source.read_ports:  # share a port that reads the same address already
            if getattr(self, port) == source.read_address and (port == "a" or self.immediate is None):
                return MUX_A if port == "a" else MUX_B
        for port in source.read_ports:
            if getattr(self, port) is None and (port == "a" or self.immediate is None):
                setattr(self, port, source.read_address)
                return MUX_A if port == "a" else MUX_B
        return None

    def _immediate(self, code: int | None) -> int | None:
        if code is None or self.b is not None or self.immediate not in (None, code):
            return None
        self.immediate = code
        return MUX_B


def pack(bundles: Sequence[Bundle]) -> Alu | None:
    """One instruction that does all bundles, or None where they do not fit together."""
    signals = [b.signal for b in bundles if b.signal != "none"]
    operations = [operation for bundle in bundles for operation in bundle.operations]
    loads_tmu = any(signal.startswith("load_tmu") for signal in signals)
    if len(signals) > 1 or len(operations) > 2 or _peripherals(operations) + loads_tmu > 1:
        return None
    signal = signal_code(signals[0]) if signals else SIGNALS["none"]
    for add, mul in _assignments(operations):
        instruction = _encode(add, mul, signal)
        if instruction is not None:
            return instruction
    return None


def _peripherals(operations: Sequence[Operation]) -> int:
    registers = {r for o in operations for r in (o.destination, *o.sources) if isinstance(r, Register)}
    return sum(register.peripheral for register in registers)


def _assignments(
    operations: Sequence[Operation],
) -> list[tuple[Operation | None, Operation | None]]:
    def allowed(operation: Operation | None, unit: str) -> bool:
        if operation is None:
            return True
        if unit == "mul" and operation.set_flags:  # the multiplier sets flags only beside an add NOP
            return False
        if unit == "add" and (operation.rotate or operation.destination.pack in PACK_MUL_CODES):
            return False
        return operation.unit in (unit, "any")

    if not operations:
        return [(None, None)]
    first = operations[0]
    second = operations[1] if len(operations) == 2 else None
    orders = [(first, second), (second, first)]
    return [(add, mul) for add, mul in orders if allowed(add, "add") and allowed(mul, "mul")]


def _encode(add: Operation | None, mul: Operation | None, signal: int) -> Alu | None:
    ports = _Ports()
    if mul is not None and mul.rotate:
        ports.immediate = ROTATE_BY_R5 if mul.rotate == "r5" else rotation(mul.rotate)
    # Sources that only one port can give claim theirs before those that have a choice.
    chosen: dict[int, int | None] = {}
    sources = [(key, source) for key, source in enumerate(_sources(add) + _sources(mul))]
    for key, source in sorted(sources, key=lambda item: _freedom(item[1])):
        chosen[key] = ports.mux(source)
    if any(mux is None for mux in chosen.values()):
        return None
    modes = _modes(add, mul)
    swap = _write_swap(add, mul)
    if modes is None or swap is None:
        return None
    mux = [chosen[key] or 0 for key in range(4)]
    fields = {"signal": signal, "write_swap": swap, **modes}
    if ports.immediate is not None:
        if signal != SIGNALS["none"]:
            return None
        fields |= {"signal": SIGNALS["small_immediate"], "raddr_b": ports.immediate}
    elif ports.b is not None:
        fields["raddr_b"] = ports.b
    if ports.a is not None:
        fields["raddr_a"] = ports.a
    if add is not None:
        fields |= {
            "op_add": ADD_OPS[MOVE_ADD if add.name == "mov" else add.name],
            "cond_add": CONDITIONS[add.condition],
            "set_flags": int(add.set_flags),
            "waddr_add": _waddr(add),
            "add_a": mux[0],
            "add_b": mux[1],
        }
    if mul is not None:
        fields |= {
            "op_mul": MUL_OPS[MOVE_MUL if mul.name == "mov" else mul.name],
            "cond_mul": CONDITIONS[mul.condition],
            "waddr_mul": _waddr(mul),
            "mul_a": mux[2],
            "mul_b": mux[3],
        }
    return Alu(**fields)


_FLOATS = frozenset(op.name for op in (*ADD, *MUL) if op.floats)


def _modes(add: Operation | None, mul: Operation | None) -> dict[str, int] | None:
    """Fields pm, pack and unpack; None where the operations want different ones."""
    operations = [operation for operation in (add, mul) if operation is not None]
    packs = {operation.destination.pack for operation in operations} - {""}
    reads = [
        (source.mux == 4, source.unpack, operation.name in _FLOATS)
        for operation in operations
        for source in operation.sources
        if isinstance(source, Register) and (source.mux == 4 or source.read_ports == "a")
    ]
    unpacks = {(from_r4, mode) for from_r4, mode, _ in reads if mode}
    if not packs and not unpacks:
        return {}
    if len(packs) > 1 or len(unpacks) > 1:
        return None
    units = {from_r4 for from_r4, _ in unpacks} | {mode in PACK_MUL_CODES for mode in packs}
    if len(units) > 1:
        return None
    through = [(mode, floats) for from_r4, mode, floats in reads if {from_r4} == {u for u, _ in unpacks}]
    # All that comes through the unpack unit is unpacked, as floats if any operation takes floats.
    if len(set(through)) > 1:
        return None
    pm = units.pop()
    pack = next(((PACK_MUL_CODES if pm else PACK_A_CODES)[mode] for mode in packs), 0)
    unpack = next((UNPACK_CODES[mode] for _, mode in unpacks), 0)
    return {"pm": int(pm), "pack": pack, "unpack": unpack}


def _sources(operation: Operation | None) -> list[Source]:
    if operation is None:
        return [_NO_SOURCE, _NO_SOURCE]
    first = operation.sources[0]
    return [first, operation.sources[1] if len(operation.sources) > 1 else first]


_NO_SOURCE = Register("none", "none", mux=0)


def _freedom(source: Source) -> int:
    if not isinstance(source, Register):
        return 0
    return 0 if len(source.read_ports) == 1 else 1


def _waddr(operation: Operation) -> int:
    address = operation.destination.write_address
    if address is None:
        raise AssemblyError(f"{operation.name}: {operation.destination} cannot be written")
    return address


def _write_swap(add: Operation | None, mul: Operation | None) -> int | None:
    """0: add writes file A and mul file B; 1: the reverse; None: no way."""
    for swap, (add_file, mul_file) in enumerate((("a", "b"), ("b", "a"))):
        if (add is None or add_file in add.destination.write_files) and (
            mul is None or mul_file in mul.destination.write_files
        ):
            return swap
    return None


def require(bundle: Bundle) -> Alu:
    """The instruction of a bundle alone; raises AssemblyError where even that does not fit."""
    instruction = pack([bundle])
    if instruction is None:
        raise AssemblyError(f"no single instruction can do {bundle}")
    return instruction
