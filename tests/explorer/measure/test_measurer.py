from __future__ import annotations

from pathlib import Path

import pytest

from codegen.graph import LayerSpec
from codegen.schedule import Candidate, Choice, Work
from explorer.measure.jobs import JobBuilder
from explorer.measure.measurer import Measurer
from explorer.measure.workers import Workers
from explorer.terminal.progress import Silent
from microbench.board import Board, Job, Kind, Measurement
from microbench.errors import BoardError
from microbench.store import Sample, Store
from tests.explorer.fakes import FakeAlgorithm, FakeBoard, law_s
from tests.explorer.networks import graph_of

GRAPH = graph_of([(0,)], [1])
SPEC = LayerSpec.of(GRAPH, GRAPH.nodes[0])
OVERHEAD_S = 1e-4


def looked_up(tmp_path: Path, kind: Kind, time_s: float) -> Sample:
    """What a measurer says of a QPU candidate whose launch took `time_s`."""
    board = FakeBoard(law_s)
    candidate = Candidate(SPEC, Choice("videocore4", "any", (), (), ("nchw",), ("nchw",)))
    jobs = JobBuilder(board.target, 0, {"any": FakeAlgorithm("any")})
    owned: list[Board] = [board]
    with Store.open(tmp_path / "s.sqlite") as store, Workers(owned) as workers:
        revision = jobs.revision(candidate)
        store.add(
            Sample(candidate, board.fingerprint(), kind, "ok", (time_s,), Work(macs=1), revision=revision)
        )
        measurer = Measurer(workers, jobs, store, board.fingerprint(), Silent(), OVERHEAD_S)
        (sample,) = measurer.samples([candidate])
        assert store.find(candidate.hash, board.fingerprint().hash)[0].time_s == time_s
    return sample


@pytest.mark.parametrize(("kind", "expected_s"), [("simulated", 2e-4), ("silicon", 2e-4), ("modelled", 3e-4)])
def test_a_launch_of_its_own_is_taken_off_where_there_was_one(
    tmp_path: Path, kind: Kind, expected_s: float
) -> None:
    assert looked_up(tmp_path, kind, 3e-4).time_s == pytest.approx(expected_s)


def test_a_time_never_becomes_negative(tmp_path: Path) -> None:
    assert looked_up(tmp_path, "silicon", 0.9e-4).time_s > 0


def test_of_a_board_that_records_nothing_nothing_is_appended(tmp_path: Path) -> None:
    board, algorithm = FakeBoard(law_s), FakeAlgorithm("plain")
    board.records = False
    jobs = JobBuilder(board.target, 0, {"plain": algorithm})
    candidate = Candidate(SPEC, algorithm.choice(SPEC, board.target, {"rows": 0, "columns": 0}))
    owned: list[Board] = [board]
    with Store.open(tmp_path / "s.sqlite") as store, Workers(owned) as workers:
        measurer = Measurer(workers, jobs, store, board.fingerprint(), Silent())
        assert measurer.samples([candidate, candidate])[0].status == "ok"
        assert store.count() == 0
    assert len(board.measured) == 1


def test_only_samples_of_the_algorithm_as_it_is_now_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, algorithm = FakeBoard(law_s), FakeAlgorithm("plain")
    jobs = JobBuilder(board.target, 0, {"plain": algorithm})
    candidate = Candidate(SPEC, algorithm.choice(SPEC, board.target, {"rows": 0, "columns": 0}))
    owned: list[Board] = [board]
    with Store.open(tmp_path / "s.sqlite") as store, Workers(owned) as workers:

        def measured_now() -> int:
            measurer = Measurer(workers, jobs, store, board.fingerprint(), Silent())
            measurer.samples([candidate])
            return measurer.tally.measured

        assert (measured_now(), measured_now()) == (1, 0)
        with monkeypatch.context() as patch:
            patch.setattr("explorer.measure.jobs.candidate_revision", lambda *_: "another")
            assert (measured_now(), measured_now()) == (1, 0)
        assert measured_now() == 0
        revisions = [sample.revision for sample in store.samples() if sample.role == "candidate"]
        assert revisions == [jobs.revision(candidate), "another"]


def test_a_sample_of_an_algorithm_that_is_not_installed_is_left(tmp_path: Path) -> None:
    board, algorithm = FakeBoard(law_s), FakeAlgorithm("plain")
    candidate = Candidate(SPEC, algorithm.choice(SPEC, board.target, {"rows": 0, "columns": 0}))
    jobs = JobBuilder(board.target, 0, {})
    assert not jobs.is_current(
        Sample(candidate, board.fingerprint(), "host", "ok", (1e-3,), Work(macs=1), revision="")
    )


def test_what_is_begun_is_measured_once_and_recorded_when_it_is_asked_for(tmp_path: Path) -> None:
    board, algorithm = FakeBoard(law_s), FakeAlgorithm("plain")
    board.reads_clock = False
    jobs = JobBuilder(board.target, 0, {"plain": algorithm})
    first, second, third = (
        Candidate(SPEC, algorithm.choice(SPEC, board.target, {"rows": rows, "columns": 0}))
        for rows in range(3)
    )
    owned: list[Board] = [board]
    with Store.open(tmp_path / "s.sqlite") as store, Workers(owned) as workers:
        measurer = Measurer(workers, jobs, store, board.fingerprint(), Silent())
        for candidate in (third, second, second):
            measurer.begin(candidate)
        workers.call(lambda _: None)
        assert len(board.measured) == 2
        assert store.count() == 0
        measurer.samples([first, second])
        measurer.begin(second)
        assert [sample.candidate for sample in store.samples()] == [first, second]
    assert len(board.measured) == 3


def test_what_was_begun_goes_with_a_board_that_fails_and_is_measured_when_asked_for_again(
    tmp_path: Path,
) -> None:
    board, algorithm = FakeBoard(law_s), FakeAlgorithm("plain")
    board.reads_clock = False
    jobs = JobBuilder(board.target, 0, {"plain": algorithm})
    candidates = [
        Candidate(SPEC, algorithm.choice(SPEC, board.target, {"rows": rows, "columns": 0}))
        for rows in range(3)
    ]
    owned: list[Board] = [board]
    with Store.open(tmp_path / "s.sqlite") as store, Workers(owned) as workers:
        measurer = Measurer(workers, jobs, store, board.fingerprint(), Silent())
        asked = iter([BoardError("lost")])
        measure = board.measure

        def lost_once(job: Job) -> Measurement:
            for error in asked:
                raise error
            return measure(job)

        board.measure = lost_once  # type: ignore[method-assign]
        with pytest.raises(BoardError, match="lost"):
            measurer.samples(candidates)
        assert [s.candidate for s in measurer.samples(candidates)] == candidates
        assert store.count() == 3
