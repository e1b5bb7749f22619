"""Checks programs against every rule of `rules`, along every way a thread can take through them."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.engines.videocore4 import rules
from codegen.engines.videocore4.disassembler import instruction_text
from codegen.engines.videocore4.effects import Effects, effects
from codegen.engines.videocore4.flow import Flow, flow_of
from codegen.engines.videocore4.isa import NOP, Instruction, decode
from codegen.engines.videocore4.rules import Finding
from codegen.engines.videocore4.rules_flow import flow_findings
from codegen.engines.videocore4.rules_sequence import WINDOW, ending, following
from codegen.engines.videocore4.rules_single import single
from codegen.errors import AssemblyError


def validate(code: Sequence[Instruction], whole: bool = False) -> None:
    """Raises AssemblyError naming rule, place and remedy of the first error; warnings pass. See `check`."""
    for finding in check(code, whole):
        if finding.rule.severity == "error":
            raise AssemblyError(message(finding, code[finding.index]))


def check(code: Sequence[Instruction], whole: bool = True) -> list[Finding]:
    """Every rule that a program breaks, in its order.

    A `whole` program starts at its first instruction with nothing outstanding and ends its thread; of a part,
    nothing is assumed at either end.
    """
    facts = [effects(instruction) for instruction in code]
    flow = flow_of(code, facts)
    found = [*_alone(code, facts), *_sequences(facts, flow), *flow_findings(facts, flow, whole)]
    found += [
        Finding(rules.BAD_TARGET, at, f"{offset:+} bytes") for at, offset in dict.fromkeys(flow.bad_targets)
    ]
    if whole:
        found += [Finding(rules.RUNS_OFF, index) for index in dict.fromkeys(flow.runs_off)]
    return sorted(dict.fromkeys(found), key=lambda finding: (finding.index, finding.rule.number))


def check_words(words: Sequence[int], whole: bool = True) -> list[Finding]:
    """As `check`; a word that is no instruction is a finding, and does nothing to those around it."""
    found: list[Finding] = []
    code: list[Instruction] = []
    for index, word in enumerate(words):
        try:
            code.append(decode(word))
        except AssemblyError as error:
            found.append(Finding(rules.RESERVED, index, str(error).partition(": ")[2]))
            code.append(NOP)
    found += check(code, whole)
    return sorted(found, key=lambda finding: (finding.index, finding.rule.number))


def message(finding: Finding, instruction: Instruction | None = None) -> str:
    """Rule, place, what, remedy and source in one line."""
    text = f" `{instruction_text(instruction)}`" if instruction is not None else ""
    what = f" ({finding.detail})" if finding.detail else ""
    rule = finding.rule
    return f"{rule.number} at instruction {finding.index}{text}: {rule.title}{what}; {rule.remedy} ({rule.source})"


def too_close(code: Sequence[Instruction], last: int, following_index: int) -> bool:
    """Whether `following_index`, executed right after `last`, comes too soon after what was executed before."""
    for after in range(WINDOW):
        for back in range(WINDOW - after):
            place, other = following_index + after, last - back
            if place >= len(code) or other < 0:
                continue
            if any(True for _ in following(effects(code[other]), effects(code[place]), after + back + 1)):
                return True
    return False


def reads_after_write(before: Instruction, after: Instruction) -> bool:
    """Whether `after` reads a register-file location that `before`, just ahead of it, writes."""
    return bool(effects(before).file_writes & effects(after).file_reads)


def _alone(code: Sequence[Instruction], facts: Sequence[Effects]) -> list[Finding]:
    return [
        Finding(rule, index, detail)
        for index, (instruction, e) in enumerate(zip(code, facts, strict=True))
        for rule, detail in (*single(instruction, e), *ending(e))
    ]


def _sequences(facts: Sequence[Effects], flow: Flow) -> list[Finding]:
    found: list[Finding] = []
    for place in flow.before:
        for history in flow.histories(place):
            for back, index in enumerate(history):
                found += [
                    Finding(rule, place.index, f"{detail}, " * bool(detail) + f"after instruction {index}")
                    for rule, detail in following(facts[index], facts[place.index], back + 1)
                ]
    return found
