"""What the commands `explore qpu` read, write and print."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from codegen.engines.videocore4.isa import Instruction, decode
from codegen.engines.videocore4.listing import FORMS, Form, read_program
from codegen.engines.videocore4.rules import RESERVED, Finding
from codegen.engines.videocore4.slots import loops
from codegen.engines.videocore4.validate import check_words, message
from codegen.errors import AssemblyError, ListingError
from explorer.terminal.console import stderr, stdout
from explorer.terminal.sheet import Sheet

STREAM = Path("-")


def require_form(form: str, known: Sequence[Form] = FORMS) -> Form:
    """A form of program files by its name; raises ListingError for another."""
    for name in known:
        if name == form:
            return name
    raise ListingError(f"form {form!r} is not one of {', '.join(known)}")


def load_words(path: Path, form: str = "auto") -> tuple[int, ...]:
    """The 64-bit words of a program file; raises ListingError naming the file."""
    chosen, content = require_form(form), read_file(path)
    try:
        return read_program(content, chosen)
    except ListingError as error:
        raise ListingError(f"{path}: {error}") from error


def read_file(path: Path) -> bytes:
    """A file's bytes, or those of standard input for `-`; raises ListingError where it cannot be read."""
    if path == STREAM:
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise ListingError(f"{path}: {error.strerror}; name a file that can be read") from error


def read_text(path: Path) -> str:
    """A file's text; raises ListingError where it is none."""
    try:
        return read_file(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ListingError(
            f"{path}: no text, so no program text; `explore qpu disasm` reads words"
        ) from error


def write_file(path: Path, data: bytes) -> None:
    """Writes a file, or standard output for `-`."""
    if path == STREAM:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        path.write_bytes(data)


def require_sound(words: Sequence[int], whole: bool) -> None:
    """Raises AssemblyError with every rule that a program breaks; prints the warnings."""
    findings = check_words(words, whole)
    errors = [finding for finding in findings if finding.rule.severity == "error"]
    print_findings(words, [finding for finding in findings if finding not in errors], quiet=True)
    if errors:
        raise AssemblyError("\n".join(finding_text(words, finding) for finding in errors))


def finding_text(words: Sequence[int], finding: Finding) -> str:
    """A finding in one line."""
    return message(finding, None if finding.rule is RESERVED else decode(words[finding.index]))


def print_findings(words: Sequence[int], findings: Sequence[Finding], quiet: bool = False) -> None:
    """Findings on standard error, and unless `quiet` how many there are."""
    console = stderr()
    for finding in findings:
        style = "bold red" if finding.rule.severity == "error" else "yellow"
        console.print(f"{finding.rule.severity}:", style=style, end=" ")
        console.print(finding_text(words, finding), markup=False)
    if not quiet:
        errors = sum(finding.rule.severity == "error" for finding in findings)
        console.print(f"{len(words)} instructions, {errors} errors, {len(findings) - errors} warnings")


def check_json(words: Sequence[int], findings: Sequence[Finding]) -> dict[str, object]:
    """Findings and loops as data; no loops of a program that does not decode."""
    try:
        found = loops([decode(word) for word in words])
    except AssemblyError:
        found = []
    return {
        "instructions": len(words),
        "findings": [
            {
                "rule": finding.rule.number,
                "severity": finding.rule.severity,
                "index": finding.index,
                "text": finding_text(words, finding),
            }
            for finding in findings
        ],
        "loops": found,
    }


def print_slots(words: Sequence[int]) -> None:
    """A table of loops: operations issued of the two that each instruction has room for."""
    headings = ("loop", "instructions", "fewest", "add", "mul", "load", "idle", "slots used", "share")
    rows = [
        (
            f"{loop.start} to {loop.stop}{' (inner)' if loop.inner else ''}",
            str(loop.instructions),
            str(loop.bound),
            str(loop.adds),
            str(loop.muls),
            str(loop.loads),
            str(loop.idle),
            f"{loop.used} of {loop.slots}",
            f"{100 * loop.share:.0f} %",
        )
        for loop in loops(_instructions(words))
    ]
    Sheet("", headings, rows, right=headings[1:]).show(stdout())


def _instructions(words: Sequence[int]) -> list[Instruction]:
    try:
        return [decode(word) for word in words]
    except AssemblyError as error:
        raise AssemblyError(f"{error}; slots are counted of programs that decode") from error
