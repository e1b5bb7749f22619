"""Machine code as text, read by llvm-objdump: functions of instructions with their branch targets."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from microbench.errors import DisassemblyError

DISASSEMBLER = "llvm-objdump"
_FEATURES = "+dotprod"  # what ARM and AArch64 have beyond the instructions that it takes them to have
_FUNCTION = re.compile(r"^([0-9a-f]+) <(.+)>:$")
_INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S+)\s*(.*)$")
_COMMENT = re.compile(r"\s+(?:@|//|;)\s.*$")
_SYMBOL = re.compile(r"\s*<[^>]*>")
_TARGET = re.compile(r"(?:^|,\s*)#?0x([0-9a-f]+)$")
_DATA = re.compile(r"^(?:[0-9a-f]{2}|\..*|<unknown>)$")
_BRANCH = re.compile(
    r"^(b|bl|blx|bx|br|blr|ret|cbn?z|tbn?z|b\.?(eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al))(\.[nw])?$"
)


@dataclass(frozen=True)
class Instruction:
    """One instruction; `target` is the address that a direct branch goes to."""

    address: int
    mnemonic: str
    operands: str
    target: int | None = None

    @property
    def is_branch(self) -> bool:
        """Whether it may go on elsewhere: jumps, calls and returns by name."""
        return _BRANCH.match(self.mnemonic) is not None


@dataclass(frozen=True)
class Function:
    """A function's instructions by rising address."""

    name: str
    instructions: tuple[Instruction, ...]


def why_no_disassembler() -> str | None:
    """Why machine code cannot be read here, or None."""
    return None if shutil.which(DISASSEMBLER) else f"no {DISASSEMBLER} installed (Debian: llvm)"


def disassemble(path: Path) -> tuple[Function, ...]:
    """The functions of an object file or executable for ARM or AArch64.

    Raises DisassemblyError where llvm-objdump is absent or refuses the file.
    """
    reason = why_no_disassembler()
    if reason is not None:
        raise DisassemblyError(f"{path.name} cannot be disassembled: {reason}")
    command = (DISASSEMBLER, "--disassemble", "--no-show-raw-insn", f"--mattr={_FEATURES}", str(path))
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    functions = parse_disassembly(result.stdout)
    if result.returncode != 0 or not functions:
        said = result.stderr.strip().splitlines()
        raise DisassemblyError(
            f"{DISASSEMBLER} read no code from {path}: {said[0] if said else 'there is none'}; "
            "is it an object file for a machine that it knows?"
        )
    return functions


def parse_disassembly(text: str) -> tuple[Function, ...]:
    """Functions from llvm-objdump's text. Mapping symbols ($a, $d) divide no function; data in code is left out."""
    found: list[tuple[str, list[Instruction]]] = []
    for line in text.splitlines():
        heading = _FUNCTION.match(line)
        if heading is not None:
            if not (found and heading[2].startswith("$")):
                found.append((heading[2], []))
            continue
        instruction = _instruction(line)
        if instruction is not None and found:
            found[-1][1].append(instruction)
    return tuple(Function(name, tuple(body)) for name, body in found if body)


def _instruction(line: str) -> Instruction | None:
    match = _INSTRUCTION.match(line)
    if match is None or _DATA.match(match[2]):
        return None
    operands = _SYMBOL.sub("", _COMMENT.sub("", match[3])).strip()
    instruction = Instruction(int(match[1], 16), match[2], operands)
    target = _TARGET.search(operands) if instruction.is_branch else None
    if target is None:
        return instruction
    return Instruction(instruction.address, instruction.mnemonic, operands, int(target[1], 16))
