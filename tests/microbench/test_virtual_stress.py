"""Random programs: the simulator ends each with a result or a clear error, the same every time, and stays sound."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from codegen.engines.videocore4.isa import decode
from codegen.engines.videocore4.validate import check_words
from codegen.errors import AssemblyError
from tests.microbench.qpu_programs import ELEMENT, R0, R1, A, add, results
from tests.microbench.random_programs.machine import RandomMachine, verdict
from tests.microbench.random_programs.words import LENGTH, any_words, valid_words

RESERVED = re.compile(r"reserved|unsupported")


def outcomes(seed: int, programs: int, strict: bool) -> list[str]:
    machine = RandomMachine(seed, strict)
    with machine.gpu:
        return [machine.run(valid_words(machine.random, LENGTH)) for _ in range(programs)]


def assert_clear(found: list[str]) -> Counter[str]:
    """Every launch ended or was stopped with QPU and instruction named; the counts of either."""
    for outcome in found:
        assert verdict(outcome) != "unclear", outcome
    return Counter("ended" if verdict(outcome) == "ended" else "stopped" for outcome in found)


def assert_sound() -> None:
    """A simple program still computes."""
    code = [add("or", "r0", A, A, raddr_a=ELEMENT), add("add", "r1", R0, R0)]
    assert results(code, [R1])[0].tolist() == [2 * lane for lane in range(16)]


@pytest.mark.parametrize("strict", [True, False])
def test_random_valid_instructions(strict: bool) -> None:
    """More than twenty thousand instructions, on twelve QPUs each, twice."""
    first = outcomes(1, 450, strict)
    counts = assert_clear(first)
    assert counts["stopped"] > 0
    if not strict:
        assert counts["ended"] > 10
    assert first == outcomes(1, 450, strict)
    assert_sound()


@pytest.mark.slow
@pytest.mark.parametrize("strict", [True, False])
def test_a_million_random_valid_instructions(strict: bool) -> None:
    assert_clear(outcomes(2, -(-1_000_000 // LENGTH), strict))
    assert_sound()


def test_random_valid_instructions_are_decoded_and_checked() -> None:
    random = np.random.default_rng(3)
    for _ in range(20):
        words = [int(word) for word in valid_words(random, LENGTH)]
        assert [decode(word).encode() for word in words] == words
        assert all(0 <= finding.index < LENGTH for finding in check_words(words))


@pytest.mark.parametrize("strict", [True, False])
def test_any_words_decode_or_are_refused(strict: bool) -> None:
    """Each word alone, on one program: what the tables call reserved, the simulator does not run."""
    machine = RandomMachine(4, strict)
    with machine.gpu:
        for word in any_words(machine.random, 2000):
            outcome = machine.run(np.array([word], np.uint64))
            assert verdict(outcome) != "unclear", (hex(word), outcome)
            try:
                decode(int(word))
            except AssemblyError:
                assert verdict(outcome) != "ended", hex(word)
                if not strict:
                    assert RESERVED.search(outcome), (hex(word), outcome)


def test_programs_of_any_words_end() -> None:
    machine = RandomMachine(5, strict=False)
    with machine.gpu:
        found = [machine.run(any_words(machine.random, LENGTH)) for _ in range(500)]
    assert_clear(found)
    assert_sound()
