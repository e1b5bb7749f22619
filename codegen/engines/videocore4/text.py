"""The assembler of text files, in the syntax that `codegen.engines.videocore4.syntax` describes."""

from __future__ import annotations

import re
from collections.abc import Callable

from codegen.engines.videocore4.isa import (
    BRANCH_CONDITIONS,
    CONDITIONS,
    NOP_ADDRESS,
    Branch,
    Instruction,
    LoadImmediate,
    Semaphore,
    field_names,
)
from codegen.engines.videocore4.tables import IMMEDIATE_MODES
from codegen.engines.videocore4.text_alu import AluParser
from codegen.engines.videocore4.text_parts import (
    INTEGER,
    NOWHERE,
    Part,
    Result,
    decimal_with_zero,
    destinations,
    fit32,
    integer,
    modifiers_of,
    result_of,
    word32,
)
from codegen.errors import AssemblyError

Resolve = Callable[[str], int]  # a label to the bytes between it and the fourth instruction after the branch

_MODES = {mode.name: mode.code for mode in IMMEDIATE_MODES if mode.name}
_LABEL = re.compile(r"([A-Za-z_]\w*):\s*")
_NAME = re.compile(r"[A-Za-z_]\w*")
_ATTRIBUTES = re.compile(r"(.*?)\s*\{([^{}]*)\}")
_BRANCH_OPERAND = re.compile(r"ra([0-9]{1,2})\s*(?:([+-])\s*(\S+))?")


def assemble_text(text: str) -> tuple[int, ...]:
    """The 64-bit words of a text program; raises AssemblyError naming line and remedy. Rules are not checked."""
    lines: list[tuple[int, str]] = []
    labels: dict[str, int] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.partition("#")[0].strip()
        while match := _LABEL.match(line):
            if match[1] in labels:
                raise AssemblyError(f"line {number}: label {match[1]!r} is defined twice; rename one")
            labels[match[1]] = len(lines)
            line = line[match.end() :]
        if line:
            lines.append((number, line))
    words = []
    for index, (number, line) in enumerate(lines):

        def resolve(label: str, place: int = index) -> int:
            if label not in labels:
                raise AssemblyError(f"label {label!r} is not defined; known: {', '.join(labels) or 'none'}")
            return (labels[label] - place - 4) * 8

        try:
            words.append(_word(line, resolve))
        except AssemblyError as error:
            raise AssemblyError(f"line {number}: {error}") from error
    return tuple(words)


def _word(line: str, resolve: Resolve) -> int:
    if not line.startswith(".word"):
        return parse_instruction(line, resolve).encode()
    text = line[len(".word") :].strip()
    value = int(text, 0) if INTEGER.fullmatch(text) and not decimal_with_zero(text) else -1
    if not 0 <= value < 1 << 64:
        raise AssemblyError(f".word {text!r}: one unsigned 64-bit integer")
    return value


def parse_instruction(line: str, resolve: Resolve) -> Instruction:
    """One instruction without label or comment; raises AssemblyError."""
    match = _ATTRIBUTES.fullmatch(line)
    body, attributes = (match[1], match[2]) if match else (line, "")
    parts = [Part.of(part) for part in body.split(";")]
    name = parts[0].name
    if name in ("branch", "jump"):
        instruction: Instruction = _branch(parts, resolve)
    elif name == "load":
        instruction = _load(parts)
    elif name in ("acquire", "release"):
        instruction = _semaphore(parts)
    else:
        instruction = AluParser().parse(parts)
    return _with_attributes(instruction, attributes)


def _with_attributes(instruction: Instruction, attributes: str) -> Instruction:
    changes: dict[str, int] = {}
    for item in filter(None, (part.strip() for part in attributes.split(","))):
        name, _, value = (part.strip() for part in item.partition("="))
        if name not in field_names(instruction):
            raise AssemblyError(
                f"{name!r} is no field of this format; fields: {', '.join(field_names(instruction))}"
            )
        changes[name] = integer(value)
    fields = {name: getattr(instruction, name) for name in field_names(instruction)}
    return type(instruction)(**{**fields, **changes})


