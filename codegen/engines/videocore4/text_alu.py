"""ALU instructions from text: operations to their ALUs, operands to the ports of the register files."""

from __future__ import annotations

import re

from codegen.engines.videocore4.isa import (
    ADD_OPS,
    CONDITIONS,
    MUL_OPS,
    MUX_A,
    MUX_B,
    SIGNALS,
    Alu,
    small_immediate,
)
from codegen.engines.videocore4.syntax import READS, UNPACK_CODES
from codegen.engines.videocore4.tables import ADD, MUL
from codegen.engines.videocore4.text_parts import (
    FLOAT,
    INTEGER,
    NOWHERE,
    Part,
    Result,
    destinations,
    integer,
    modifiers_of,
    result_of,
)
from codegen.errors import AssemblyError

_OPERANDS = ({op.name: op.operands for op in ADD}, {op.name: op.operands for op in MUL})
_MOVES = ("or", "v8min")


class AluParser:
    """An ALU instruction: collects operations, then gives the operands their ports."""

    def __init__(self) -> None:
        self._parts: list[Part | None] = [None, None]
        self._signal: str | None = None
        self._fields: dict[str, int] = {}
        self._ports: list[int | None] = [None, None]
        self._immediate: int | None = None
        self._rotate: int | None = None
        self._unpack: tuple[int, int] | None = None  # pm, mode

    def parse(self, parts: list[Part]) -> Alu:
        for part in parts:
            self._sort(part)
        results = [NOWHERE, NOWHERE]
        sources: list[tuple[str, str]] = []
        for mul, slot in enumerate(self._parts):
            if slot is not None:
                results[mul] = self._operation(slot, mul, sources)
        self._fields |= destinations(*results)
        self._place(sources)
        self._finish()
        return Alu(**self._fields)

    def _sort(self, part: Part) -> None:
        if part.name in SIGNALS and part.name not in ("branch", "load_immediate", "small_immediate", "none"):
            if self._signal is not None or part.operands or part.modifiers:
                raise AssemblyError(f"{part.name}: one signal an instruction, without operands")
            self._signal = part.name
            return
        only_mul = part.name in MUL_OPS and part.name not in ADD_OPS
        slot = 1 if only_mul or self._parts[0] is not None else 0
        if part.name != "mov" and part.name not in (ADD_OPS, MUL_OPS)[slot]:
            known = part.name in ADD_OPS
            raise AssemblyError(
                f"{part.name!r} is an operation of the add ALU, which stands first"
                if known
                else f"unknown operation {part.name!r}"
            )
        if self._parts[slot] is not None or self._signal is not None:
            raise AssemblyError(f"{part.name}: add operation, mul operation and signal, in this order")
        self._parts[slot] = part

    def _operation(self, part: Part, mul: int, sources: list[tuple[str, str]]) -> Result:
        unit = ("add", "mul")[mul]
        moves = part.name == "mov"
        name = _MOVES[mul] if moves else part.name
        count = 1 if moves else _OPERANDS[mul][name]
        usual = CONDITIONS["always"] if count else CONDITIONS["never"]
        modifiers = modifiers_of(part, usual, rotates=bool(mul))
        if modifiers.set_flags:
            if mul and self._fields.get("op_add"):
                raise AssemblyError(
                    f"{part.name}.sf: flags come from the add ALU's operation; set them there"
                )
            self._fields["set_flags"] = 1
        self._rotate = modifiers.rotate if mul else self._rotate
        self._fields |= {f"op_{unit}": (ADD_OPS, MUL_OPS)[mul][name], f"cond_{unit}": modifiers.condition}
        given = part.operands[1:]
        allowed = {1, 2} if count == 1 and not moves else {count}
        if (count and not part.operands) or len(given) not in allowed:
            raise AssemblyError(
                f"{part.name}: a result and {count} operands, not {len(part.operands)} in all"
            )
        if given:
            pair = (given[0], given[-1])
            sources += [(f"{unit}_a", pair[0]), (f"{unit}_b", pair[1])]
        return result_of(part.operands[0]) if part.operands else NOWHERE

    # Operands -----------------------------------------------------------------------------------------------

    def _place(self, sources: list[tuple[str, str]]) -> None:
        """Operands that need a certain port claim it before those that have a choice."""
        waiting = [(field, text) for field, text in sources if not self._fixed(field, text)]
        for field, text in waiting:
            address = READS[text]
            for file in (0, 1):
                if self._ports[file] in (None, address[file]) and not (file and self._takes_b()):
                    self._claim(field, file, address[file], text)
                    break
            else:
                raise AssemblyError(f"{text}: both register ports are taken; move an operand to r0 to r3")

    def _fixed(self, field: str, text: str) -> bool:
        if INTEGER.fullmatch(text) or FLOAT.fullmatch(text):
            self._claim_immediate(field, text)
            return True
        name, _, mode = text.partition(".")
        if re.fullmatch(r"r[0-5]", name):
            self._fields[field] = int(name[1])
            if mode and name != "r4":
                raise AssemblyError(f"{text}: only r4 and register file A unpack")
            self._unpacks(text, 1, mode)
            return True
        if name not in READS:
            raise AssemblyError(f"{text!r} cannot be read; operands are registers, small immediates, inputs")
        files = READS[name]
        if len(files) == 2 and mode in ("a", "b"):
            self._claim(field, "ab".index(mode), files["ab".index(mode)], text)
            return True
        if mode:
            if 0 not in files or len(files) == 2:
                raise AssemblyError(f"{text}: only r4 and registers of file A unpack")
            self._unpacks(text, 0, mode)
        if len(files) == 2:
            return False
        file = next(iter(files))
        self._claim(field, file, files[file], text)
        return True

    def _unpacks(self, text: str, pm: int, mode: str) -> None:
        if not mode:
            return
        if mode not in UNPACK_CODES:
            raise AssemblyError(f"{text}: no such unpack mode; known: {', '.join(UNPACK_CODES)}")
        wanted = (pm, UNPACK_CODES[mode])
        if self._unpack not in (None, wanted):
            raise AssemblyError(f"{text}: an instruction has one unpack mode, of r4 or of file A")
        self._unpack = wanted

    def _takes_b(self) -> bool:
        return self._immediate is not None or self._rotate is not None

    def _claim(self, field: str, file: int, address: int, text: str) -> None:
        if file and self._takes_b():
            raise AssemblyError(
                f"{text}: port B holds the small immediate or rotation; read it through file A"
            )
        if self._ports[file] not in (None, address):
            raise AssemblyError(
                f"{text}: port {'AB'[file]} reads another register already; move one of them to r0 to r3"
            )
        self._ports[file] = address
        self._fields[field] = MUX_A + file

    def _claim_immediate(self, field: str, text: str) -> None:
        value = integer(text) if INTEGER.fullmatch(text) else float(text)
        code = small_immediate(value)
        if self._rotate is not None and value == self._rotate - 64 and isinstance(value, int):
            code = self._rotate
        if code is None:
            raise AssemblyError(
                f"{text}: no small immediate (-16 to 15, or a power of two from 0.00390625 to 128.0); load it"
            )
        if self._rotate not in (None, code):
            raise AssemblyError(f"{text}: the rotation stands in the small immediate's place")
        if self._immediate not in (None, code) or self._ports[1] is not None:
            raise AssemblyError(
                f"{text}: port B is taken already; an instruction has one immediate or B register"
            )
        self._immediate = code
        self._fields[field] = MUX_B

    def _finish(self) -> None:
        if self._unpack is not None:
            pm, mode = self._unpack
            if "pack" in self._fields and self._fields["pm"] != pm:
                raise AssemblyError(
                    "pack and unpack modes are either both of file A or of the mul ALU and r4"
                )
            self._fields |= {"pm": pm, "unpack": mode}
        for name, port in zip(("raddr_a", "raddr_b"), self._ports, strict=True):
            if port is not None:
                self._fields[name] = port
        code = self._rotate if self._rotate is not None else self._immediate
        if code is not None:
            if self._signal is not None:
                raise AssemblyError(f"{self._signal}: a small immediate or rotation takes the signal's place")
            self._fields |= {"signal": SIGNALS["small_immediate"], "raddr_b": code}
        elif self._signal is not None:
            self._fields["signal"] = SIGNALS[self._signal]
