"""Whole plans are run, and what their steps take there decides; nothing is run twice, nothing is stored unmarked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from codegen.canonical import content_hash
from codegen.engines.cpu.threads import CHANNELS_SHARED, PIXELS_SHARED
from codegen.plan import Plan, PlanStep
from codegen.revision import bundle_revision
from explorer.compose.compose import UNLIMITED
from explorer.plans.planning import decisions
from explorer.plans.searched_network import SearchedNetwork
from explorer.rehearse.rehearsal import Perform, Rehearsals, _alike, timed_steps
from explorer.settings import RehearsalSettings
from explorer.terminal.progress import Silent
from microbench.board import BundleRun
from microbench.errors import CandidateError
from microbench.store import Sample
from tests.explorer.rehearsed import Stage, candidate_of, searched_tiny_network

SETTINGS = RehearsalSettings(rounds=6, first=3, more=2, repeats=2)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> SearchedNetwork:
    return searched_tiny_network(tmp_path_factory.mktemp("rehearsal"))


def fastest(found: SearchedNetwork) -> Plan:
    return found.plan(found.fastest)


def rehearsed(
    alone: SearchedNetwork,
    perform: Perform | None,
    stored: list[Sample],
    settings: RehearsalSettings = SETTINGS,
    known: Sequence[Sample] = (),
    *,
    reads_clock: bool = True,
) -> SearchedNetwork:
    def append(sample: Sample) -> int:
        stored.append(replace(sample, id=10_000 + len(stored)))
        return stored[-1].id

    return Rehearsals(alone, perform, append, known, settings, Silent(), reads_clock=reads_clock).rehearsed()


def victim_of(alone: SearchedNetwork) -> PlanStep:
    """A step of the fastest plan that has rivals."""
    return next(step for step in fastest(alone).steps if step.name == "second")


def slow_in_the_network(alone: SearchedNetwork) -> Stage:
    """All layers take what they take alone, but for the fastest plan's second convolution: four times as long."""
    times_s = {sample.candidate: sample.time_s for sample in alone.result.samples}
    victim = candidate_of(victim_of(alone))

    def law(step: PlanStep) -> float:
        return times_s[candidate_of(step)] * (4 if candidate_of(step) == victim else 1)

    return Stage(law)


def test_what_is_slow_in_the_network_loses(alone: SearchedNetwork) -> None:
    stage = slow_in_the_network(alone)
    found = rehearsed(alone, stage.perform, [])
    chosen = next(step for step in fastest(found).steps if step.spec == victim_of(alone).spec)
    assert chosen.choice != victim_of(alone).choice
    assert decisions(stage.plans[0]) != decisions(fastest(found))
    before = sum(stage.law(step) for step in timed_steps(fastest(alone)))
    assert sum(stage.law(step) for step in timed_steps(fastest(found))) < before


def test_it_ends_when_the_fastest_plan_was_run(alone: SearchedNetwork) -> None:
    stage = slow_in_the_network(alone)
    found = rehearsed(alone, stage.perform, [])
    assert decisions(fastest(found)) in [decisions(plan) for plan in stage.plans]
    assert decisions(found.plan(found.compose(UNLIMITED))) in [decisions(plan) for plan in stage.plans]
    assert len(stage.plans) < SETTINGS.repeats * (SETTINGS.first + 5 * SETTINGS.more)
    assert fastest(found).predicted_s == pytest.approx(
        sum(stage.law(step) for step in timed_steps(fastest(found)))
    )


def test_plans_take_turns_and_differ(alone: SearchedNetwork) -> None:
    stage = slow_in_the_network(alone)
    rehearsed(alone, stage.perform, [], replace(SETTINGS, rounds=1, repeats=3))
    ids = [id(plan) for plan in stage.plans]
    first = ids[: SETTINGS.first]
    assert len(set(first)) == SETTINGS.first and set(ids) == set(first)
    assert all(
        set(ids[turn : turn + SETTINGS.first]) == set(first) for turn in range(0, len(ids), SETTINGS.first)
    )
    assert len({str(decisions(plan)) for plan in stage.plans}) == SETTINGS.first
    assert decisions(fastest(alone)) in [decisions(plan) for plan in stage.plans]


