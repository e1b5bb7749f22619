"""Searches' candidates on farms: who measures what, what is lost with a board, what is stored."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from distributed import Future

from codegen.algorithm import algorithms
from codegen.schedule import Candidate
from explorer.errors import FarmError
from explorer.farm import pool as pool_module
from explorer.farm.board import FarmBoard
from explorer.farm.place import Place
from explorer.farm.samples import FarmSamples
from explorer.measure.jobs import JobBuilder
from explorer.measure.measurer import Measurer
from explorer.measure.workers import Workers
from explorer.terminal.progress import Silent
from microbench.board import Board, Fingerprint, Job
from microbench.boards.null import NullBoard
from microbench.store import Store
from tests.explorer.farm.boards import PROFILE, LocalFarm, MoodyBoard, candidates, local_farm


@contextmanager
def measurer(farm: LocalFarm, store: Store, heard: list[str] | None = None) -> Iterator[Measurer]:
    """Asks the farm as a run does; `heard` is told of boards that are set aside."""
    with FarmBoard(farm.place, PROFILE) as board:
        jobs = JobBuilder(PROFILE.target(), 0, algorithms())
        tell = (lambda _: None) if heard is None else heard.append
        samples = FarmSamples(board.pool, board, jobs, store, 1, tell)
        owned: list[Board] = [board]
        with Workers(owned) as boards:
            yield Measurer(boards, jobs, store, board.fingerprint(), Silent(), farm=samples)


def nominal_s(some: Sequence[Candidate]) -> list[float]:
    """What a null board says of them."""
    board, jobs = NullBoard(PROFILE), JobBuilder(PROFILE.target(), 0, algorithms())
    return [board.measure(jobs.job(candidate)).times_s[0] for candidate in some]


def stored(store: Store, role: str = "candidate") -> Counter[str]:
    """How many samples of each candidate there are."""
    return Counter(sample.candidate_hash for sample in store.samples() if sample.role == role)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "samples.sqlite") as opened:
        yield opened


def test_boards_share_candidates_and_each_is_measured_once(store: Store) -> None:
    boards = {name: MoodyBoard(name) for name in ("one", "two", "three")}
    some = candidates(30)
    with local_farm(**boards) as farm, measurer(farm, store) as asked:
        for candidate in some[:7]:
            asked.begin(candidate)
        found = asked.samples(some[:20])
        found += asked.samples(some)[20:]
    assert [sample.candidate for sample in found] == list(some)
    assert [sample.time_s for sample in found] == nominal_s(some)
    assert stored(store) == Counter(candidate.hash for candidate in some)
    assert sum(len(board.asked) for board in boards.values()) == 30
    assert all(len(board.asked) > 3 for board in boards.values())
    assert all(board.is_closed for board in boards.values())
    assert {sample.fingerprint.serial_hash for sample in store.samples()} == set(boards)
    assert all(sample.normalisation is None for sample in store.samples())


def test_what_a_board_of_the_class_measured_is_known_to_all(store: Store) -> None:
    some, other = candidates(4), MoodyBoard("other")
    with local_farm(first=MoodyBoard("first")) as farm, measurer(farm, store) as asked:
        asked.samples(some)
    with local_farm(other=other) as farm, measurer(farm, store) as asked:
        assert [sample.time_s for sample in asked.samples(some)] == nominal_s(some)
        assert (asked.tally.known, asked.tally.measured) == (4, 0)
    assert other.asked == []


def test_times_are_those_of_the_board_whose_references_came_first(store: Store) -> None:
    some = candidates(24)
    with (
        local_farm(base=MoodyBoard("base", reads_clock=True)) as farm,
        measurer(farm, store) as asked,
    ):
        asked.samples(some[:2])
        farm.join(slow=MoodyBoard("slow", slowness=1.25, reads_clock=True))
        found = asked.samples(some)
    assert [sample.time_s for sample in found] == pytest.approx(nominal_s(some), rel=1e-12)
    references = {sample.id: sample for sample in store.samples() if sample.role == "reference"}
    slow = [sample for sample in found if sample.fingerprint.serial_hash == "slow"]
    assert slow and len(slow) < len(found)
    for sample in slow:
        assert sample.normalisation is not None
        assert sample.normalisation.factor == pytest.approx(1 / 1.25)
        assert sample.normalisation.onto == "base"
        assert sample.as_timed.time_s == pytest.approx(1.25 * sample.time_s)
        named = [references[number].fingerprint.serial_hash for number in sample.normalisation.reference_ids]
        assert set(named) == {"base", "slow"}
    assert all(sample.normalisation is None for sample in found if sample not in slow)


def test_a_board_that_fails_three_times_is_set_aside_and_the_run_goes_on(store: Store) -> None:
    broken = MoodyBoard("broken", fault=lambda job: "its card is full")
    some, heard = candidates(30), list[str]()
    with local_farm(sound=MoodyBoard("sound"), broken=broken) as farm:
        with measurer(farm, store, heard) as asked:
            found = asked.samples(some)
        assert farm.has_left("broken") and broken.is_closed
    assert [sample.time_s for sample in found] == nominal_s(some)
    assert stored(store) == Counter(candidate.hash for candidate in some)
    assert heard == ["broken is set aside, it failed three times: its card is full"]
    assert 3 <= len(broken.asked) <= 3 + pool_module.QUEUED


def test_a_candidate_that_no_board_survives_is_recorded_as_failed(store: Store) -> None:
    some = candidates(8)

    def fault(job: Job) -> str:
        return "gone" if job.candidate == some[2] else ""

    boards = {name: MoodyBoard(name, fault=fault) for name in ("one", "two", "three")}
    heard: list[str] = []
    with local_farm(**boards) as farm, measurer(farm, store, heard) as asked:
        found = asked.samples(some)
    assert [sample.status for sample in found] == ["ok"] * 2 + ["failed"] + ["ok"] * 5
    assert all(f"{name}: gone" in found[2].message for name in boards)
    assert heard == []


def test_boards_leave_and_join_midway_and_no_sample_is_lost_or_taken_twice(store: Store) -> None:
    some, reached, goes_on = candidates(40), threading.Event(), threading.Event()

    def holds(job: Job) -> str:
        if len(leaving.asked) == 4:
            reached.set()
            goes_on.wait(10)
        return ""

    leaving, joining = MoodyBoard("leaving", fault=holds), MoodyBoard("joining")
    with local_farm(leaving=leaving) as farm, measurer(farm, store) as asked:

        def change() -> None:
            assert reached.wait(10)
            farm.join(joining=joining)
            farm.lose("leaving")
            goes_on.set()

        thread = threading.Thread(target=change)
        thread.start()
        found = asked.samples(some)
        thread.join(10)
    assert [sample.time_s for sample in found] == nominal_s(some)
    assert stored(store) == Counter(candidate.hash for candidate in some)
    assert leaving.asked and joining.asked


def test_without_boards_a_run_ends_and_what_was_measured_is_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "PATIENCE_S", 0.5)
    some = candidates(12)

    def fault(job: Job) -> str:
        return "it burns" if len(board.asked) > 5 else ""

    board = MoodyBoard("only", fault=fault)
    with (
        local_farm(only=board) as farm,
        measurer(farm, store) as asked,
        pytest.raises(FarmError, match=r"only was set aside: it burns.*no sample is lost"),
    ):
        asked.samples(some)
    assert sum(stored(store).values()) == 5


def test_an_answer_that_is_lost_with_the_last_board_ends_a_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "PATIENCE_S", 0.5)
    arrived = pool_module.Pool._arrived
    with local_farm(only=MoodyBoard("only")) as farm, measurer(farm, store) as asked:

        def lost_as_it_arrives(pool: pool_module.Pool) -> list[Future]:
            found = arrived(pool)
            farm.lose("only")
            return found

        monkeypatch.setattr(pool_module.Pool, "_arrived", lost_as_it_arrives)
        with pytest.raises(FarmError, match=r"no board of the class is left.*no sample is lost"):
            asked.samples(candidates(3))


def test_a_board_that_does_not_come_to_rest_is_set_aside(store: Store) -> None:
    clocks_hz = iter([1e9, 0.7e9, 0.7e9, 0.7e9, 0.7e9, 0.7e9])
    hot = MoodyBoard("hot", clock_hz=lambda: next(clocks_hz))
    some, heard = candidates(16), list[str]()
    with local_farm(calm=MoodyBoard("calm"), hot=hot) as farm, measurer(farm, store, heard) as asked:
        found = asked.samples(some)
    assert [sample.time_s for sample in found] == nominal_s(some)
    assert "CPU clock from 700 to 1000 MHz" in heard[0]
    assert sum(stored(store, "disturbed").values()) >= 3


def test_a_farm_without_a_board_of_the_profile_is_refused_at_once() -> None:
    with (
        local_farm(one=MoodyBoard()) as farm,
        pytest.raises(FarmError, match=r"no board that is a board of pi-zero.*it has: one-\d+"),
    ):
        FarmBoard(farm.place, PROFILE.with_v3d(clock_hz=123e6)).close()


def test_boards_of_two_classes_are_not_mixed() -> None:
    other = MoodyBoard()
    other.fingerprint = lambda: Fingerprint("null pi-zero", PROFILE.hash, 3e8, "another kernel")  # type: ignore[method-assign]
    with (
        local_farm(one=MoodyBoard(), two=other) as farm,
        pytest.raises(FarmError, match=r"boards of 2 classes"),
    ):
        FarmBoard(farm.place, PROFILE).close()


def test_nothing_that_answers_is_no_farm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "CONNECT_S", 0.5)
    with pytest.raises(FarmError, match="no farm answers"):
        FarmBoard(Place("tcp://127.0.0.1:9"), PROFILE)