def _load(parts: list[Part]) -> LoadImmediate:
    first = parts[0]
    if len(parts) > 2 or any(part.name != "load" for part in parts) or len(first.operands) != 2:
        raise AssemblyError("load RESULT, VALUE [; load RESULT]")
    mode = _MODES.get(first.modifiers[0], 0) if first.modifiers else 0
    results = [result_of(first.operands[0]), NOWHERE]
    conditions = [modifiers_of(first, _usual(results[0]), skip=int(bool(mode)))]
    if len(parts) == 2:
        if len(parts[1].operands) != 1:
            raise AssemblyError("load RESULT, VALUE ; load RESULT: the second has the first's value")
        results[1] = result_of(parts[1].operands[0])
        conditions.append(modifiers_of(parts[1], _usual(results[1])))
    return LoadImmediate(
        mode=mode,
        cond_add=conditions[0].condition,
        cond_mul=conditions[1].condition if len(conditions) == 2 else CONDITIONS["never"],
        set_flags=int(any(modifiers.set_flags for modifiers in conditions)),
        immediate=_lanes(first.operands[1], mode) if mode else word32(first.operands[1]),
        **destinations(results[0], results[1]),
    )


def _usual(result: Result) -> int:
    return CONDITIONS["never"] if result.files.get(0) == NOP_ADDRESS else CONDITIONS["always"]


def _lanes(text: str, mode: int) -> int:
    low, high = (-2, 1) if mode == 1 else (0, 3)
    if not (text.startswith("[") and text.endswith("]")):
        raise AssemblyError(f"{text}: a list of 16 values, [0, 1, …]")
    values = [integer(item.strip()) for item in text[1:-1].split(",")]
    return lane_bits(values, low, high)


def lane_bits(values: list[int], low: int, high: int) -> int:
    """16 two-bit values as a per-element immediate; raises AssemblyError for what is not `low` to `high`."""
    if len(values) != 16 or not all(low <= value <= high for value in values):
        raise AssemblyError(f"{values}: 16 values from {low} to {high}")
    return sum((value & 1) << lane | (value >> 1 & 1) << (16 + lane) for lane, value in enumerate(values))


def _semaphore(parts: list[Part]) -> Semaphore:
    part = parts[0]
    if len(parts) != 1 or part.modifiers or len(part.operands) != 1:
        raise AssemblyError(f"{part.name} NUMBER, alone in its instruction")
    return Semaphore(decrement=int(part.name == "acquire"), number=integer(part.operands[0]))


def _branch(parts: list[Part], resolve: Resolve) -> Branch:
    part, links = parts[0], parts[1:]
    if len(part.operands) != 1 or len(part.modifiers) > 1 or len(links) > 2:
        raise AssemblyError(f"{part.name}[.CONDITION] TARGET [; link RESULT [; link RESULT]]")
    condition = part.modifiers[0] if part.modifiers else "always"
    if condition not in BRANCH_CONDITIONS:
        raise AssemblyError(f"{part.name}.{condition}: known conditions: {', '.join(BRANCH_CONDITIONS)}")
    for link in links:
        if link.name != "link" or len(link.operands) != 1 or link.modifiers:
            raise AssemblyError("a branch has `link RESULT` beside it and nothing else")
    results = [result_of(link.operands[0]) for link in links] + [NOWHERE] * (2 - len(links))
    if any(result.pm is not None for result in results):
        raise AssemblyError("a link is not packed")
    return Branch(
        condition=BRANCH_CONDITIONS[condition],
        relative=int(part.name == "branch"),
        **_target(part, resolve),
        **destinations(results[0], results[1]),
    )


def _target(part: Part, resolve: Resolve) -> dict[str, int]:
    text = part.operands[0]
    if match := _BRANCH_OPERAND.fullmatch(text):
        if int(match[1]) > 31:
            raise AssemblyError(f"{text}: registers are ra0 to ra31")
        offset = integer(f"{match[2]}{match[3]}") if match[2] else 0
        return {"use_register": 1, "raddr_a": int(match[1]), "immediate": fit32(offset, text)}
    if _NAME.fullmatch(text):
        if part.name == "jump":
            raise AssemblyError(f"jump {text}: a label's address is not known; branch is relative")
        return {"immediate": resolve(text) & 0xFFFFFFFF}
    return {"immediate": fit32(integer(text), text)}