def test_every_step_is_stored_with_all_its_times_and_where_it_was_timed(alone: SearchedNetwork) -> None:
    stage = slow_in_the_network(alone)
    stored: list[Sample] = []
    rehearsed(alone, stage.perform, stored, replace(SETTINGS, rounds=1))
    plans = {id(plan): plan for plan in stage.plans}.values()
    steps = [step for plan in plans for step in timed_steps(plan)]
    assert sorted(sample.context.split("/", 2)[2] for sample in stored) == sorted(step.name for step in steps)
    assert len({sample.context for sample in stored}) == len(stored)
    assert len({sample.context.split("/")[0] for sample in stored}) == SETTINGS.first
    assert {(sample.role, sample.status, len(sample.times_s)) for sample in stored} == {
        ("rehearsal", "ok", SETTINGS.repeats)
    }
    assert all(sample.work.macs >= 0 and sample.fingerprint == alone.fingerprint for sample in stored)


def test_the_second_time_nothing_runs_and_the_plan_is_the_same(alone: SearchedNetwork) -> None:
    stored: list[Sample] = []
    first = rehearsed(alone, slow_in_the_network(alone).perform, stored)
    again: list[Sample] = []
    second = rehearsed(alone, None, again, known=stored)
    assert not again
    assert fastest(second) == fastest(first)


def test_rehearsals_of_other_code_are_run_again(
    alone: SearchedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[Sample] = []
    first = rehearsed(alone, slow_in_the_network(alone).perform, stored)
    plan = fastest(first)
    assert {sample.revision for sample in stored if sample.context.startswith(_digest(plan))} == {
        bundle_revision(frozenset(step.choice.algorithm for step in timed_steps(plan)))
    }
    monkeypatch.setattr("explorer.rehearse.rehearsal.bundle_revision", lambda _: "another")
    assert fastest(rehearsed(alone, None, [], known=stored)) == fastest(alone)
    again: list[Sample] = []
    second = rehearsed(alone, slow_in_the_network(alone).perform, again, known=stored)
    assert len(again) == len(stored) and {sample.revision for sample in again} == {"another"}
    assert decisions(fastest(second)) == decisions(plan)


def _digest(plan: Plan) -> str:
    return content_hash([plan.model_sha256, decisions(plan)])


def test_exact_times_need_one_run_of_one_plan_a_round(alone: SearchedNetwork) -> None:
    """What is slow in the network is replaced, by what is fastest alone until it was seen."""
    stage = slow_in_the_network(alone)
    stored: list[Sample] = []
    found = rehearsed(alone, stage.perform, stored, reads_clock=False)
    ran = [str(decisions(plan)) for plan in stage.plans]
    assert 2 <= len(ran) == len(set(ran)) <= SETTINGS.rounds
    assert {len(sample.times_s) for sample in stored} == {1}
    took_s = [sum(stage.law(step) for step in timed_steps(plan)) for plan in stage.plans]
    assert str(decisions(fastest(found))) == ran[took_s.index(min(took_s))] and min(took_s) < took_s[0]
    again = rehearsed(alone, None, [], known=stored, reads_clock=False)
    assert fastest(again) == fastest(found)


def test_exact_times_as_alone_end_it_after_one_plan(alone: SearchedNetwork) -> None:
    times_s = {sample.candidate: sample.time_s for sample in alone.result.samples}
    stage = Stage(lambda step: times_s[candidate_of(step)])
    found = rehearsed(alone, stage.perform, [], reads_clock=False)
    assert len(stage.plans) == 1 and decisions(fastest(found)) == decisions(fastest(alone))


def test_a_board_that_runs_nothing_leaves_the_times_alone(alone: SearchedNetwork) -> None:
    found = rehearsed(alone, None, [])
    assert fastest(found) == fastest(alone) and not found.rehearsals


def test_no_rounds_no_rehearsals(alone: SearchedNetwork) -> None:
    stage = slow_in_the_network(alone)
    found = rehearsed(alone, stage.perform, [], replace(SETTINGS, rounds=0))
    assert not stage.plans and fastest(found) == fastest(alone)


@pytest.mark.parametrize("kept", [1, 5])
def test_a_round_that_was_interrupted_is_begun_again(alone: SearchedNetwork, kept: int) -> None:
    whole: list[Sample] = []
    expected = fastest(rehearsed(alone, slow_in_the_network(alone).perform, whole))
    stage = slow_in_the_network(alone)
    added: list[Sample] = []
    found = rehearsed(alone, stage.perform, added, known=whole[:kept])
    assert len(added) == len(whole) and decisions(fastest(found)) == decisions(expected)


def test_a_plan_that_fails_counts_for_nothing_and_is_not_run_again(alone: SearchedNetwork) -> None:
    stage = slow_in_the_network(alone)
    stored: list[Sample] = []
    bad = decisions(fastest(alone))
    runs = []

    def perform(bundle: Path, plan: Plan) -> object:
        if decisions(plan) == bad:
            runs.append(plan)
            raise CandidateError("it died of SIGSEGV")
        return stage.perform(bundle, plan)

    found = rehearsed(alone, perform, stored)  # type: ignore[arg-type]
    assert len(runs) == 1
    failed = [sample for sample in stored if sample.status == "failed"]
    assert {sample.message for sample in failed} == {"it died of SIGSEGV"}
    assert len(failed) == len(list(timed_steps(runs[0])))
    assert not {sample.id for sample in failed} & {
        int(number) for step in fastest(found).steps for number in step.sample_ids
    }


def test_a_plan_whose_outputs_are_wrong_counts_for_nothing(alone: SearchedNetwork) -> None:
    stage = slow_in_the_network(alone)
    stored: list[Sample] = []
    bad = decisions(fastest(alone))
    stage.complaint = lambda plan: "largest error 0.5" if decisions(plan) == bad else ""
    rehearsed(alone, stage.perform, stored, replace(SETTINGS, rounds=1))
    wrong = [sample for sample in stored if sample.status == "wrong"]
    assert len(wrong) == len(list(timed_steps(fastest(alone))))
    assert {sample.message for sample in wrong} == {"largest error 0.5"}
    assert all(len(sample.times_s) == 1 for sample in wrong)


def test_neighbours_that_do_not_suit_each_other_lose_as_a_whole(alone: SearchedNetwork) -> None:
    """Each step is fast beside its own kind; whoever looks at steps alone would mix them."""
    times_s = {sample.candidate: sample.time_s for sample in alone.result.samples}
    first = fastest(alone)
    layouts = {step.name: step.choice for step in timed_steps(first)}

    def kind(plan: Plan) -> int:
        return sum(layouts.get(step.name) == step.choice for step in timed_steps(plan))

    stage = Stage(lambda step: times_s[candidate_of(step)])

    def perform(bundle: Path, plan: Plan) -> tuple[BundleRun, str]:
        run, complaint = stage.perform(bundle, plan)
        alike = kind(plan) in (0, len(layouts))
        slower = {name: time_s * (1 if alike else 3) for name, time_s in run.step_times_s.items()}
        return replace(run, step_times_s=slower), complaint

    found = rehearsed(alone, perform, [])
    assert decisions(fastest(found)) == decisions(first)


def test_a_plan_whose_threads_share_out_alike_is_among_the_first(tmp_path: Path) -> None:
    found = searched_tiny_network(tmp_path, threads=2, channels=64)

    def shared(plan: Plan) -> str:
        """By the first layer, whose threads have the choice whatever the width of this machine's vectors."""
        return str(next(step for step in plan.steps if step.name == "first").choice.splits["shared"])

    assert shared(_alike(found, PIXELS_SHARED).plan) == PIXELS_SHARED
    assert shared(_alike(found, CHANNELS_SHARED).plan) == CHANNELS_SHARED
    stage = Stage(lambda step: 1e-5)
    rehearsed(found, stage.perform, [], RehearsalSettings(rounds=1, first=2, repeats=1))
    assert {shared(plan) for plan in stage.plans} == {PIXELS_SHARED, CHANNELS_SHARED}
