"""The QPU's reference as Markdown, written from the tables that drive encoder, decoder and validator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from codegen.engines.videocore4 import syntax
from codegen.engines.videocore4.isa import (
    Alu,
    Branch,
    Instruction,
    LoadImmediate,
    Semaphore,
    small_immediate_value,
)
from codegen.engines.videocore4.rules import RULES
from codegen.engines.videocore4.tables import (
    ADD,
    BRANCH_CONDITION_TABLE,
    CONDITION_TABLE,
    FIELD_SUMMARIES,
    IMMEDIATE_MODES,
    IO_SUMMARIES,
    IO_TABLE,
    MUL,
    PACK_A,
    PACK_MUL,
    SEMAPHORE_MODE,
    SIGNAL_TABLE,
    UNPACK_A,
    UNPACK_R4,
    Code,
    Opcode,
)


def markdown() -> str:
    """The whole page: syntax, operations, registers, modes, encoding, rules."""
    return "\n".join([*_lines()]) + "\n"


def _lines() -> Iterator[str]:
    yield "# QPU reference"
    yield from [
        "",
        "Written by `explore qpu isa` from the tables of `codegen/engines/videocore4`. Page numbers are those of",
    ]
    yield "Broadcom's *VideoCore IV 3D Architecture Reference Guide* (VideoCoreIV-AG100-R)."
    yield from ["", "## Text syntax", ""]
    yield from (syntax.__doc__ or "").rstrip().splitlines()[2:]
    yield from ["", "## Operations", ""]
    yield from _operations("add ALU", ADD)
    yield from _operations("mul ALU", MUL)
    yield from ["", "## Signals", ""]
    yield from _table(
        ("code", "signal", "meaning", "programs started by hand"),
        ((str(s.code), f"`{s.name}`", s.summary, "yes" if s.general else "no") for s in SIGNAL_TABLE),
    )
    yield from ["", "## Conditions", ""]
    yield from _codes("condition of a write", CONDITION_TABLE)
    yield from _codes("condition of a branch", BRANCH_CONDITION_TABLE)
    yield from ["", "## Registers", ""]
    yield "Addresses 0 to 31 are the locations of register files A (`ra`) and B (`rb`)."
    yield ""
    yield from _registers()
    yield from ["", "## Small immediates", ""]
    yield from _immediates()
    yield from ["", "## Pack and unpack", ""]
    yield from _codes("unpack, pm 0: register file A", UNPACK_A)
    yield from _codes("unpack, pm 1: r4", UNPACK_R4)
    yield from _codes("pack, pm 0: register file A", PACK_A)
    yield from _codes("pack, pm 1: mul ALU", PACK_MUL)
    yield from _codes("load immediate", IMMEDIATE_MODES)
    yield from ["## Encoding", ""]
    yield from _formats()
    yield from ["", "## Rules", ""]
    yield "The validator checks them along every way through a program. What is no *warning* stops the assembler."
    yield ""
    yield from _table(
        ("rule", "what breaks it", "remedy", "source"),
        (
            (
                rule.number,
                f"{'*warning* ' * (rule.severity == 'warning')}{rule.title}",
                rule.remedy,
                rule.source,
            )
            for rule in RULES
        ),
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _operations(unit: str, table: Sequence[Opcode]) -> Iterator[str]:
    rows = (
        (str(op.code), f"`{op.name}`", str(op.operands), "float32" if op.floats else "", op.summary)
        for op in table
    )
    yield from _table(("code", unit, "operands", "of", "result"), rows)
    yield ""


def _codes(title: str, table: Sequence[Code]) -> Iterator[str]:
    yield from _table(
        ("code", title, "meaning"), ((str(c.code), f"`{c.name}`" if c.name else "", c.summary) for c in table)
    )
    yield ""


def _registers() -> Iterator[str]:
    def shown(names: tuple[str, str]) -> str:
        return " (A), ".join(f"`{n}`" for n in names) + " (B)" if names[0] != names[1] else f"`{names[0]}`"

    def rows() -> Iterator[tuple[str, str, str, str]]:
        for io in IO_TABLE:
            for names, kind, unit in ((io.read, "read", io.reads), (io.write, "write", io.unit)):
                if any(names):
                    what = "; ".join(dict.fromkeys(IO_SUMMARIES.get(n, "") for n in names)) or unit
                    yield f"{io.address} {kind}", shown(names), unit, what

    yield from _table(("address", "name", "unit", "what"), rows())


def _immediates() -> Iterator[str]:
    values = [small_immediate_value(code) for code in range(48)]
    yield f"Codes 0 to 31: {values[0]} to {values[15]}, then {values[16]} to {values[31]}."
    yield f"Codes 32 to 47: {', '.join(str(value) for value in values[32:])}."
    yield "Code 48 rotates the multiplier's result up by lane 0 of r5 (bits 3 to 0), 49 to 63 by 1 to 15 lanes;"
    yield f"as operands these codes are {small_immediate_value(48)} to {small_immediate_value(63)} (addendum)."


def _formats() -> Iterator[str]:
    titles: dict[type[Instruction], str] = {
        Alu: "ALU instruction (signals other than 14 and 15)",
        LoadImmediate: "Load immediate (signal 14, modes of the table above)",
        Semaphore: f"Semaphore (signal 14, bits 59 to 57: {SEMAPHORE_MODE})",
        Branch: "Branch (signal 15), three delay slots",
    }
    for form, title in titles.items():
        yield from [f"### {title}", ""]
        yield from _table(
            ("bits", "field", "meaning"),
            (
                (f"{high}:{low}" if high != low else str(high), f"`{name}`", FIELD_SUMMARIES[name])
                for name, (high, low) in form.LAYOUT.items()
            ),
        )
        yield ""
