"""The protocol of a batch where a clock is read: what is stored, in which order, and what a restless board gets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from codegen.algorithm import algorithms
from codegen.schedule import Candidate
from explorer.measure.clocked import ATTEMPTS, ClockedBatches, reference_candidates, require_rest
from explorer.measure.jobs import JobBuilder
from explorer.measure.measurer import Measurer
from explorer.measure.workers import Workers
from explorer.terminal.progress import Silent
from microbench.board import Board, BundleRun, Job, Kind, Measurement
from microbench.conditions import Conditions
from microbench.errors import BoardError
from microbench.profile import load_profile
from microbench.protocol.order import REFERENCE_EVERY
from microbench.store import Sample, Store
from tests.explorer.fakes import FakeAlgorithm, FakeBoard, law_s
from tests.explorer.measure.test_measurer import SPEC
from tests.microbench.measured import candidate, sample

REFERENCE = candidate(1000)
COOL = Conditions(1e9, 250e6, 50.0, 1.2, 0)
HALVED = replace(COOL, cpu_clock_hz=5e8)
BATCH = [candidate(n) for n in range(1, 6)]


class Rig:
    """Answers with these readings, one after the other, then with the last for ever; keeps what was appended."""

    def __init__(self, readings: Iterable[Conditions], kind: Kind = "silicon") -> None:
        self.readings: Iterator[Conditions] = iter(readings)
        self.kind = kind
        self.now = COOL
        self.stored: list[Sample] = []
        self.in_flight = 0

    def measure(self, asked: Candidate) -> Sample:
        assert self.in_flight == 0, "a sample was taken before the one before was stored"
        self.in_flight = 1
        if asked != REFERENCE:
            self.now = next(self.readings, self.now)
        return replace(sample(), candidate=asked, kind=self.kind, conditions=(Conditions(), self.now))

    def append(self, one: Sample) -> int:
        self.in_flight = 0
        self.stored.append(one)
        return len(self.stored)

    def batches(
        self, known: Sequence[Sample] = (), references: Sequence[Candidate] = (REFERENCE,)
    ) -> ClockedBatches:
        return ClockedBatches(self.measure, self.append, known, references, 0)

    def roles(self) -> str:
        return "".join(
            {"candidate": "c", "reference": "R", "disturbed": "d"}[one.role] for one in self.stored
        )


def test_each_is_stored_before_the_next_between_references() -> None:
    rig = Rig([COOL])
    many = [candidate(n) for n in range(1, REFERENCE_EVERY + 3)]
    measured = list(rig.batches().measured(many))
    assert rig.roles() == "R" + "c" * REFERENCE_EVERY + "RccR"
    assert {one.candidate for one in measured} == set(many)
    assert [one.id for one in measured] == [
        n for n, one in enumerate(rig.stored, 1) if one.role == "candidate"
    ]


def test_without_a_reference_only_candidates_are_measured() -> None:
    rig = Rig([COOL])
    batches = rig.batches(references=())
    list(batches.measured(BATCH))
    assert rig.roles() == "ccccc"
    assert batches.noise_floor() is None
    assert list(batches.measured(())) == []


def test_a_reference_that_fails_is_not_tried_again() -> None:
    rig = Rig([COOL])

    def measure(asked: Candidate) -> Sample:
        one = rig.measure(asked)
        return replace(one, status="failed", times_s=(), message="no") if asked == REFERENCE else one

    batches = ClockedBatches(measure, rig.append, (), [REFERENCE], 0)
    list(batches.measured(BATCH))
    assert rig.roles() == "Rccccc"


@pytest.mark.parametrize("disturbance", [HALVED, replace(COOL, temperature_c=70.0)])
def test_a_batch_is_repeated_when_the_board_moved(disturbance: Conditions) -> None:
    rig = Rig([COOL, COOL, disturbance, COOL])
    measured = list(rig.batches().measured(BATCH))
    assert rig.roles() == "RccdRcccccR"
    assert {one.candidate for one in measured[-5:]} == set(BATCH)
    assert [one.conditions[-1] for one in rig.stored if one.role == "disturbed"] == [disturbance]


def test_a_board_may_stay_warmer_than_it_was() -> None:
    rig = Rig([COOL, replace(COOL, temperature_c=60.0)])
    list(rig.batches().measured(BATCH))
    assert rig.roles() == "RcdRcccccR"


def test_a_clock_that_stays_lower_ends_the_run_with_advice() -> None:
    rig = Rig([COOL, HALVED])
    with pytest.raises(BoardError, match=r"500 to 1000 MHz.*governor.*no sample is lost"):
        list(rig.batches().measured(BATCH))
    assert rig.roles() == "Rcd" + "Rd" * (ATTEMPTS - 1)


def test_a_later_run_at_another_clock_is_refused_too() -> None:
    first = Rig([COOL])
    list(first.batches().measured(BATCH))
    second = Rig([HALVED])
    with pytest.raises(BoardError, match=re.escape("does not come to rest")):
        list(second.batches(first.stored).measured([candidate(9)]))
    assert "c" not in second.roles()


def test_a_throttling_board_stops_the_run_and_the_sample_is_kept() -> None:
    rig = Rig([COOL, replace(COOL, throttle_flags=0x50005)])
    with pytest.raises(BoardError, match=r"throttles \(under-voltage, throttled\).*power supply"):
        list(rig.batches().measured(BATCH))
    assert rig.roles() == "Rcd"


def test_a_board_that_throttled_before_may_go_on() -> None:
    rig = Rig([replace(COOL, throttle_flags=0x50000)])
    assert len(list(rig.batches().measured(BATCH))) == 5


def test_the_readings_of_a_machine_that_others_use_are_not_judged() -> None:
    rig = Rig([COOL, HALVED], kind="host")
    assert len(list(rig.batches().measured(BATCH))) == 5
    assert "d" not in rig.roles()


def test_the_noise_floor_counts_references_of_earlier_runs() -> None:
    known = [
        replace(sample(), candidate=REFERENCE, role="reference", times_s=(time_s,))
        for time_s in (1e-3, 1.1e-3)
    ]
    rig = Rig([COOL])
    batches = rig.batches(known)
    assert batches.noise_floor() is None
    list(batches.measured(BATCH))
    floor = batches.noise_floor()
    assert floor is not None and 0 < floor < 0.1


def test_the_noise_floor_is_that_of_the_most_restless_reference() -> None:
    calm, restless = candidate(1001), candidate(1002)
    times_s = {calm: (1e-3, 1.01e-3, 1.02e-3), restless: (2e-3, 3e-3, 4e-3)}
    known = [
        replace(sample(), candidate=of, role="reference", times_s=(one,))
        for of in times_s
        for one in times_s[of]
    ]
    batches = Rig([COOL]).batches(known, (calm, restless))
    floor, reference = batches.noise_floor(), batches.reference()
    assert floor == pytest.approx(0.3, rel=0.1)
    assert reference is not None and (reference.timings, reference.median_s) == (3, 3e-3)


def test_every_reference_takes_its_turn() -> None:
    rig = Rig([COOL])
    other = candidate(1000, width=8)
    list(rig.batches(references=(REFERENCE, other)).measured(BATCH))
    assert [one.candidate for one in rig.stored if one.role == "reference"] == [REFERENCE, other] * 2


def bundle_run(*conditions: Conditions) -> BundleRun:
    return BundleRun((), (1.0,), 1.0, "silicon", {}, {}, conditions=conditions)


def test_the_whole_network_is_held_against_the_clock_of_its_layers() -> None:
    rig = Rig([COOL])
    batches = rig.batches()
    assert batches.clocks is None
    list(batches.measured(BATCH))
    clocks = batches.clocks
    assert clocks is not None and clocks.cpu_clock_hz == COOL.cpu_clock_hz
    require_rest(bundle_run(HALVED, replace(COOL, temperature_c=75.0)), clocks)  # an idle clock may be low
    require_rest(bundle_run(), clocks)
    require_rest(bundle_run(COOL, HALVED), None)
    with pytest.raises(BoardError, match=r"did not rest.*500 to 1000 MHz.*run again"):
        require_rest(bundle_run(COOL, HALVED), clocks)
    with pytest.raises(BoardError, match="throttles"):
        require_rest(bundle_run(COOL, replace(COOL, throttle_flags=0x4)), clocks)


@pytest.mark.parametrize("device", ["host", "pi-zero", "pi-3"])
def test_every_device_has_reference_kernels(device: str) -> None:
    jobs = JobBuilder(load_profile(device).target(), 0, algorithms())
    computing, moving = reference_candidates(jobs)
    assert jobs.job(computing).work.macs == 64 * 64 * 28 * 28 and computing.choice.threads == 1
    assert jobs.job(moving).work.macs == 64 * 9 * 56 * 56
    assert moving.choice.threads == jobs.target.cores


class Steadied(FakeBoard):
    """Reads its clock with every measurement; drops it once, at the third."""

    def measure(self, job: Job) -> Measurement:
        measurement = super().measure(job)
        now = HALVED if len(self.measured) == 3 else COOL
        return replace(measurement, kind="silicon", conditions=(COOL, now))


def test_the_bench_takes_the_newest_sample_and_never_a_disturbed_one(tmp_path: Path) -> None:
    board, algorithm = Steadied(law_s), FakeAlgorithm("plain")
    jobs = JobBuilder(board.target, 0, {"plain": algorithm})
    asked = [
        Candidate(SPEC, algorithm.choice(SPEC, board.target, {"rows": row, "columns": 0})) for row in range(4)
    ]

    def take(store: Store, wanted: Board) -> tuple[tuple[Sample, ...], Measurer]:
        with Workers([wanted]) as workers:
            measurer = Measurer(workers, jobs, store, board.fingerprint(), Silent())
            return measurer.samples([*asked, asked[0]]), measurer

    with Store.open(tmp_path / "s.sqlite") as store:
        first, measurer = take(store, board)
        assert (measurer.tally.measured, measurer.tally.known) == (4, 1)
        kept = list(store.samples())
        assert [one.role for one in kept] == ["candidate"] * 2 + ["disturbed"] + ["candidate"] * 4
        assert {one.id for one in first} == {4, 5, 6, 7}
        again, measurer = take(store, Steadied(law_s, limit=0))
        assert again == first and measurer.tally.measured == 0
