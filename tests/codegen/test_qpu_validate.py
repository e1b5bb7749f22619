"""Every rule of the validator has a program that breaks it, and one close by that keeps it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.engines.videocore4.isa import Alu, Instruction, decode
from codegen.engines.videocore4.rules import RULES
from codegen.engines.videocore4.text import assemble_text
from codegen.engines.videocore4.validate import check, check_words, message, too_close, validate
from codegen.errors import AssemblyError
from tests.codegen.qpu_words import WORDS

END = "thread_end\nnop\nnop\n"
READ_SETUP = {n: f"load vpm_read_setup, {n << 20 | 1 << 12 | 1 << 11 | 2 << 8:#x}\n" for n in (1, 2, 3)}
WRITE_SETUP = f"load vpm_write_setup, {1 << 12 | 1 << 11 | 2 << 8:#x}\n"
LOOP = "branch.any_zc loop\nnop\nnop\nnop\n"

# Rule: (a program that breaks it, one that does not). The end of the program is added.
EXAMPLES: dict[str, tuple[str, str]] = {
    "QPU001": (".word 0x1000000009000000", "nop"),
    "QPU002": ("mov tmu0_s, r0 ; mov sfu_recip, r1\nnop\nnop\nload_tmu0", "mov tmu0_s, r0\nload_tmu0"),
    "QPU003": (f"{WRITE_SETUP}mov tmu0_s, r0\nmov vpm, r0 ; load_tmu0", f"{WRITE_SETUP}mov vpm, r0"),
    "QPU004": ("mov.zs r0, 1 ; mov.ns r0, r1", "mov.zs r0, 1 ; mov.zc r0, r1"),
    "QPU005": ("mov.zs tmu0_s, r0\nload_tmu0", "mov.zs host_interrupt, r0"),
    "QPU006": ("acquire 3 {waddr_add=52, cond_add=1}", "acquire 3 {waddr_add=32, cond_add=1}"),
    "QPU007": ("add tmu0_t, r0, uniform", "mov r0, uniform\nmov tmu0_t, r0\nmov tmu0_s, r0\nload_tmu0"),
    "QPU008": (
        f"{WRITE_SETUP}nop ; fmul vpm.color_a, r0, r1", f"{WRITE_SETUP}nop ; fmul vpm.color, r0, r1"),
    "QPU009": ("mov r0, io33", "mov r0, element"),
    "QPU010": ("mov tlb_z, r0", "mov host_interrupt, 1"),
    "QPU011": ("nop.sf", "nop"),
    "QPU012": ("nop.always r0", "nop r0"),
    "QPU013": ("nop ; nop.always r0", "nop ; nop r0"),
    "QPU014": ("nop {signal=13, raddr_b=1}", "mov r0, 1"),
    "QPU015": ("mov r0, rb1 {unpack=1}", "mov r0, ra1.16a"),
    "QPU016": ("nop ; mov.rot3 r0, ra1", "nop ; mov.rot3 r0, r1"),
    "QPU018": ("mov r0, r1 ; mov r0, r1", "mov r0, r1 ; mov r2, r1"),
    "QPU017": ("load ra1, 8\nnop\nbranch ra1\nnop\nnop\nnop", "load ra2, 8\nnop\nbranch ra2\nnop\nnop\nnop"),
    "QPU101": ("mov ra0, r0\nmov r1, ra0", "mov ra0, r0\nmov r1, rb0"),
    "QPU102": ("mov sfu_exp2, r0\nnop\nmov r1, r4", "mov sfu_exp2, r0\nnop\nnop\nmov r1, r4"),
    "QPU103": ("mov sfu_exp2, r0\nnop\nmov sfu_log2, r1", "mov sfu_exp2, r0\nnop\nnop\nmov sfu_log2, r1"),
    "QPU104": ("mov r0, 1\nnop ; mov.rot2 r1, r0", "mov r0, 1\nnop ; mov.rot2 r1, r2"),
    "QPU105": ("mov r5_all, r0\nnop ; mov.rot_r5 r1, r2", "mov r5_all, r0\nnop\nnop ; mov.rot_r5 r1, r2"),
    "QPU106": ("mov uniforms_address, r0\nnop\nmov r1, uniform", "mov uniforms_address, r0\nnop\nnop\nmov r1, uniform"),
    "QPU107": (
        "mov tmu_noswap, 1\nnop\nmov tmu0_s, r0\nload_tmu0",
        "mov tmu_noswap, 1\nnop\nnop\nmov tmu0_s, r0\nload_tmu0"),
    "QPU108": ("branch 0\nnop\nbranch 0\nnop\nnop\nnop", "branch.all_zs 8\nnop\nnop\nbranch 0\nnop\nnop\nnop"),
    "QPU109": ("mov ra1, r0 ; thread_end\nnop\nnop", "mov r1, r0 ; thread_end\nnop\nnop"),
    "QPU110": ("thread_end\nmov r0, rb14\nnop", "thread_end\nmov r0, rb13\nnop"),
    "QPU111": ("thread_end\nnop\nmov r0, uniform", "mov r0, uniform\nthread_end\nnop\nnop"),
    "QPU112": (f"{WRITE_SETUP}thread_end\nmov vpm, r0\nnop", f"{WRITE_SETUP}mov vpm, r0\nthread_end\nnop\nnop"),
    "QPU113": ("mov.zs r0, 1\nnop ; mov.rot2 r1, r0", "mov.zs r0, 1\nnop\nnop ; mov.rot2 r1, r0"),
    "QPU201": ("nop", "branch -32\nnop\nnop\nnop"),
    "QPU202": ("branch -40\nnop\nnop\nnop", "branch -32\nnop\nnop\nnop"),
    "QPU203": ("mov tmu0_s, r0\n" * 5, "mov tmu0_s, r0\n" * 4),
    "QPU204": ("load_tmu1", "mov tmu1_s, r0\nload_tmu1"),
    "QPU205": ("mov -, mutex\nmov -, mutex\nmov mutex_release, 0", "mov -, mutex\nmov mutex_release, 0"),
    "QPU206": ("mov mutex_release, 0", "mov -, mutex\nmov mutex_release, 0"),
    "QPU207": ("mov -, mutex", "mov -, mutex\nmov mutex_release, 0"),
    "QPU208": ("mov r0, vpm", f"{READ_SETUP[1]}mov r0, vpm"),
    "QPU209": (f"{READ_SETUP[2]}{READ_SETUP[1]}mov r0, vpm\nmov r0, vpm",
               f"{READ_SETUP[1]}{READ_SETUP[3]}" + "mov r0, vpm\n" * 4),
    "QPU210": ("mov vpm, r0", f"{WRITE_SETUP}mov vpm, r0"),
    "QPU211": (f"{READ_SETUP[2]}mov r0, vpm", f"{READ_SETUP[2]}mov r0, vpm\nmov r0, vpm"),
    "QPU213": (
        "mov dma_store, r0\nmov dma_store, r0",
        "mov dma_store, r0\nmov dma_load, r0\nmov -, store_wait\nmov dma_store, r0"),
    "QPU212": ("mov r0, 1 ; mov r2, uniform\nmov r1, relay.b", "mov r0, uniform\nmov r1, relay"),
}  # fmt: skip

OWN_END = ("QPU109", "QPU110", "QPU111", "QPU112")


def broken(text: str, whole: bool = True) -> set[str]:
    return {finding.rule.number for finding in check_words(assemble_text(text), whole)}


def program(rule: str, text: str) -> str:
    if rule == "QPU201" or rule in OWN_END or "branch -" in text:
        return text
    return f"{text.strip()}\n{END}"


@pytest.mark.parametrize("rule", EXAMPLES)
def test_a_program_that_breaks_a_rule_is_told_so(rule: str) -> None:
    wrong, right = (program(rule, text) for text in EXAMPLES[rule])
    assert broken(wrong) == {rule}
    assert broken(right) == set()


def test_every_rule_has_an_example_and_a_source() -> None:
    assert set(EXAMPLES) == {rule.number for rule in RULES}
    assert len(RULES) == len({rule.number for rule in RULES})
    for rule in RULES:
        assert ("guide p." in rule.source or "addendum" in rule.source) and rule.remedy


def test_the_message_names_rule_instruction_and_remedy() -> None:
    code = [decode(word) for word in assemble_text("nop\nmov ra3, r0\nadd r1, ra3, r2")]
    with pytest.raises(AssemblyError) as caught:
        validate(code)
    assert str(caught.value) == (
        "QPU101 at instruction 2 `add r1, ra3, r2`: a register-file location is read by the instruction right "
        "after the one that writes it (ra3, after instruction 1); put one instruction between, or use an "
        "accumulator (guide p.37)"
    )


def test_warnings_pass_the_assembler() -> None:
    code = [decode(word) for word in assemble_text("nop ; mov.rot3 r0, ra1")]
    validate(code)
    (finding,) = check(code, whole=False)
    assert finding.rule.severity == "warning"
    assert message(finding).startswith("QPU016 at instruction 0: ")


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        # The instruction before a branch's target is the branch's third delay slot, not its neighbour.
        ("loop:\nmov r1, ra0\nnop\nbranch.any_zc loop\nnop\nnop\nmov ra0, r0", {"QPU101"}),
        ("branch over\nnop\nnop\nmov ra0, r0\nmov r1, ra0\nover:\nnop", set()),
        ("branch over\nnop\nnop\nmov ra0, r0\nnop\nover:\nmov r1, ra0", {"QPU101"}),
        # A branch in the third delay slot: its own slots lie at the first one's target.
        ("branch on\nnop\nnop\nbranch end\nnop\non:\nmov ra0, r0\nnop\nnop\nmov r1, ra0\nend:\nnop", set()),
        ("branch on\nnop\nnop\nbranch end\nnop\non:\nnop\nnop\nmov ra0, r0\nnop\nend:\nmov r1, ra0", {"QPU101"}),
        # Requests in flight are counted along every way: a loop that asks once and loads once keeps two.
        ("mov tmu0_s, r0\nmov tmu0_s, r0\nloop:\nmov tmu0_s, r0\nload_tmu0\n" + LOOP + "load_tmu0\nload_tmu0", set()),
        ("mov tmu0_s, r0\nload_tmu0\nloop:\nload_tmu0\n" + LOOP, {"QPU204"}),
        # The mutex may be held or not: no verdict.
        ("branch.any_zc over\nnop\nnop\nnop\nmov -, mutex\nover:\nmov mutex_release, 0", set()),
        # Port A's last value is a uniform on one way only.
        ("mov r0, element\nbranch.any_zc over\nnop\nnop\nnop\nmov r0, uniform\nover:\nmov r1, relay", {"QPU212"}),
    ],
)  # fmt: skip
def test_rules_follow_the_threads_way(text: str, rules: set[str]) -> None:
    assert broken(f"{text}\n{END}") == rules


@pytest.mark.parametrize(
    "text",
    [
        "mov.ns r1, 1 ; mov.nc r1, r2",  # one accumulator under opposite conditions
        "mov.cc r3, ra1 ; fmul.cs r3, r1, r2",
        "mov -, mutex\nmov mutex_release, relay",  # what is written to the mutex does not matter
        "mov -, mutex\nnop ; mov mutex_release, relay.b",
    ],
)
def test_what_silicon_means_is_no_finding(text: str) -> None:
    assert broken(f"{text}\n{END}") == set()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("mov.zs tmu0_s, r0 ; mov.zc tmu0_s, r1", "QPU004"),
        ("mov.zs r5_quad, r0 ; mov.zc r5_all, r1", "QPU004"),
        ("mov r0, r1 ; mov.rot3 r0, r1", "QPU004"),
        ("mov.sf mutex_release, relay", "QPU212"),
        ("load r0, 5 ; load r0", "QPU018"),
        ("nop.always tmu0_s", "QPU012"),
    ],
)
def test_what_comes_close_to_it_is_found(text: str, rule: str) -> None:
    assert rule in broken(f"{text}\n{END}")


def test_of_a_part_nothing_is_assumed() -> None:
    part = "load_tmu0\nmov mutex_release, 0\nmov vpm, r0\nmov r0, vpm"
    assert broken(part, whole=False) == set()
    assert broken(part) == {"QPU201", "QPU204", "QPU206", "QPU208", "QPU210"}


def test_a_subroutine_is_checked_though_no_branch_leads_behind_it() -> None:
    call = "branch sub ; link ra2\nnop\nnop\nnop\n" + END + "sub:\nnop\njump ra2\nnop\nnop\nnop"
    assert broken(call) == set()


def test_a_word_that_is_no_instruction_leaves_the_rest_to_be_checked() -> None:
    text = (
        "branch.any_zc over\nnop\nnop\nnop\n.word 0x1000000009000000\nmov ra0, r0\nover:\nmov r1, ra0\n" + END
    )
    assert broken(text) == {"QPU001", "QPU101"}


def test_too_close_looks_across_an_edge() -> None:
    text = "mov uniforms_address, r0\nnop\nmov r1, uniform\nmov r2, uniform"
    code = [decode(word) for word in assemble_text(text)]
    assert too_close(code, 0, 2) and too_close(code, 1, 2) and not too_close(code, 1, 1)


@settings(max_examples=100, deadline=None)
@given(st.lists(WORDS, max_size=12))
def test_any_words_can_be_checked(words: list[int]) -> None:
    for finding in check_words(words):
        assert 0 <= finding.index < len(words)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None)
@given(st.lists(WORDS, max_size=60))
def test_many_words_can_be_checked(words: list[int]) -> None:
    for finding in check_words(words):
        assert 0 <= finding.index < len(words)


def test_an_empty_program_has_nothing_to_break() -> None:
    code: list[Instruction] = []
    assert check(code) == []
    assert not too_close([Alu()], 0, 0)
