"""What holds for every board: a new one supplies the fixture `board` and says what it can do."""

from __future__ import annotations

import dataclasses
import math
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

from codegen.errors import ExploreError
from microbench.board import Board, Job, Kind, Measurement
from microbench.errors import BoardError, CandidateError
from tests.microbench.measured import SoundJob, candidate, sound_cpu_job

DETERMINISTIC: frozenset[Kind] = frozenset({"simulated", "modelled"})


class BoardConformance:
    """Subclass it, override `board`, and `sound` where the board runs more than C layers."""

    kinds: frozenset[Kind] = frozenset()  # what its times may be
    computes: frozenset[str] = frozenset()  # whose programs' measurements carry an output

    @pytest.fixture
    def board(self) -> Iterator[Board]:
        """An open board; the fixture closes it."""
        raise NotImplementedError

    @pytest.fixture
    def sound(self) -> tuple[SoundJob, ...]:
        """Jobs that the board must measure, with the outputs they must give."""
        return (sound_cpu_job(),)

    def test_has_a_name_a_profile_and_a_target(self, board: Board) -> None:
        assert board.name
        assert board.target.name == board.profile.name
        assert self.kinds

    def test_fingerprint_is_stable_across_measurements(
        self, board: Board, sound: tuple[SoundJob, ...]
    ) -> None:
        before = board.fingerprint()
        for item in sound:
            board.measure(item.job)
        assert board.fingerprint() == before
        assert len(before.hash) == 64
        assert before.board and before.software

    def test_measures_every_repeat_in_a_kind_it_declares(
        self, board: Board, sound: tuple[SoundJob, ...]
    ) -> None:
        for item in sound:
            job = dataclasses.replace(item.job, repeats=3)
            measurement = board.measure(job)
            assert len(measurement.times_s) == 3
            check_times(measurement)
            assert measurement.kind in self.kinds
            assert measurement.kind == board.kind_of(job.candidate.choice.engine)

    def test_describes_itself_and_says_so_where_no_silicon_is_timed(self, board: Board) -> None:
        described = board.describe()
        assert described.strip() == described != ""
        assert board.reads_clock != ("no silicon" in described)

    def test_a_board_that_computes_gives_outputs_and_no_other_runs_bundles(
        self, board: Board, sound: tuple[SoundJob, ...], tmp_path: Path
    ) -> None:
        outputs = [board.measure(item.job).output for item in sound]
        assert board.computes == any(output is not None for output in outputs)
        if not board.computes:
            with pytest.raises(BoardError, match=board.name):
                board.run_bundle(tmp_path, ())

    def test_outputs_are_right_where_there_are_any(self, board: Board, sound: tuple[SoundJob, ...]) -> None:
        for item in sound:
            output = board.measure(item.job).output
            assert (output is not None) == (item.job.candidate.choice.engine in self.computes)
            if output is not None:
                assert output.dtype == np.float32
                np.testing.assert_array_equal(output, item.expected)

    def test_measuring_again_gives_the_same_where_no_clock_is_read(
        self, board: Board, sound: tuple[SoundJob, ...]
    ) -> None:
        for item in sound:
            first, second = board.measure(item.job), board.measure(item.job)
            assert first.kind == second.kind
            if first.kind in DETERMINISTIC:
                assert first.times_s == second.times_s
                assert dict(first.counters) == dict(second.counters)

    def test_a_board_without_a_clock_says_so(self, board: Board) -> None:
        assert board.reads_clock == (not self.kinds <= DETERMINISTIC)

    def test_a_wrong_program_is_the_candidates_fault_and_does_no_harm(
        self, board: Board, sound: tuple[SoundJob, ...]
    ) -> None:
        for item in sound:
            for wrong in wrong_jobs(item.job):
                with pytest.raises(CandidateError):
                    board.measure(wrong)
            check_times(board.measure(item.job))

    def test_a_board_measures_what_was_never_measured_exactly_where_it_records(
        self, board: Board, sound: tuple[SoundJob, ...]
    ) -> None:
        engine = sound[0].job.candidate.choice.engine
        unseen = dataclasses.replace(sound[0].job, candidate=candidate(999, 7, engine))
        try:
            measurement = board.measure(unseen)
        except CandidateError as error:
            assert not board.records
            assert unseen.candidate.hash[:12] in str(error)
        else:
            assert board.records
            check_times(measurement)

    def test_a_bundle_that_is_none_is_a_typed_error(self, board: Board, tmp_path: Path) -> None:
        with pytest.raises(ExploreError):
            board.run_bundle(tmp_path / "absent", ())

    def test_closing_twice_is_harmless(self, board: Board) -> None:
        with board as entered:
            assert entered is board
        board.close()

    def test_leaving_the_context_passes_errors_on(self, board: Board) -> None:
        with pytest.raises(BoardError, match="mine"), board:
            raise BoardError("mine")

    def test_an_interrupt_while_measuring_leaves_a_board_that_closes(
        self, board: Board, sound: tuple[SoundJob, ...]
    ) -> None:
        board.measure(sound[0].job)  # what is made on first use is made now
        with interrupted_soon(), pytest.raises(KeyboardInterrupt), board:
            while True:
                board.measure(sound[0].job)
        board.close()


def check_times(measurement: Measurement) -> None:
    """Every time is a positive, finite number of seconds."""
    assert measurement.times_s
    assert all(math.isfinite(time_s) and time_s > 0 for time_s in measurement.times_s)


def wrong_jobs(job: Job) -> tuple[Job, ...]:
    """Jobs that contradict themselves, made from a sound one."""
    choice = job.candidate.choice
    other = dataclasses.replace(choice, engine="cpu" if choice.engine == "videocore4" else "videocore4")
    return (
        dataclasses.replace(job, inputs=()),
        dataclasses.replace(job, inputs=tuple(value[:-1] for value in job.inputs)),
        dataclasses.replace(job, repeats=0),
        dataclasses.replace(job, candidate=dataclasses.replace(job.candidate, choice=other)),
    )


class interrupted_soon:
    """Raises KeyboardInterrupt in the main thread a little after entering, as Ctrl-C would.

    And again every few seconds: Python drops an exception that a signal raises while a finaliser runs.
    """

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGALRM, self._interrupt)
        self._timer = signal.setitimer(signal.ITIMER_REAL, 0.05, 3.0)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)
        signal.setitimer(signal.ITIMER_REAL, *self._timer)  # the limit of the test

    @staticmethod
    def _interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt
