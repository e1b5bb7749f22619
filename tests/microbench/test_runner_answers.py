"""Whatever arrives from a runner is a value or a typed error, and never a wait without end."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microbench.errors import BoardError, MicrobenchError, TimeLimitError
from microbench.runner.frames import FrameError, Writer
from microbench.runner.messages import (
    ExecutionRequest,
    exec_answer,
    exec_request,
    gpu_run_answer,
    gpu_run_request,
    hello_answer,
)
from microbench.runner.readings import Reading, Readings, ReadingState
from tests.microbench.gpu_jobs import sound_gpu_job

ANSWERS: tuple[Callable[[bytes], object], ...] = (
    hello_answer,
    gpu_run_answer,
    lambda payload: exec_answer(payload, ("out", "report")),
)


@given(
    which=st.sampled_from(ANSWERS),
    words=st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 9, 0x7FF00000, 0xFFFFFFFF])),
    rest=st.binary(max_size=9),
)
def test_any_payload_is_an_answer_or_a_typed_error(
    which: Callable[[bytes], object], words: list[int], rest: bytes
) -> None:
    with contextlib.suppress(MicrobenchError):
        which(struct.pack(f"<{len(words)}I", *words) + rest)


def test_counts_beyond_the_payload_are_refused_at_once() -> None:
    """Four thousand million repeats of no launch are no answer either."""
    for repeats, launches in ((0xFFFFFFFF, 0), (1, 0xFFFFFFFF), (0xFFFF, 0xFFFF)):
        with pytest.raises(FrameError, match="shorter"):
            gpu_run_answer(struct.pack("<3I", 0, repeats, launches) + bytes(64))


def test_an_unknown_ending_and_half_a_number_are_damage() -> None:
    ended = Writer()
    ended.u32(99)
    with pytest.raises(FrameError, match=r"no known way \(99\)"):
        exec_answer(ended.payload() + bytes(64), ())
    outputs = Writer()
    for word in (0, 0, 0, 1):
        outputs.u32(word)
    outputs.data(b"abcde")
    with pytest.raises(FrameError, match="part of a number"):
        gpu_run_answer(outputs.payload())


@pytest.mark.parametrize("flags", [float("nan"), float("inf"), 0.5])
def test_throttle_flags_that_are_no_word_are_refused(flags: float) -> None:
    told = [Reading(ReadingState.GOOD, value) for value in (250e6, 1e9, 48.3, flags, 1.2)]
    with pytest.raises(BoardError, match="word of bits"):
        Readings(*told).conditions()


@pytest.mark.parametrize("limit_s", [float("inf"), float("nan"), 1e300, 0.0])
def test_limits_that_no_runner_keeps_are_not_sent(limit_s: float) -> None:
    program = sound_gpu_job().job.program
    assert program.kind == "gpu"
    with pytest.raises(TimeLimitError, match="month"):
        exec_request(ExecutionRequest("0" * 64, (), {}, (), limit_s))
    for limits in ((limit_s, 1.0), (1.0, limit_s)):
        with pytest.raises(BoardError, match="month"):
            gpu_run_request(program, sound_gpu_job().job.inputs, 1, *limits)
