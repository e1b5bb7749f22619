"""Every built-in board through the conformance class; the SSH board's is in test_ssh_board.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from codegen.schedule import Work
from codegen.target import Target
from microbench.board import Board, Job, Measurement
from microbench.boards.host import HostBoard
from microbench.boards.null import NullBoard, roofline_s
from microbench.boards.replay import ReplayBoard, ReplayOptions
from microbench.boards.virtual import VirtualBoard
from microbench.errors import BoardError, CandidateError, HazardError
from microbench.options import BoardOptions
from microbench.profile import load_profile
from microbench.store import Sample, Store
from tests.microbench.board_conformance import BoardConformance
from tests.microbench.gpu_jobs import (
    hanging_gpu_job,
    sound_gpu_job,
    stale_gpu_job,
    straying_gpu_job,
    warned_gpu_job,
)
from tests.microbench.measured import FINGERPRINT, SoundJob, cpu_job, sample, sound_cpu_job, work


class TestNullBoard(BoardConformance):
    kinds = frozenset({"modelled"})

    @pytest.fixture
    def board(self) -> Iterator[Board]:
        with NullBoard.open(load_profile("pi-zero"), BoardOptions()) as board:
            yield board

    def test_more_work_takes_longer(self) -> None:
        target: Target = load_profile("pi-zero").target()
        assert (
            roofline_s(work(20_000), target, "videocore4")
            > roofline_s(work(10_000), target, "videocore4")
            > 0
        )

    def test_threads_share_arithmetic_at_a_price(self) -> None:
        target: Target = load_profile("pi-zero").target()
        for macs, is_faster in ((1e6, True), (10.0, False)):
            alone, shared = (roofline_s(Work(macs=macs), target, "cpu", threads) for threads in (1, 2))
            assert (shared < alone) == is_faster


class TestReplayBoard(BoardConformance):
    kinds = frozenset({"simulated"})

    @pytest.fixture
    def board(self, tmp_path: Path) -> Iterator[Board]:
        job = cpu_job()
        store = Store.open(tmp_path / "store")
        for times_s in ((9.0,), (1.0, 2.0, 3.0)):
            store.add(Sample.of(job, FINGERPRINT, Measurement(times_s, "simulated", None, {"cycles": 7.0})))
        store.add(sample(5, status="failed", times_s=()))
        with ReplayBoard(load_profile("pi-zero"), store, FINGERPRINT) as board:
            yield board

    def test_measures_every_repeat_in_a_kind_it_declares(self, board: Board, sound: object) -> None:
        measurement = board.measure(cpu_job(repeats=3))
        assert (measurement.times_s, measurement.kind) == ((1.0, 2.0, 3.0), "simulated")
        assert measurement.counters == {"cycles": 7.0}
        assert (board.kind_of("cpu"), board.kind_of("videocore4")) == ("simulated", "modelled")

    def test_an_unknown_candidate_is_said_to_be_unknown(self, board: Board) -> None:
        with pytest.raises(CandidateError, match="never recorded on virtual test"):
            board.measure(cpu_job(elements=17))

    def test_code_of_another_revision_was_not_recorded(self, board: Board) -> None:
        with pytest.raises(CandidateError, match=r"another revision of its algorithm.*measure it there"):
            board.measure(replace(cpu_job(), revision="another"))

    def test_a_recorded_failure_fails_again(self, board: Board) -> None:
        with pytest.raises(CandidateError, match="recorded as failed"):
            board.measure(cpu_job(elements=5))


class TestHostBoard(BoardConformance):
    kinds = frozenset({"host"})
    computes = frozenset({"cpu"})

    @pytest.fixture
    def board(self) -> Iterator[Board]:
        with HostBoard.open(load_profile("host"), BoardOptions()) as board:
            yield board

    def test_a_profile_of_another_machine_is_refused(self) -> None:
        with pytest.raises(BoardError, match="--device host"):
            HostBoard.open(load_profile("pi-zero"), BoardOptions())


class TestVirtualBoard(BoardConformance):
    kinds = frozenset({"simulated", "modelled"})
    computes = frozenset({"videocore4"})

    @pytest.fixture
    def board(self) -> Iterator[Board]:
        with VirtualBoard.open(load_profile("pi-zero"), BoardOptions()) as board:
            yield board

    @pytest.fixture
    def sound(self) -> tuple[SoundJob, ...]:
        return (sound_gpu_job(), sound_cpu_job())

    @pytest.mark.parametrize(
        "job", [hanging_gpu_job(), straying_gpu_job(), stale_gpu_job(), warned_gpu_job()]
    )
    def test_what_the_gpu_stops_names_the_candidate(self, board: Board, job: Job) -> None:
        with pytest.raises(HazardError, match=job.candidate.hash[:12]):
            board.measure(job)


def test_replay_finds_the_board_of_the_profile_or_asks(tmp_path: Path) -> None:
    path = tmp_path / "store"
    profile = load_profile("pi-zero")
    with pytest.raises(BoardError, match="--store"):
        ReplayBoard.open(profile, BoardOptions())
    with pytest.raises(BoardError, match="no samples"):
        ReplayBoard.open(profile, BoardOptions(store=path))
    job = cpu_job()
    with NullBoard(profile) as null, Store.open(path) as store:
        measured = null.measure(job)
        store.add(Sample.of(job, null.fingerprint(), measured))
        fingerprint = null.fingerprint()
    with ReplayBoard.open(profile, BoardOptions(store=path)) as board:
        assert board.fingerprint() == fingerprint
        assert board.measure(job).times_s == measured.times_s
    chosen = ReplayOptions(fingerprint=fingerprint.hash)
    with ReplayBoard.open(profile, BoardOptions(store=path, own=chosen)) as board:
        assert board.fingerprint() == fingerprint
    with pytest.raises(BoardError, match="no samples of fingerprint"):
        other = ReplayOptions(fingerprint=FINGERPRINT.hash)
        ReplayBoard.open(profile, BoardOptions(store=path, own=other))
